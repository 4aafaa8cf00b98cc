/** The proxy that a network may want between its machines and the registries outside. */
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { EnvHttpProxyAgent, Pool } from "undici";
import type { Agent, Dispatcher, buildConnector } from "undici";

export interface OutboundProxy {
  /** With the login for the proxy, if it wants one: for the HTTP client alone, no error and no log may have it. */
  readonly url: URL;
  /** Hosts to be reached without it: names with what is below them, `host:port`, `*`. Unlike for curl and Go, no networks (CIDR). */
  readonly noProxy: string;
}

/**
 * In this order. All that we ask beyond this machine goes over TLS, so HTTP_PROXY alone means the same; for curl and Docker
 * it is about plain HTTP only.
 */
const PROXY_VARIABLES = ["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"] as const;

/**
 * @returns undefined if no variable names a proxy
 * @throws {PolarisError} USAGE_INVALID for what is no URL of an HTTP proxy, without repeating it
 */
export function readOutboundProxy(
  environment: Readonly<Record<string, string | undefined>>,
): OutboundProxy | undefined {
  // An empty variable counts as none, for curl too.
  const variable = PROXY_VARIABLES.find((name) => (environment[name] ?? "") !== "");
  if (variable === undefined) return undefined;
  const text = environment[variable] ?? "";
  const url = URL.parse(text.includes("://") ? text : `http://${text}`);
  if (url === null || !["http:", "https:"].includes(url.protocol) || !isDecodable(url)) {
    throw new PolarisError("USAGE_INVALID", `${variable} is not the URL of an HTTP proxy`, {
      hint: "set it to http://host:port, with user:password@ before the host if the proxy wants a login (percent-encoded)",
    });
  }
  return { url, noProxy: environment["no_proxy"] || environment["NO_PROXY"] || "" };
}

function isDecodable({ username, password }: URL): boolean {
  try {
    decodeURIComponent(username);
    decodeURIComponent(password);
    return true;
  } catch {
    return false;
  }
}

/**
 * Connections through the proxy. It gets to know the host and no more: TLS is between us and the registry, whose certificate
 * is checked as without a proxy.
 *
 * @param options.tunnelTimeoutMs  how long the proxy may take to reach the host
 */
export function createProxyDispatcher(
  { url, noProxy }: OutboundProxy,
  options: Agent.Options & {
    readonly connect: buildConnector.BuildOptions;
    readonly tunnelTimeoutMs: number;
  },
): Dispatcher {
  const { tunnelTimeoutMs, ...agentOptions } = options;
  return new EnvHttpProxyAgent({
    ...agentOptions,
    // All three are given, so that nobody looks into the environment again.
    httpProxy: url.href,
    httpsProxy: url.href,
    noProxy,
    proxyTls: options.connect,
    requestTls: options.connect,
    clientFactory: (origin, clientOptions) =>
      new Pool(origin, { ...clientOptions, headersTimeout: tunnelTimeoutMs }),
  });
}
