import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { requestAttestationToken } from "../../proxy/src/token-agent-client.ts";
import { NONCE, REFUSAL, REFUSED_TOKEN_REQUESTS } from "../../proxy/testing/refused-token-requests.ts";
import { SCRIPTS_MISSING, copyScripts } from "./boot-scripts.ts";

/** Writes a token that says what was asked for, as the real tool does: into the file of `--output`. */
const TOOL = `#!/bin/bash
here=$(dirname "$0")
echo "$*" >>"$here/calls"
while [ $# -gt 0 ]; do if [ "$1" = --output ]; then output=$2; fi; shift; done
[ -e "$here/broken" ] && exit 1
printf '%s' "$(cat "$here/token")" >"$output"
echo "what the tool says beside it"
`;

interface Agent {
  readonly socketPath: string;
  readonly folder: string;
  /** The command lines that the tool was started with. */
  calls(): Promise<string[]>;
}

/** The agent as systemd runs it: one instance a connection, the socket as its input and output. */
async function startAgent(t: TestContext): Promise<Agent> {
  const folder = await copyScripts(t, { gotpm: TOOL });
  await mkdir(join(folder, "state"));
  await writeFile(join(folder, "token"), "header.payload.signature");
  const socketPath = join(folder, "agent.sock");
  const activator = spawn(
    "systemd-socket-activate",
    [
      "--accept",
      "--inetd",
      `--listen=${socketPath}`,
      "/bin/bash",
      join(folder, "answer-token-request.sh"),
      join(folder, "gotpm"),
      "https://verifier.example",
      "polaris-attestation-v1",
      join(folder, "state"),
    ],
    { stdio: "ignore" },
  );
  t.after(async () => {
    activator.kill("SIGTERM");
    if (activator.exitCode === null && activator.signalCode === null) await once(activator, "exit");
  });
  while (!existsSync(socketPath)) await sleep(10);
  const calls = async (): Promise<string[]> =>
    (await readFile(join(folder, "calls"), "utf8").catch(() => "")).split("\n").filter((line) => line !== "");
  return { socketPath, folder, calls };
}

async function readAnswer(socket: Socket): Promise<string> {
  let answer = "";
  socket.setEncoding("utf8").on("data", (text: string) => (answer += text));
  // What is sent to a socket that the agent has closed already fails; the answer was there before.
  socket.on("error", () => undefined);
  await new Promise((resolve) => {
    socket.once("close", resolve);
  });
  return answer;
}

async function ask(socketPath: string, ...parts: readonly (string | Buffer)[]): Promise<string> {
  const socket = connect(socketPath);
  const answer = readAnswer(socket);
  await once(socket, "connect");
  for (const part of parts) socket.write(part);
  return await answer;
}

test(
  "the proxy's own client gets a token for the fixed audience with its binding",
  { skip: SCRIPTS_MISSING },
  async (t) => {
    const agent = await startAgent(t);
    const signal = AbortSignal.timeout(8000);
    assert.equal(await requestAttestationToken(agent.socketPath, NONCE, signal), "header.payload.signature");
    const [call = "", ...more] = await agent.calls();
    assert.match(
      call,
      new RegExp(
        `^token --verifier-endpoint https://verifier\\.example --audience polaris-attestation-v1 --output \\S+ --custom-nonce ${NONCE}$`,
      ),
    );
    assert.deepEqual(more, []);
    // No token stays behind.
    assert.deepEqual((await readdir(join(agent.folder, "state"))).sort(), ["count", "lock"]);
  },
);

test(
  "anything but 64 lower-case hex characters and a line feed asks for no token",
  { skip: SCRIPTS_MISSING },
  async (t) => {
    const agent = await startAgent(t);
    await Promise.all(
      REFUSED_TOKEN_REQUESTS.map(async ([name, input]) => {
        await t.test(name, async () => assert.equal(await ask(agent.socketPath, input), REFUSAL));
      }),
    );
    await t.test("the end before the line feed", async () => {
      const socket = connect({ path: agent.socketPath, allowHalfOpen: true });
      socket.end(NONCE);
      assert.equal(await readAnswer(socket), REFUSAL);
    });
    assert.deepEqual(await agent.calls(), []);
  },
);

test(
  "a request may come in pieces, and its client may close its half",
  { skip: SCRIPTS_MISSING },
  async (t) => {
    const agent = await startAgent(t);
    assert.equal(
      await ask(agent.socketPath, NONCE.slice(10), NONCE.slice(0, 10), "\n"),
      "token header.payload.signature\n",
    );
    const socket = connect({ path: agent.socketPath, allowHalfOpen: true });
    socket.end(`${NONCE}\n`);
    assert.equal(await readAnswer(socket), "token header.payload.signature\n");
  },
);

test(
  "who asks too often is told so, and no more than thirty a minute reach the tool",
  { skip: SCRIPTS_MISSING },
  async (t) => {
    const agent = await startAgent(t);
    const uptimeMinutes = Math.floor(Number((await readFile("/proc/uptime", "utf8")).split(".")[0]) / 60);
    // As if there had been 28 already: in this minute and, should it end now, in the next.
    await writeFile(join(agent.folder, "state/count"), `${uptimeMinutes} 28\n`);
    const answers: string[] = [];
    for (let asked = 0; asked < 4; asked += 1) answers.push(await ask(agent.socketPath, `${NONCE}\n`));
    const limited = "error RATE_LIMITED too many requests, try again in a minute\n";
    const token = "token header.payload.signature\n";
    const now = Math.floor(Number((await readFile("/proc/uptime", "utf8")).split(".")[0]) / 60);
    if (now !== uptimeMinutes) return t.skip("a minute ended in the middle of it");
    assert.deepEqual(answers, [token, token, limited, limited]);
    await writeFile(join(agent.folder, "state/count"), `${uptimeMinutes - 1} 30\n`);
    assert.equal(await ask(agent.socketPath, `${NONCE}\n`), token);
  },
);

test(
  "a tool that fails, is missing or gives no token is one error, and nothing of it goes out",
  { skip: SCRIPTS_MISSING },
  async (t) => {
    const agent = await startAgent(t);
    const unavailable = "error ATTESTATION_UNAVAILABLE the machine got no attestation token\n";
    for (const token of ["", "no token", "a.b", "a.b.c\nd.e.f", "a.b.c.d", "../../x"]) {
      await writeFile(join(agent.folder, "token"), token);
      assert.equal(await ask(agent.socketPath, `${NONCE}\n`), unavailable, token);
    }
    await writeFile(join(agent.folder, "broken"), "");
    assert.equal(await ask(agent.socketPath, `${NONCE}\n`), unavailable);
    await assert.rejects(requestAttestationToken(agent.socketPath, NONCE, AbortSignal.timeout(8000)), {
      code: "ATTESTATION_UNAVAILABLE",
      message: "the token agent refused: ATTESTATION_UNAVAILABLE",
    });
  },
);

test("a client that sends nothing is told so after five seconds", { skip: SCRIPTS_MISSING }, async (t) => {
  const agent = await startAgent(t);
  assert.equal(await ask(agent.socketPath, NONCE), "error TIMEOUT no complete request within 5000 ms\n");
});
