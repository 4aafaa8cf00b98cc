import type { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { ClientPresence } from "./client-presence.ts";
import type { Workload } from "./forward.ts";
import { breakConnection, endConnection, formatLastAnswer } from "./last-bytes.ts";
import { describeProblem, problemLines } from "./problem.ts";
import { readReceived } from "./received-request.ts";
import type { ReceivedRequest } from "./received-request.ts";
import { checkFraming } from "./request-framing.ts";
import type { Running, Serving } from "./serve-request.ts";
import { isSystemTarget } from "./system-routes.ts";
import type { Traffic } from "./traffic.ts";
import type { WireFormat } from "./wire-format.ts";

/** After so long without a byte, a client is asked whether it is still there. */
const KEEP_ALIVE_PROBE_MS = 60_000;

export interface UpgradeContext {
  readonly wire: WireFormat;
  readonly workload: Workload;
  readonly serving: Serving;
}

/** Requests for another protocol, WebSocket above all: nothing of it can be sealed, it goes through byte for byte. */
export interface Upgrades {
  /** Whether a request may have what it asks for: only where the exchange is in the clear. */
  takes(request: IncomingMessage): boolean;
  /** Never rejects. @param head  bytes that came behind the request already */
  serve(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void>;
  /** Cuts what goes on. */
  cut(): void;
}

export function createUpgrades({ wire, workload, serving }: UpgradeContext): Upgrades {
  const tunnels = new Set<Duplex>();

  function takes(request: IncomingMessage): boolean {
    const received = readReceived(request);
    const protocol = received.headers.upgrade?.toLowerCase();
    if (received.method !== "GET" || received.body !== undefined || protocol === "h2c") return false;
    if (isSystemTarget(received.target)) return false;
    try {
      return wire.admit(received.headers).isClear;
    } catch {
      // The way of every request says what is wrong.
      return false;
    }
  }

  async function tunnel(
    received: ReceivedRequest,
    socket: Duplex,
    head: Buffer,
    running: Running,
  ): Promise<number> {
    running.admit();
    const { traffic } = running;
    const client = new ClientPresence();
    socket.once("close", () => client.leave());
    const forwarding = { client, peerAddress: received.peerAddress, traffic };
    const protocol = received.headers.upgrade ?? "";
    const answer = await workload.upgrade(received, protocol, forwarding);
    if (answer.socket === undefined) {
      const text = formatLastAnswer(answer.status, answer.fieldLines, "");
      endConnection(socket, Buffer.concat([Buffer.from(text, "latin1"), answer.body]));
      traffic.bytesOut = answer.body.length;
      return answer.status;
    }
    socket.write(formatSwitch(answer.fieldLines, answer.protocol), "latin1");
    await connect(socket, answer.socket, head, traffic);
    return answer.status;
  }

  return {
    takes,
    async serve(request, socket, head) {
      const running = serving.begin("workload");
      const received = readReceived(request);
      tunnels.add(socket);
      // Whatever happens to it closes it, too.
      socket.on("error", () => undefined);
      socket.once("close", () => tunnels.delete(socket));
      try {
        checkFraming(request);
        // Node hands it over as if it asked for another protocol.
        if (received.method === "CONNECT") {
          throw new PolarisError("REQUEST_INVALID", "CONNECT is not forwarded");
        }
        const status = await tunnel(received, socket, head, running);
        running.ended(received, { status, hasLeft: false });
      } catch (error) {
        const problem = describeProblem(error, running.requestId);
        const hasLeft = !socket.writable;
        if (hasLeft) socket.destroy();
        else endConnection(socket, formatLastAnswer(problem.status, problemLines(problem), problem.body));
        running.ended(received, { status: problem.status, hasLeft, failure: { problem, error } });
      }
    },
    cut() {
      for (const socket of tunnels) socket.destroy();
    },
  };
}

/** The head that ends HTTP on this connection (RFC 9110 §15.2.2). */
function formatSwitch(fieldLines: readonly string[], protocol: string): string {
  const lines = ["HTTP/1.1 101 Switching Protocols", "connection: upgrade", `upgrade: ${protocol}`];
  for (let index = 0; index < fieldLines.length; index += 2) {
    lines.push(`${fieldLines[index]}: ${fieldLines[index + 1]}`);
  }
  return `${lines.join("\r\n")}\r\n\r\n`;
}

/**
 * Passes bytes both ways until both sides have ended. A client that has said all still hears the workload; the end of the
 * workload is the end. What one side breaks off, breaks off on the other.
 */
async function connect(client: Duplex, workload: Duplex, head: Buffer, traffic: Traffic): Promise<void> {
  // Before anybody listens: those who come later would miss it.
  if (head.length > 0) client.unshift(head);
  // Nobody counts the time of a tunnel: that a client is gone without a word is for TCP to find out.
  if (client instanceof Socket) client.setKeepAlive(true, KEEP_ALIVE_PROBE_MS);
  client.on("data", (chunk: Buffer) => (traffic.bytesIn += chunk.length));
  workload.on("data", (chunk: Buffer) => (traffic.bytesOut += chunk.length));
  client.on("error", () => breakConnection(workload));
  workload.on("error", () => breakConnection(client));
  client.once("close", () => workload.destroy());
  // What the workload said last is still to go out.
  workload.once("close", () => endConnection(client));
  client.pipe(workload);
  workload.pipe(client);
  for (const side of [client, workload])
    if (!side.closed) await new Promise((resolve) => side.once("close", resolve));
}
