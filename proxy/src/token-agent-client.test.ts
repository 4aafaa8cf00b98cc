import assert from "node:assert/strict";
import { test } from "node:test";
import { startTokenAgent } from "../testing/token-agent-double.ts";
import { requestAttestationToken } from "./token-agent-client.ts";

const NEVER = new AbortController().signal;
const BINDING = "ab".repeat(32);

test("sends the binding and a newline, and takes the token", async () => {
  await using agent = await startTokenAgent(() => "token e30.e30.c2ln\n");
  assert.equal(await requestAttestationToken(agent.socketPath, BINDING, NEVER), "e30.e30.c2ln");
  assert.deepEqual(agent.questions, [`${BINDING}\n`]);
});

const FAILURES: readonly [what: string, answer: string, message: string][] = [
  ["refuses", "error RATE_LIMITED slow down\n", "the token agent refused: RATE_LIMITED"],
  ["says nothing", "", "the token agent refused: an answer out of protocol"],
  ["breaks off", "token e30.e30", "the token agent refused: an answer out of protocol"],
  ["adds something", "token e30.e30.c2ln\nmore\n", "the token agent refused: an answer out of protocol"],
  ["sends no token", "token <html>\n", "the token agent refused: an answer out of protocol"],
  ["never ends", "x".repeat(70_000), "the token agent did not answer"],
];

for (const [what, answer, message] of FAILURES) {
  test(`an agent that ${what} means that there is no evidence now`, async () => {
    await using agent = await startTokenAgent(() => answer);
    await assert.rejects(requestAttestationToken(agent.socketPath, BINDING, NEVER), {
      code: "ATTESTATION_UNAVAILABLE",
      message,
    });
  });
}

test("an agent that is not there means that there is no evidence now", async () => {
  await assert.rejects(requestAttestationToken("/nonexistent/agent.sock", BINDING, NEVER), {
    code: "ATTESTATION_UNAVAILABLE",
  });
});

test("an agent that does not answer is given up with the request", async () => {
  await using agent = await startTokenAgent(() => undefined);
  await assert.rejects(requestAttestationToken(agent.socketPath, BINDING, AbortSignal.timeout(20)), {
    code: "ATTESTATION_UNAVAILABLE",
  });
});
