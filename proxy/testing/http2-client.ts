/** Node's own client of HTTP/2, which looks at no certificate, for the tests of the proxy. */
import { once } from "node:events";
import { connect } from "node:http2";
import type {
  ClientHttp2Session,
  ClientHttp2Stream,
  IncomingHttpHeaders,
  OutgoingHttpHeaders,
} from "node:http2";

export interface Http2Answer {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly interim: readonly IncomingHttpHeaders[];
  readonly body: string;
  readonly trailers: IncomingHttpHeaders;
  /** RFC 9113 §7: 0 if the answer came to its regular end. */
  readonly rstCode: number;
}

export interface Http2Client extends AsyncDisposable {
  readonly session: ClientHttp2Session;
  /** Begins a request of which a body may follow. */
  begin(headers: OutgoingHttpHeaders): ClientHttp2Stream;
  ask(headers?: OutgoingHttpHeaders, body?: string | Buffer): Promise<Http2Answer>;
}

export async function openHttp2(url: string): Promise<Http2Client> {
  const session = connect(url, { rejectUnauthorized: false });
  session.on("error", () => undefined);
  await once(session, "connect");
  // The limits of the server count from its settings on.
  await once(session, "remoteSettings");
  const begin = (headers: OutgoingHttpHeaders): ClientHttp2Stream =>
    session.request({ ":path": "/", ...headers }, { endStream: false });
  return {
    session,
    begin,
    ask(headers = {}, body) {
      const stream = begin(headers);
      stream.end(body);
      return readAnswer(stream);
    },
    async [Symbol.asyncDispose]() {
      if (session.destroyed) return;
      session.destroy();
      await once(session, "close");
    },
  };
}

/** Resolves when the stream is over, however it ends. */
export async function readAnswer(stream: ClientHttp2Stream): Promise<Http2Answer> {
  let headers: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  const interim: IncomingHttpHeaders[] = [];
  const chunks: Buffer[] = [];
  stream.on("headers", (received: IncomingHttpHeaders) => interim.push(received));
  stream.on("response", (received: IncomingHttpHeaders) => (headers = received));
  stream.on("trailers", (received: IncomingHttpHeaders) => (trailers = received));
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  stream.on("error", () => undefined);
  if (!stream.closed) await new Promise((resolve) => stream.once("close", resolve));
  return {
    status: headers[":status"] as number | undefined,
    headers,
    interim,
    body: Buffer.concat(chunks).toString("latin1"),
    trailers,
    rstCode: stream.rstCode ?? 0,
  };
}
