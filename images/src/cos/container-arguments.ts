/** The command lines by which Docker makes the two containers, and that which fetches secrets. */
import { CONTAINER_HARDENING } from "../container-hardening.ts";
import type { BootInputs } from "./boot-inputs.ts";
import type { SplitEnvironment } from "./environment-file.ts";
import { GIVEN, VM, WORKLOAD_HOST } from "./vm-paths.ts";

const DOCKER = "/usr/bin/docker";

/** The networks of the machine. The workload has the inner one alone: nothing leads out of it, and nothing in. */
export const INSIDE = "polaris-inside";
export const OUTSIDE = "polaris-outside";

export const PROXY_CONTAINER = "polaris-proxy";
export const WORKLOAD_CONTAINER = "polaris-workload";
export const SECRETS_CONTAINER = "polaris-secrets";

/** What a container prints goes to the unit that it is attached to; in `cloud`, to files that the logging agent reads. */
const LOG_OPTIONS: Readonly<Record<BootInputs["logs"], readonly string[]>> = {
  machine: ["--log-driver", "none"],
  cloud: ["--log-driver", "json-file", "--log-opt", "max-size=10m", "--log-opt", "max-file=2"],
};

interface Mount {
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
}

function mountArguments(mounts: readonly Mount[]): string[] {
  return mounts.flatMap(({ source, target, readOnly }) => [
    "--mount",
    `type=bind,source=${source},target=${target}${readOnly ? ",readonly" : ""}`,
  ]);
}

/** The proxy: read-only, published, in the outer network; {@link connectProxy} brings it into the inner one. */
export function createProxy(boot: BootInputs, { others }: SplitEnvironment): string[] {
  const { proxy, workload, providerName } = boot;
  return [
    DOCKER,
    "create",
    "--name",
    PROXY_CONTAINER,
    ...CONTAINER_HARDENING,
    ...LOG_OPTIONS[boot.logs],
    "--read-only",
    "--network",
    OUTSIDE,
    "--publish",
    `0.0.0.0:${proxy.port}:${proxy.containerPort}`,
    ...mountArguments([
      { source: VM.agent, target: GIVEN.agent, readOnly: true },
      ...(providerName === null ? [] : [{ source: VM.tokens, target: GIVEN.tokens, readOnly: true }]),
      ...(workload.keyApi ? [{ source: VM.keyApi, target: GIVEN.keyApi, readOnly: false }] : []),
    ]),
    "--env-file",
    VM.proxyEnvironment,
    ...others.flatMap((assignment) => ["--env", assignment]),
    proxy.image,
  ];
}

/** A second network can be given to a container with `create` only since Docker 25. */
export function connectProxy(): string[] {
  return [DOCKER, "network", "connect", INSIDE, PROXY_CONTAINER];
}

/**
 * The workload: in the inner network alone, without a published port. Values of secrets come from the environment of Docker's
 * client, because its arguments are there to be read and a line of an environment file cannot hold every value.
 */
export function createWorkload(boot: BootInputs, { others }: SplitEnvironment): string[] {
  const { image, command, keyApi } = boot.workload;
  const [program = "", ...args] = command;
  return [
    DOCKER,
    "create",
    "--name",
    WORKLOAD_CONTAINER,
    ...CONTAINER_HARDENING,
    ...LOG_OPTIONS[boot.logs],
    "--network",
    INSIDE,
    "--network-alias",
    WORKLOAD_HOST,
    // A container without a way out must not have one through Docker's resolver, which asks in the machine's name
    // (CVE-2024-29018).
    "--dns",
    "127.0.0.1",
    // To connect to a socket nobody has to write beside it.
    ...mountArguments(keyApi ? [{ source: VM.keyApi, target: GIVEN.keyApi, readOnly: true }] : []),
    "--env-file",
    VM.workloadEnvironment,
    ...others.flatMap((assignment) => ["--env", assignment]),
    ...boot.secrets.flatMap(({ name }) => ["--env", name]),
    "--entrypoint",
    program,
    image,
    ...args,
  ];
}

/** Runs the program that fetches secrets, with the Node of the proxy's image: the machine itself has none. */
export function runSecretFetcher(boot: BootInputs): string[] {
  return [
    DOCKER,
    "run",
    "--rm",
    "--name",
    SECRETS_CONTAINER,
    ...CONTAINER_HARDENING,
    "--log-driver",
    "none",
    "--read-only",
    // The machine's root, without any of its rights: what it reads and writes is root's alone.
    "--user",
    "0:0",
    // It is the machine's own program, and needs of the network what the machine has.
    "--network",
    "host",
    ...mountArguments([
      { source: VM.scripts, target: "/polaris-vm", readOnly: true },
      { source: VM.tokens, target: "/tokens", readOnly: true },
      { source: VM.secrets, target: "/secrets", readOnly: false },
    ]),
    "--entrypoint",
    "node",
    boot.proxy.image,
    "/polaris-vm/fetch-secrets.ts",
    "/polaris-vm/secrets.json",
    "/tokens/attestation-token",
    "/secrets/workload.env",
  ];
}

export function startAttached(container: string): string[] {
  return [DOCKER, "start", "--attach", container];
}

export function removeContainer(container: string): string[] {
  return [DOCKER, "rm", "--force", container];
}

/** The machine gives its units 90 seconds and more when it is turned off. */
export function stopContainer(container: string): string[] {
  return [DOCKER, "stop", "-t", "20", container];
}
