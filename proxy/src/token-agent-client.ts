import { connect } from "node:net";
import { PolarisError } from "@polaris-cvm/sdk/errors";

const TIMEOUT_MS = 10_000;

/** Attestation tokens have 1 to 4 KB. */
const MAX_ANSWER_BYTES = 64 * 1024;

/**
 * Asks the token agent for one attestation token over a binding. Protocol: 64 hex digits and a newline; the answer is
 * `token <JWT>` or `error <CODE> <text>`, a newline, and the end.
 *
 * @param socketPath  Unix socket of the agent
 * @param bindingHex  64 lower-case hex digits
 * @throws {PolarisError} ATTESTATION_UNAVAILABLE
 */
export async function requestAttestationToken(
  socketPath: string,
  bindingHex: string,
  signal: AbortSignal,
): Promise<string> {
  const answer = await askAgent(socketPath, `${bindingHex}\n`, signal).catch((cause: unknown) => {
    throw new PolarisError("ATTESTATION_UNAVAILABLE", "the token agent did not answer", { cause });
  });
  const token = /^token ([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)\n$/.exec(answer)?.[1];
  if (token !== undefined) return token;

  const agentCode = /^error ([A-Z_]{1,64}) /.exec(answer)?.[1] ?? "an answer out of protocol";
  throw new PolarisError("ATTESTATION_UNAVAILABLE", `the token agent refused: ${agentCode}`, {
    details: { agentCode },
  });
}

function askAgent(socketPath: string, question: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: socketPath });
    const abort = (): void => void socket.destroy(new Error("the request was given up"));
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    const chunks: Buffer[] = [];
    let byteCount = 0;
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error("no answer in time")));
    socket.on("data", (chunk: Buffer) => {
      byteCount += chunk.length;
      if (byteCount > MAX_ANSWER_BYTES) socket.destroy(new Error("an answer without an end"));
      else chunks.push(chunk);
    });
    socket.on("error", reject);
    socket.on("end", () => resolve(Buffer.concat(chunks).toString("latin1")));
    socket.on("close", () => {
      signal.removeEventListener("abort", abort);
      reject(new Error("the connection ended early"));
    });
    socket.write(question);
  });
}
