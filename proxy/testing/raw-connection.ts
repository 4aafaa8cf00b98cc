/** Connections of clients and workloads below HTTP: bytes as they are, and what the other side did with them. */
import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import { parseAnswers } from "./raw-answers.ts";
import type { RawAnswer } from "./raw-answers.ts";

/** One side of a connection. */
export class RawConnection implements Disposable {
  readonly stream: Duplex;
  /** How the other side ended it: `end`, or the code of the error. */
  readonly ended: Promise<string>;
  #text = "";
  #look: () => void = () => undefined;

  constructor(stream: Duplex) {
    this.stream = stream;
    let how = "end";
    stream.on("error", (error: NodeJS.ErrnoException) => (how = error.code ?? error.message));
    this.ended = new Promise((resolve) => {
      stream.once("end", () => resolve("end"));
      stream.once("close", () => resolve(how));
    });
    stream.on("data", (chunk: Buffer) => {
      this.#text += chunk.toString("latin1");
      this.#look();
    });
    stream.once("close", () => this.#look());
  }

  /** What came so far, one character a byte. */
  get text(): string {
    return this.#text;
  }

  send(bytes: string | Buffer): this {
    this.stream.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
    return this;
  }

  /** Resolves with what came so far, once it has `part` in it; rejects if the connection ends before. */
  until(part: string): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#look = (): void => {
        if (this.#text.includes(part)) resolve(this.#text);
        else if (this.stream.closed)
          reject(new Error(`ended after ${JSON.stringify(this.#text.slice(-200))}`));
      };
      this.#look();
    });
  }

  /** The answers up to the end of the connection. */
  async answers(wasHead = false): Promise<RawAnswer[]> {
    await this.ended;
    return parseAnswers(this.#text, wasHead);
  }

  /** Ends it as a machine does that has crashed. */
  reset(): void {
    (this.stream as Socket).resetAndDestroy();
  }

  [Symbol.dispose](): void {
    this.stream.destroy();
  }
}

export function openRaw(port: number): RawConnection {
  return new RawConnection(connect(port, "127.0.0.1"));
}

/** Through TLS, without a look at the certificate. */
export function openRawTls(port: number, protocols: string[] = ["http/1.1"]): RawConnection {
  return new RawConnection(
    connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false, ALPNProtocols: protocols }),
  );
}

export interface TcpWorkload extends AsyncDisposable {
  readonly url: string;
  /** The connections so far. */
  readonly connections: readonly RawConnection[];
  /** Resolves with the next connection. */
  next(): Promise<RawConnection>;
}

/**
 * A workload below HTTP.
 *
 * @param onRequest  called once for each connection, with its first bytes
 */
export async function startTcpWorkload(
  onRequest: (connection: RawConnection, firstBytes: string) => void = () => undefined,
): Promise<TcpWorkload> {
  const connections: RawConnection[] = [];
  // A workload that is told that nothing more comes may still answer.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const connection = new RawConnection(socket);
    connections.push(connection);
    socket.once("data", (bytes) => onRequest(connection, bytes.toString("latin1")));
    server.emit("served", connection);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections,
    async next() {
      const [connection] = (await once(server, "served")) as [RawConnection];
      return connection;
    },
    async [Symbol.asyncDispose]() {
      for (const { stream } of connections) stream.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
