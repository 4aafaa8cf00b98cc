import type { ProxySettings } from "./environment.ts";

/** What to say about an address that the proxy could not have: by the names of the variables that it comes from. */
export function describeListenFailure(
  error: unknown,
  settings: Pick<ProxySettings, "host" | "port" | "metricsPort">,
): string {
  const { host, port, variable } = addressOf(error, settings);
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  switch (code) {
    case "EADDRINUSE":
      return `port ${port} of ${host} is taken, set ${variable} to a free one`;
    case "EACCES":
      return `port ${port} of ${host} is not allowed to this user, set ${variable} to one from 1024 on`;
    case "EADDRNOTAVAIL":
      return `${host} is not an address of this machine, set POLARIS_PROXY_HOST to one of its own`;
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `host ${host} is not found, set POLARIS_PROXY_HOST to an address of this machine`;
    default:
      // Codes are words of the system, and say more than nothing.
      return `cannot listen on port ${port} of ${host}${/^[A-Z][A-Z0-9_]+$/.test(code) ? ` (${code})` : ""}`;
  }
}

/** Node names the port that it could not have. */
function addressOf(
  error: unknown,
  { host, port, metricsPort }: Pick<ProxySettings, "host" | "port" | "metricsPort">,
): { host: string; port: number; variable: string } {
  const refusedPort = error instanceof Error && "port" in error ? error.port : undefined;
  return metricsPort !== undefined && refusedPort === metricsPort
    ? { host: "127.0.0.1", port: metricsPort, variable: "POLARIS_PROXY_METRICS_PORT" }
    : { host, port, variable: "POLARIS_PROXY_PORT" };
}
