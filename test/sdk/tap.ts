import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";

export interface Tap extends AsyncDisposable {
  readonly url: string;
  /** Every byte from the client's side so far, as Latin-1. */
  sent(): string;
}

/** Stands between clients and a port of this machine, as anybody on the way does, and remembers what clients send. */
export async function startTap(port: number): Promise<Tap> {
  const chunks: Buffer[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((incoming) => {
    const outgoing = connect(port, "127.0.0.1");
    for (const socket of [incoming, outgoing]) sockets.add(socket.on("error", () => undefined));
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk)).pipe(outgoing);
    outgoing.pipe(incoming);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sent: () => Buffer.concat(chunks).toString("latin1"),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
