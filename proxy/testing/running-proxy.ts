/** Real servers on loopback for the tests of the proxy: a workload that remembers what reached it, and a proxy before it. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { ProxyLimits, ProxySettings } from "../src/environment.ts";
import type { KeyProvider } from "../src/keys/key-provider.ts";
import { createLog } from "../src/log.ts";
import { createProxy } from "../src/server.ts";
import type { TlsIdentity } from "../src/tls-identity.ts";
import { createContainerKeyProvider } from "./golden-vectors.ts";
import type { RawAnswer } from "./raw-answers.ts";
import { openRaw } from "./raw-connection.ts";

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  /** Names in lower case, in the order in which they came. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly body: string;
  /** Of the connection that it came on. */
  readonly peerPort: number | undefined;
}

export interface RunningWorkload extends AsyncDisposable {
  readonly url: string;
  readonly seen: SeenRequest[];
}

type WorkloadAnswering = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

/** Starts a workload. Default answer: 200 and the body that came. */
export async function startWorkload(answer?: WorkloadAnswering): Promise<RunningWorkload> {
  const seen: SeenRequest[] = [];
  const server = createServer({ maxHeaderSize: 128 * 1024 }, (request, response) => {
    // One that is broken off in the middle is not remembered.
    remember(request, response).catch(() => response.destroy());
  });
  async function remember(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url = "", rawHeaders } = request;
    const peerPort = request.socket.remotePort;
    const body = await readAll(request);
    seen.push({ method, url, fields: pairs(rawHeaders), body, peerPort });
    if (answer === undefined) response.writeHead(200, { "content-type": "text/plain" }).end(body);
    else await answer(request, response);
  }
  server.maxHeadersCount = 0;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

async function readAll(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const chunk of request.setEncoding("utf8")) body += String(chunk);
  return body;
}

function pairs(rawHeaders: readonly string[]): [string, string][] {
  return Array.from({ length: rawHeaders.length / 2 }, (_, index) => [
    (rawHeaders[index * 2] ?? "").toLowerCase(),
    rawHeaders[index * 2 + 1] ?? "",
  ]);
}

export interface RunningProxy extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly metricsPort: number | undefined;
  /** Lines of the log so far, parsed. */
  log(): Record<string, unknown>[];
  /** The log as it was written. */
  logText(): string;
  /** Resolves once the log has so many lines. */
  untilLogged(lineCount: number): Promise<void>;
  close(): Promise<void>;
}

/** The defaults, but for a smaller body. */
const TEST_LIMITS: ProxyLimits = {
  maxHeaderBytes: 65_536,
  maxBodyBytes: 1024 * 1024,
  maxBufferedBytes: 256 * 1024 * 1024,
  maxConnections: 4096,
  maxRequests: 1024,
  maxQueuedUnwraps: 256,
  headersTimeoutMs: 10_000,
  bodyTimeoutMs: 120_000,
  idleTimeoutMs: 60_000,
  shutdownTimeoutMs: 2_000,
};

export type ProxyOverrides = Partial<Omit<ProxySettings, "workload" | "limits">> & {
  readonly limits?: Partial<ProxyLimits>;
  readonly tlsIdentity?: TlsIdentity;
  readonly workload?: Partial<ProxySettings["workload"]>;
  readonly keys?: KeyProvider;
};

let sharedKeys: Promise<KeyProvider> | undefined;

/** One provider for all proxies of a process, which ends with it; one of their own for those with a limit of their own. */
async function obtainKeys(maxQueuedUnwraps: number | undefined): Promise<KeyProvider> {
  if (maxQueuedUnwraps !== undefined) return await createContainerKeyProvider(maxQueuedUnwraps);
  sharedKeys ??= createContainerKeyProvider();
  return { ...(await sharedKeys), close: () => undefined };
}

/** Starts a proxy with the key of the golden vectors; both directions may be sealed or clear unless told otherwise. */
export async function startProxy(workloadUrl: string, overrides: ProxyOverrides = {}): Promise<RunningProxy> {
  const { keys, tlsIdentity, workload, limits, ...others } = overrides;
  const lines: string[] = [];
  let look = (): void => undefined;
  const write = (line: string): void => {
    lines.push(line);
    look();
  };
  const settings: ProxySettings = {
    host: "127.0.0.1",
    port: 0,
    stack: "test/default",
    encryption: { requests: "optional", responses: "optional" },
    headerNames: { url: "polaris-url", secure: "polaris-secure", responseKey: "polaris-response-public-key" },
    logLevel: "debug",
    cors: { origins: [] },
    tls: { mode: "off" },
    key: { kind: "ephemeral" },
    ...others,
    limits: { ...TEST_LIMITS, ...limits },
    workload: { url: workloadUrl, timeoutMs: 5_000, ...workload },
  };
  const proxy = createProxy({
    settings,
    keys: keys ?? (await obtainKeys(limits?.maxQueuedUnwraps)),
    log: createLog(settings.logLevel, { write }),
    ...(tlsIdentity !== undefined && { tls: tlsIdentity }),
    nowMs: () => 1_800_000_000_000,
  });
  const { port, metricsPort } = await proxy.listen();
  return {
    port,
    metricsPort,
    url: `${tlsIdentity === undefined ? "http" : "https"}://127.0.0.1:${port}`,
    logText: () => lines.join(""),
    log: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>),
    untilLogged: (lineCount) =>
      new Promise((resolve) => {
        look = () => void (lines.length >= lineCount && resolve());
        look();
      }),
    close: () => proxy.close(),
    [Symbol.asyncDispose]: () => proxy.close(),
  };
}

export type { RawAnswer } from "./raw-answers.ts";

/**
 * Sends bytes as they are and reads until the other side ends, so the request should say `connection: close`.
 *
 * @returns the last answer
 */
export async function sendRaw(port: number, bytes: string | Buffer): Promise<RawAnswer> {
  using connection = openRaw(port).send(bytes);
  const answers = await connection.answers(bytes.toString("latin1").startsWith("HEAD "));
  const last = answers.at(-1);
  if (last === undefined) throw new Error(`no answer: ${await connection.ended}`);
  return last;
}
