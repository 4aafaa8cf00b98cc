/**
 * The load generator: does one job at a time for the process that started it, and ends with it. Plain sockets and
 * requests made beforehand, so that the proxy is what takes the time.
 */
import { runClosedLoop } from "./closed-loop.ts";
import type { Traffic } from "./closed-loop.ts";
import { listenToEvents } from "./events-client.ts";
import type { Job, LoadJob } from "./jobs.ts";
import { transferLargeBody } from "./large-body-client.ts";
import { SMALL_BODY, formatClearRequest } from "./messages.ts";
import { sealTraffic } from "./sealed-traffic.ts";

const CLEAR = {
  get: formatClearRequest("GET", "/orders/1"),
  post: Buffer.concat([formatClearRequest("POST", "/orders", SMALL_BODY.length), SMALL_BODY]),
};

/** By port: a proxy has one key as long as it runs. */
const sealedTraffics = new Map<number, Promise<Traffic>>();

async function trafficOf({ messages, port }: LoadJob): Promise<Traffic> {
  if (messages !== "sealed") return { requests: [CLEAR[messages]], checkLength: checkSmall };
  const traffic = sealedTraffics.get(port) ?? sealTraffic(port);
  sealedTraffics.set(port, traffic);
  return await traffic;
}

function checkSmall(byteCount: number): void {
  if (byteCount !== SMALL_BODY.length) throw new Error(`an answer of ${byteCount} bytes came`);
}

async function run(job: Job): Promise<unknown> {
  switch (job.kind) {
    case "load":
      return await runClosedLoop(job, await trafficOf(job));
    case "download":
    case "upload":
      return await transferLargeBody(job);
    case "events":
      return await listenToEvents(job);
  }
}

process.on("message", (job) => {
  run(job as Job).then(
    (outcome) => process.send?.({ outcome }),
    (error: unknown) => process.send?.({ failure: error instanceof Error ? error.message : String(error) }),
  );
});
process.once("disconnect", () => process.exit());
