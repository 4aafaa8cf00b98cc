import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { constants, createPrivateKey, publicEncrypt } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { getPriority } from "node:os";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { GOLDEN_VECTORS } from "../../testing/golden-vectors.ts";
import { createKeyThread } from "./key-thread.ts";

const pkcs8 = new Uint8Array(
  createPrivateKey(GOLDEN_VECTORS.containerPrivateKeyPem).export({ format: "der", type: "pkcs8" }),
);
const thread = createKeyThread(pkcs8);
after(() => thread.stop());

function wrap(value: Buffer): Buffer {
  const key = { key: GOLDEN_VECTORS.containerPublicKeyPem, padding: constants.RSA_PKCS1_OAEP_PADDING };
  return publicEncrypt({ ...key, oaepHash: "sha256" }, value);
}

test("unwraps values of any length, also an empty one, and leaves the caller's bytes alone", async () => {
  const keyBefore = Uint8Array.from(pkcs8);
  for (const value of [Buffer.alloc(32, 7), Buffer.alloc(446, 1), Buffer.alloc(0)]) {
    const wrapped = wrap(value);
    const before = Uint8Array.from(wrapped);
    assert.deepEqual(await thread.unwrap(wrapped), Uint8Array.from(value));
    assert.deepEqual(Uint8Array.from(wrapped), before);
  }
  assert.deepEqual(pkcs8, keyBefore);
});

test("whatever is wrong with a ciphertext gives nothing, and the next one opens", async () => {
  const altered = wrap(Buffer.alloc(32));
  altered[100]! ^= 1;
  const key = { key: GOLDEN_VECTORS.containerPublicKeyPem, padding: constants.RSA_PKCS1_OAEP_PADDING };
  const otherHash = publicEncrypt({ ...key, oaepHash: "sha1" }, Buffer.alloc(32));
  const aboveModulus = Buffer.alloc(512, 0xff);
  for (const wrong of [altered, otherHash, aboveModulus, Buffer.alloc(511), Buffer.alloc(0)]) {
    assert.equal(await thread.unwrap(wrong), undefined);
  }
  assert.deepEqual(await thread.unwrap(wrap(Buffer.from("x"))), Uint8Array.from(Buffer.from("x")));
});

test("the operations are not done by the thread of the event loop", async () => {
  const wrapped = wrap(Buffer.alloc(32));
  const [all, own] = [process.cpuUsage(), process.threadCpuUsage()];
  for (let count = 0; count < 20; count++) await thread.unwrap(wrapped);
  const [allSpent, ownSpent] = [process.cpuUsage(all), process.threadCpuUsage(own)];
  assert.ok(
    ownSpent.user + ownSpent.system < (allSpent.user + allSpent.system) / 2,
    `event loop ${ownSpent.user + ownSpent.system} µs of ${allSpent.user + allSpent.system} µs`,
  );
});

test(
  "the thread lets everybody else go first, and one without an operation is not there",
  { skip: !existsSync("/proc/self/task") && "threads have a priority of their own on Linux only" },
  () => {
    const unused = createKeyThread(pkcs8);
    const priorities = readdirSync("/proc/self/task").map((threadId) => getPriority(Number(threadId)));
    assert.equal(priorities.filter((priority) => priority === 10).length, 1);
    assert.equal(getPriority(), 0);
    unused.stop();
  },
);

test("a thread that is stopped answers who waits and who comes, also before its first operation", async () => {
  const failure = { code: "KEY_UNAVAILABLE", message: "the key is gone: the proxy is closing" };
  const unused = createKeyThread(pkcs8);
  unused.stop();
  await assert.rejects(unused.unwrap(wrap(Buffer.alloc(32))), failure);

  const stopping = createKeyThread(pkcs8);
  const waiting = stopping.unwrap(wrap(Buffer.alloc(32)));
  stopping.stop();
  await assert.rejects(waiting, failure);
  await assert.rejects(stopping.unwrap(wrap(Buffer.alloc(32))), failure);
});

test("a key keeps no process alive, an operation does until its end", { timeout: 20_000 }, async () => {
  const program = `
    import { GOLDEN_VECTORS } from ${JSON.stringify(import.meta.resolve("../../testing/golden-vectors.ts"))};
    import { createKeyThread } from ${JSON.stringify(import.meta.resolve("./key-thread.ts"))};
    import { createPrivateKey } from "node:crypto";
    const key = createPrivateKey(GOLDEN_VECTORS.containerPrivateKeyPem);
    const thread = createKeyThread(key.export({ format: "der", type: "pkcs8" }));
    const wrapped = Buffer.from("${wrap(Buffer.from("to the end")).toString("base64")}", "base64");
    await thread.unwrap(wrapped);
    const value = await thread.unwrap(wrapped);
    process.stdout.write(value);
  `;
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, ["--input-type=module", "--eval", program]);
  assert.equal(stdout, "to the end");
});
