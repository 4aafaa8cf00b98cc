import assert from "node:assert/strict";
import { once } from "node:events";
import { chmod, link, mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { NONCE, REFUSAL, REFUSED_TOKEN_REQUESTS } from "../../../../proxy/testing/refused-token-requests.ts";
import { startTokenAgent, type TokenAgentOptions } from "./agent.ts";

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-test-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

interface TestAgent {
  readonly socketPath: string;
  readonly nonces: string[];
  readonly logs: unknown[][];
  clockMs: number;
  close(): Promise<void>;
}

async function startTestAgent(t: TestContext, options: Partial<TokenAgentOptions> = {}): Promise<TestAgent> {
  const socketPath = join(await temporaryFolder(t), "s", "agent.sock");
  const agent: TestAgent = { socketPath, nonces: [], logs: [], clockMs: 0, close: async () => undefined };
  const running = await startTokenAgent({
    socketPath,
    issueToken: async (nonce) => {
      agent.nonces.push(nonce);
      return "header.payload.signature";
    },
    log: (...line) => agent.logs.push(line),
    now: () => agent.clockMs,
    ...options,
  });
  let closed = false;
  agent.close = async () => {
    if (!closed) await running.close();
    closed = true;
  };
  t.after(() => agent.close());
  return agent;
}

/** All that the agent sends until it closes. */
async function readAnswer(socket: Socket): Promise<string> {
  let answer = "";
  socket.on("data", (chunk: Buffer) => (answer += chunk.toString()));
  // What is sent to a socket that the agent has closed already fails; the answer was there before.
  socket.on("error", () => undefined);
  await new Promise((resolve) => {
    socket.once("close", resolve);
  });
  return answer;
}

async function ask(socketPath: string, ...parts: (string | Buffer)[]): Promise<string> {
  const socket = connect(socketPath);
  const answer = readAnswer(socket);
  await once(socket, "connect");
  for (const part of parts) socket.write(part);
  return answer;
}

test("one nonce gives one token, whether or not the client closes its half", async (t) => {
  const agent = await startTestAgent(t);
  assert.equal(await ask(agent.socketPath, `${NONCE}\n`), "token header.payload.signature\n");
  const socket = connect(agent.socketPath);
  const answer = readAnswer(socket);
  socket.end(`${NONCE}\n`);
  assert.equal(await answer, "token header.payload.signature\n");
  assert.equal(
    await ask(agent.socketPath, NONCE.slice(0, 10), NONCE.slice(10), "\n"),
    "token header.payload.signature\n",
  );
  assert.deepEqual(agent.nonces, [NONCE, NONCE, NONCE]);
  assert.deepEqual(agent.logs[0], ["info", "token issued", { durationMs: 0 }]);
});

test("anything but 64 lowercase hex characters and a line feed is refused, and asks for no token", async (t) => {
  const agent = await startTestAgent(t);
  for (const [name, input] of REFUSED_TOKEN_REQUESTS) {
    await t.test(name, async () => {
      assert.equal(await ask(agent.socketPath, input), REFUSAL);
    });
  }
  await t.test("the end before the line feed", async () => {
    const socket = connect(agent.socketPath);
    const answer = readAnswer(socket);
    socket.end(NONCE);
    assert.match(await answer, /^error REQUEST_INVALID /);
  });
  assert.deepEqual(agent.nonces, []);
});

test("a client that keeps its half open does not keep the connection", { timeout: 5000 }, async (t) => {
  const agent = await startTestAgent(t);
  const socket = connect({ path: agent.socketPath, allowHalfOpen: true });
  t.after(() => socket.destroy());
  socket.write(`${NONCE}\n`);
  socket.resume();
  await once(socket, "end");
  const failed = once(socket, "error");
  socket.write("more");
  const [error] = await failed.catch((reason: unknown) => [reason]);
  assert.equal((error as NodeJS.ErrnoException).code, "EPIPE");
});

test("a client that is too slow is told so and dropped", async (t) => {
  const agent = await startTestAgent(t, { inputTimeoutMs: 20 });
  assert.equal(await ask(agent.socketPath, NONCE), "error TIMEOUT no complete request within 20 ms\n");
  assert.deepEqual(agent.nonces, []);
});

test("more than twenty at once are refused, and ten come back each second", async (t) => {
  const agent = await startTestAgent(t);
  const askMany = async (count: number): Promise<string[]> =>
    Promise.all(Array.from({ length: count }, () => ask(agent.socketPath, `${NONCE}\n`)));
  const limited = "error RATE_LIMITED too many requests, try again in a second\n";
  const answers = await askMany(25);
  assert.equal(answers.filter((answer) => answer === "token header.payload.signature\n").length, 20);
  assert.equal(answers.filter((answer) => answer === limited).length, 5);
  agent.clockMs = 1000;
  assert.equal((await askMany(12)).filter((answer) => answer === limited).length, 2);
  assert.equal(agent.nonces.length, 30);
});

test("a failure of the issuer is one line with its code", async (t) => {
  const failures = [
    new PolarisError("ATTESTATION_UNAVAILABLE", "the attestation issuer\ngives no token"),
    new Error("a secret of somebody else"),
  ];
  const agent = await startTestAgent(t, {
    issueToken: async () => {
      throw failures.shift() ?? new Error();
    },
  });
  assert.equal(
    await ask(agent.socketPath, `${NONCE}\n`),
    "error ATTESTATION_UNAVAILABLE the attestation issuer gives no token\n",
  );
  assert.equal(await ask(agent.socketPath, `${NONCE}\n`), "error INTERNAL internal error\n");
  assert.equal(JSON.stringify(agent.logs).includes("secret"), false);
});

test("a client that went away, or an agent that closes, does not disturb the others", async (t) => {
  const asked = Promise.withResolvers<AbortSignal>();
  const issue = Promise.withResolvers<string>();
  const agent = await startTestAgent(t, {
    issueToken: async (_nonce, signal) => {
      asked.resolve(signal);
      return issue.promise;
    },
  });
  const socket = connect(agent.socketPath);
  socket.write(`${NONCE}\n`);
  const signal = await asked.promise;
  const other = ask(agent.socketPath, `${NONCE}\n`);
  socket.destroy();
  issue.resolve("late");
  assert.equal(await other, "token late\n");
  assert.equal(signal.aborted, false);
  await agent.close();
  assert.equal(signal.aborted, true);
});

test("socket and folder are for one user, and gone after the close", async (t) => {
  const folder = await temporaryFolder(t);
  const socketPath = join(folder, "s", "agent.sock");
  const agent = await startTokenAgent({
    socketPath,
    issueToken: async () => "t",
    log: () => undefined,
    now: () => 0,
  });
  const open = connect(socketPath);
  await once(open, "connect");
  assert.equal((await stat(socketPath)).mode & 0o777, 0o600);
  assert.equal((await stat(join(folder, "s"))).mode & 0o777, 0o700);
  const closed = once(open, "close");
  open.on("error", () => undefined).resume();
  await agent.close();
  await closed;
  assert.deepEqual(await readdir(join(folder, "s")), []);
});

test("a place that is not safe to listen at is refused", async (t) => {
  const start = async (socketPath: string): Promise<unknown> =>
    startTokenAgent({ socketPath, issueToken: async () => "t", log: () => undefined, now: () => 0 });
  const folder = await temporaryFolder(t);
  await t.test("somebody listens there", async (t) => {
    const agent = await startTestAgent(t);
    await assert.rejects(start(agent.socketPath), {
      code: "PORT_TAKEN",
      message: `somebody else listens on ${agent.socketPath}`,
    });
    assert.match(await ask(agent.socketPath, `${NONCE}\n`), /^token /);
  });
  await t.test("a file is there", async () => {
    await mkdir(join(folder, "file"), { mode: 0o700 });
    const path = join(folder, "file", "agent.sock");
    await writeFile(path, "precious");
    await assert.rejects(start(path), { code: "STATE_CORRUPT", message: `${path} is not a socket` });
  });
  await t.test("the folder is open to others", async () => {
    await mkdir(join(folder, "open"));
    await chmod(join(folder, "open"), 0o755);
    await assert.rejects(start(join(folder, "open", "agent.sock")), {
      code: "STATE_CORRUPT",
      message: `${join(folder, "open")} is not a folder of this user alone`,
    });
  });
  await t.test("the folder is a link", async () => {
    await mkdir(join(folder, "real"), { mode: 0o700 });
    await symlink(join(folder, "real"), join(folder, "link"));
    await assert.rejects(start(join(folder, "link", "agent.sock")), { code: "STATE_CORRUPT" });
  });
  await t.test("the path is too long", async () => {
    const path = join(folder, "a".repeat(104));
    await assert.rejects(start(path), {
      code: "CONFIG_INVALID",
      message: `the socket path is longer than 103 bytes: ${path}`,
    });
  });
});

test("a socket that a dead process left behind is replaced", async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, "s"), { mode: 0o700 });
  const socketPath = join(folder, "s", "agent.sock");
  const dead = createServer();
  dead.listen(socketPath);
  await once(dead, "listening");
  // Closing removes the name; a second name of the same socket stays, as after a kill.
  await link(socketPath, join(folder, "s", "left"));
  dead.close();
  await once(dead, "close");
  const agent = await startTokenAgent({
    socketPath: join(folder, "s", "left"),
    issueToken: async () => "t",
    log: () => undefined,
    now: () => 0,
  });
  t.after(() => agent.close());
  assert.equal(await ask(join(folder, "s", "left"), `${NONCE}\n`), "token t\n");
});
