import type { LocalState } from "./state.ts";

/** The endpoint of a local stack: its proxy. */
export function localEndpoint(state: LocalState): string {
  return `http://127.0.0.1:${state.ports.proxy}`;
}

/** Where the trust services of a local stack listen. */
export function trustUrl(state: LocalState): string {
  return `http://127.0.0.1:${state.ports.trust}`;
}
