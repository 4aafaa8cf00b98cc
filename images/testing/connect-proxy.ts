import { once } from "node:events";
import { createServer } from "node:http";
import { connect } from "node:net";
import type { AddressInfo, Socket } from "node:net";

/** What a client has asked a proxy for. */
export interface SeenTunnel {
  /** `host:port` */
  readonly authority: string;
  readonly authorization: string | undefined;
}

export interface ConnectProxy {
  /** `127.0.0.1:<port>` */
  readonly host: string;
  readonly tunnels: readonly SeenTunnel[];
  /** Requests that are no CONNECT: whoever sends one gives the proxy everything to read. */
  readonly plainRequests: readonly string[];
  stop(): Promise<void>;
}

export interface ConnectProxyOptions {
  /** Of the login that it wants. */
  readonly authorization?: string;
  /** What it answers in place of a connection. */
  readonly status?: number;
  /** It takes a request, and says nothing. */
  readonly isSilent?: boolean;
}

/** Starts an HTTP proxy on loopback (RFC 9110 §9.3.6) for which every host is this machine. */
export async function startConnectProxy(options: ConnectProxyOptions = {}): Promise<ConnectProxy> {
  const tunnels: SeenTunnel[] = [];
  const plainRequests: string[] = [];
  const ends = new Set<Socket>();
  const server = createServer((request, response) => {
    plainRequests.push(`${request.method} ${request.url}`);
    response.writeHead(400).end();
  });
  server.on("connection", (socket: Socket) => ends.add(socket));
  server.on("connect", ({ url: authority = "", headers }, client: Socket) => {
    tunnels.push({ authority, authorization: headers["proxy-authorization"] });
    client.on("error", () => {});
    if (options.isSilent === true) return;
    const isKnown =
      options.authorization === undefined || headers["proxy-authorization"] === options.authorization;
    const status = isKnown ? (options.status ?? 200) : 407;
    client.write(`HTTP/1.1 ${status} Status\r\n${status === 407 ? "Proxy-Authenticate: Basic\r\n" : ""}\r\n`);
    if (status !== 200) return void client.end();
    const target = connect(Number(authority.split(":").at(-1)), "127.0.0.1");
    ends.add(target);
    target.on("error", () => client.destroy());
    client.pipe(target).pipe(client);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    tunnels,
    plainRequests,
    async stop() {
      for (const end of ends) end.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
