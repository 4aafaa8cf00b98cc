import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createServiceAgent, requestService } from "./service-request.ts";

test("with a socket every service is asked there, whatever its origin, and without one over the network", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "polaris-services-"));
  const socketPath = join(folder, "services.sock");
  const server = createServer(({ headers, url }, response) => {
    response.end(JSON.stringify({ host: headers.host, url }));
  }).listen(socketPath);
  await once(server, "listening");
  const agents = [createServiceAgent(socketPath), createServiceAgent(undefined)] as const;
  t.after(async () => {
    await Promise.all(agents.map((agent) => agent.destroy()));
    server.close();
    await rm(folder, { recursive: true });
  });
  // Nobody listens on port 1: over the network there is no answer.
  const question = { service: "the service", method: "GET", url: "http://127.0.0.1:1/v1/key" } as const;
  const signal = AbortSignal.timeout(5_000);
  assert.deepEqual(await requestService(agents[0], question, signal), {
    status: 200,
    json: { host: "127.0.0.1:1", url: "/v1/key" },
  });
  await assert.rejects(requestService(agents[1], question, signal), { code: "KEY_UNAVAILABLE" });
});
