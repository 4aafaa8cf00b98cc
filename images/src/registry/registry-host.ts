import { isIPv4 } from "node:net";

const DOCKER_HUB = "docker.io";

/**
 * Where the API of a registry is. Plain HTTP is for this machine alone, and nothing switches that off: what a registry
 * answers decides what is deployed, and our password goes with the question.
 *
 * @param registry  `host` or `host:port`, as in an image reference
 */
export function registryOrigin(registry: string): URL {
  // Docker Hub's API has another name than its images (distribution/reference).
  if (registry === DOCKER_HUB) return new URL("https://registry-1.docker.io");
  const url = new URL(`https://${registry}`);
  if (isLoopback(url)) return new URL(`http://${registry}`);
  return url;
}

/** How `docker login` and credential helpers call a registry. */
export function credentialKey(registry: string): string {
  return registry === DOCKER_HUB ? "https://index.docker.io/v1/" : registry;
}

/** What a person types to log in. */
export function loginCommand(registry: string): string {
  return registry === DOCKER_HUB ? "docker login" : `docker login ${registry}`;
}

/** True for `localhost`, 127.0.0.0/8 and ::1. */
export function isLoopback({ hostname }: URL): boolean {
  return (
    hostname === "localhost" || hostname === "[::1]" || (isIPv4(hostname) && hostname.startsWith("127."))
  );
}

/** Whether bytes that came from `from` may lead us to `to`: over TLS, or within this machine. */
export function mayLeadTo(from: URL, to: URL): boolean {
  if (to.username !== "" || to.password !== "") return false;
  return to.protocol === "https:" || (to.protocol === "http:" && from.protocol === "http:" && isLoopback(to));
}
