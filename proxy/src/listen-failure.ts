import type { ProxySettings } from "./environment.ts";

/** What to say about an address that the proxy could not have: by the names of the variables that it comes from. */
export function describeListenFailure(
  error: unknown,
  { host, port }: Pick<ProxySettings, "host" | "port">,
): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  switch (code) {
    case "EADDRINUSE":
      return `port ${port} of ${host} is taken, set POLARIS_PROXY_PORT to a free one`;
    case "EACCES":
      return `port ${port} of ${host} is not allowed to this user, set POLARIS_PROXY_PORT to one from 1024 on`;
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
