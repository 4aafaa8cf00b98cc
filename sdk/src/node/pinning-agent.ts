import { createHash } from "node:crypto";
import { Agent, type RequestOptions } from "node:https";
import type { Duplex } from "node:stream";
import { connect, type TLSSocket } from "node:tls";
import { PolarisError } from "../errors.ts";

type OnConnection = (error: Error | null, socket?: Duplex) => void;

/**
 * Connections to one TLS key: that of the first connection. HTTP gets a connection, and with it something to send, only
 * after its key has been looked at.
 */
export class PinningAgent extends Agent {
  #pinned: string | undefined;
  readonly #connectTimeoutMs: number;

  constructor(connectTimeoutMs: number) {
    super({ keepAlive: true });
    this.#connectTimeoutMs = connectTimeoutMs;
  }

  /** `sha256:<64 lowercase hex>` of the SPKI that every connection has to show; `undefined` before the first. */
  get pinned(): string | undefined {
    return this.#pinned;
  }

  /** Opens a connection for node:https and gives it to `done` once its key is the pinned one. */
  override createConnection({ host, port, servername }: RequestOptions, done: OnConnection): undefined {
    const socket = connect({
      host: host ?? "",
      port: Number(port),
      ...(servername === undefined ? {} : { servername }),
      ALPNProtocols: ["http/1.1"],
      // No authority vouches for a key that was born with the proxy. No session is ever resumed: each connection proves
      // in a handshake of its own that the other end has the key.
      rejectUnauthorized: false,
      minVersion: "TLSv1.3",
    });
    const timer = setTimeout(() => {
      socket.destroy(new Error(`no connection within ${this.#connectTimeoutMs} ms`));
    }, this.#connectTimeoutMs);
    socket.once("close", () => clearTimeout(timer));
    socket.once("error", done);
    socket.once("secureConnect", () => {
      clearTimeout(timer);
      socket.off("error", done);
      const shown = readPeerKey(socket);
      this.#pinned ??= shown;
      if (shown !== undefined && shown === this.#pinned) {
        done(null, socket);
        return;
      }
      socket.destroy();
      done(mismatch(`${host}:${port}`, this.#pinned, shown));
    });
  }
}

/** `undefined` for what is not a key that Node can read. */
function readPeerKey(socket: TLSSocket): string | undefined {
  try {
    const spki = socket.getPeerX509Certificate()?.publicKey.export({ type: "spki", format: "der" });
    return spki === undefined ? undefined : `sha256:${createHash("sha256").update(spki).digest("hex")}`;
  } catch {
    return undefined;
  }
}

function mismatch(endpoint: string, expected: string | undefined, actual: string | undefined): PolarisError {
  return new PolarisError(
    "TLS_KEY_MISMATCH",
    `${endpoint} shows the TLS key ${actual ?? "of no certificate"}, expected ${expected ?? "one"}`,
    {
      hint: "nothing was sent: the proxy was started again, or somebody stands between; make a new client, which verifies anew",
      details: { expected: expected ?? null, actual: actual ?? null },
    },
  );
}
