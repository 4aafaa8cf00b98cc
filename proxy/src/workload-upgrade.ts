import type { Duplex } from "node:stream";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { Dispatcher } from "undici";
import { departure } from "./client-presence.ts";
import type { ClientPresence } from "./client-presence.ts";
import { createFieldFilter, listFieldValues } from "./field-lines.ts";
import type { FieldLines } from "./field-lines.ts";
import { readRawLines, toWorkloadError } from "./workload-answer.ts";

/** What the workload said to another protocol. */
export interface WorkloadUpgrade {
  readonly status: number;
  /** Without those of the hop. */
  readonly fieldLines: FieldLines;
  /** Speaks the other protocol, if the status is 101; otherwise absent. */
  readonly socket: Duplex | undefined;
  /** The protocol that the workload chose; empty if it chose none. */
  readonly protocol: string;
  /** The body of an answer that is not 101, as far as {@link MAX_REFUSAL_BYTES}. */
  readonly body: Buffer;
}

/** A workload that does not take a protocol says why in a few words. */
const MAX_REFUSAL_BYTES = 64 * 1024;

const filterSwitch = createFieldFilter();
/** The refusal is sent on a connection that ends with it. */
const filterRefusal = createFieldFilter(["content-length"]);

/**
 * Asks the workload for another protocol.
 *
 * Rejects with WORKLOAD_UNREACHABLE, WORKLOAD_TIMEOUT, WORKLOAD_RESPONSE_INVALID, or because the client has left.
 */
export function upgradeAtWorkload(
  pool: Dispatcher,
  options: Dispatcher.DispatchOptions,
  client: ClientPresence,
): Promise<WorkloadUpgrade> {
  return new Promise((resolve, reject) => {
    let answer: Omit<WorkloadUpgrade, "body"> | undefined;
    const chunks: Buffer[] = [];
    let byteCount = 0;

    pool.dispatch(options, {
      onRequestStart(controller) {
        client.onLeave(() => controller.abort(departure()));
      },
      onRequestUpgrade(controller, status, _headers, socket) {
        const lines = readRawLines(controller.rawHeaders);
        const protocol = listFieldValues(lines, "upgrade").join(", ");
        resolve({
          status,
          fieldLines: filterSwitch(lines),
          socket,
          protocol,
          body: Buffer.alloc(0),
        });
      },
      onResponseStart(controller, status) {
        if (status < 200) return;
        const fieldLines = filterRefusal(readRawLines(controller.rawHeaders));
        answer = { status, fieldLines, socket: undefined, protocol: "" };
      },
      onResponseData(controller, chunk) {
        byteCount += chunk.length;
        if (byteCount <= MAX_REFUSAL_BYTES) chunks.push(chunk);
        else
          controller.abort(
            new PolarisError(
              "WORKLOAD_RESPONSE_INVALID",
              "the workload says too much about a protocol that it refuses",
            ),
          );
      },
      onResponseEnd() {
        if (answer !== undefined) resolve({ ...answer, body: Buffer.concat(chunks) });
      },
      onResponseError(_controller, error) {
        reject(client.hasLeft ? departure() : toWorkloadError(error, answer !== undefined));
      },
    });
  });
}
