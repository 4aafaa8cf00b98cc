import { existsSync } from "node:fs";

/** Debian's package `podman`; what it does networks with is in `netavark` and `aardvark-dns`. */
export const PODMAN = "/usr/bin/podman";

/** For the `skip` of a test: why it cannot be run here, or false. */
export const PODMAN_MISSING =
  process.platform !== "linux"
    ? "containers are run on Linux only"
    : process.getuid?.() !== 0
      ? "only root can give Podman a network of its own"
      : [PODMAN, "/usr/lib/podman/netavark", "/usr/lib/podman/aardvark-dns"].every((path) => existsSync(path))
        ? false
        : "podman (with netavark and aardvark-dns) is not installed here";
