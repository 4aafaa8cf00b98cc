import { connect } from "node:net";
import type { Socket } from "node:net";
import type { LoadJob, LoadOutcome } from "./jobs.ts";
import { createMessageReader } from "./message-reader.ts";

/** Before the window: so that it begins with everything in flight. */
const RAMP_MS = 150;

/** What is sent, and what is looked at in the answers. */
export interface Traffic {
  /** Whole messages, sent in turn. */
  readonly requests: readonly Buffer[];
  /** Throws for a body of another length. */
  readonly checkLength: (byteCount: number) => void;
  /** Looks into one answer in so many; never, without. */
  readonly inspect?: { readonly oneIn: number; readonly body: (body: Buffer) => Promise<void> };
}

/** Sends requests over connections that are kept, as many at a time as there are connections. Rejects at the first fault. */
export async function runClosedLoop(job: LoadJob, traffic: Traffic): Promise<LoadOutcome> {
  const { port, connections, until } = job;
  const requestCount = "requestCount" in until ? until.requestCount : Number.POSITIVE_INFINITY;
  const windowMs = "windowMs" in until ? until.windowMs : Number.POSITIVE_INFINITY;
  const { promise: ended, resolve, reject } = Promise.withResolvers<undefined>();
  const sockets = new Set<Socket>();
  const inspections: Promise<void>[] = [];
  const latenciesMs: number[] = [];
  let sentCount = 0;
  let answeredCount = 0;
  const cpuAtStart = process.cpuUsage();
  const startedMs = performance.now();
  const windowEndMs = startedMs + RAMP_MS + windowMs;

  function open(): void {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true }, send);
    sockets.add(socket);
    let sentMs = 0;
    let byteCount = 0;
    let pieces: Buffer[] | undefined;

    function send(): void {
      if (sentCount === requestCount || performance.now() >= windowEndMs) {
        socket.end();
        return;
      }
      const request = traffic.requests[sentCount % traffic.requests.length] ?? Buffer.alloc(0);
      pieces = traffic.inspect !== undefined && sentCount % traffic.inspect.oneIn === 0 ? [] : undefined;
      sentCount += 1;
      byteCount = 0;
      sentMs = performance.now();
      socket.write(request);
    }

    const read = createMessageReader({
      onHead(head) {
        if (!head.startsWith("HTTP/1.1 200 ")) throw new Error(`answered ${head.split("\r\n")[0]}`);
      },
      onBody(piece) {
        byteCount += piece.length;
        pieces?.push(piece);
      },
      onEnd() {
        traffic.checkLength(byteCount);
        const nowMs = performance.now();
        answeredCount += 1;
        if (nowMs >= startedMs + RAMP_MS && nowMs < windowEndMs) latenciesMs.push(nowMs - sentMs);
        if (pieces !== undefined)
          inspections.push(traffic.inspect?.body(Buffer.concat(pieces)) ?? Promise.resolve());
        send();
      },
    });
    socket.on("data", (piece: Buffer) => {
      try {
        read(piece);
      } catch (error) {
        reject(error);
      }
    });
    socket.on("error", reject);
    socket.on("close", () => {
      sockets.delete(socket);
      if (sockets.size === 0) resolve(undefined);
    });
  }

  try {
    for (let count = 0; count < connections; count += 1) open();
    await ended;
    if (sentCount !== answeredCount)
      throw new Error(`${sentCount - answeredCount} requests without an answer`);
    const elapsedMs = performance.now() - startedMs;
    const { user, system } = process.cpuUsage(cpuAtStart);
    await Promise.all(inspections);
    return {
      requestsPerSecond: (latenciesMs.length / Math.min(windowMs, elapsedMs - RAMP_MS)) * 1000,
      ...percentiles(latenciesMs),
      requestCount: answeredCount,
      elapsedMs,
      cpuMs: (user + system) / 1000,
    };
  } finally {
    for (const socket of sockets) socket.destroy();
  }
}

function percentiles(latenciesMs: readonly number[]): { p50Ms: number; p99Ms: number } {
  const sorted = Float64Array.from(latenciesMs).sort();
  const at = (share: number): number => sorted[Math.ceil(sorted.length * share) - 1] ?? Number.NaN;
  return { p50Ms: at(0.5), p99Ms: at(0.99) };
}
