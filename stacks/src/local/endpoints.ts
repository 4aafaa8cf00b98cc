import type { Plan } from "../plan.ts";
import type { LocalState } from "./state.ts";

/** The one address that a local stack listens on: nobody but this machine reaches it. */
export const LOCAL_HOST = "127.0.0.1";

/** The endpoint of a local stack: its proxy. */
export function localEndpoint({ scheme, ports }: LocalState): string {
  return `${scheme}://${LOCAL_HOST}:${ports.proxy}`;
}

export function endpointScheme({ proxy }: Plan): LocalState["scheme"] {
  return proxy.tls.mode === "off" ? "http" : "https";
}

/** Where the trust services of a local stack listen. */
export function trustUrl(state: LocalState): string {
  return `http://${LOCAL_HOST}:${state.ports.trust}`;
}
