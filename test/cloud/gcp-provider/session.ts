import type { Cloud } from "./cloud.ts";

/**
 * One engine's connection. The engine opens one for each provider resource of a program, so that two of them with different
 * arguments do not share a configuration, although they share this process.
 */
export interface Session {
  /** Where the engine takes log lines; empty until it said so. */
  engineAddress: string;
  /** Set by Configure. */
  cloud: Cloud | undefined;
  readonly cancellation: AbortController;
}

/** Sessions by the connection's address on the engine's side. */
export class Sessions {
  readonly #byPeer = new Map<string, Session>();

  of(peer: string): Session {
    const known = this.#byPeer.get(peer);
    if (known !== undefined) return known;
    const session = { engineAddress: "", cloud: undefined, cancellation: new AbortController() };
    this.#byPeer.set(peer, session);
    return session;
  }

  cancelAll(): void {
    for (const { cancellation } of this.#byPeer.values()) cancellation.abort();
    this.#byPeer.clear();
  }
}

/**
 * @throws {Error} before Configure
 */
export function cloudOf(session: Session): Cloud {
  if (session.cloud === undefined) throw new Error("the provider is not configured");
  return session.cloud;
}
