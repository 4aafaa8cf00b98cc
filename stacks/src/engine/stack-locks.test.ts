import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { parseLocks, readFolderLocks, stackLocked } from "./stack-locks.ts";

/** No process has it: Linux gives at most 2^22. */
const NO_PID = 4_194_305;

test("locks are read from the engine's words, one for each holder", () => {
  const [ada, bob, ...more] = parseLocks(
    "the stack is currently locked by 2 lock(s). Either wait for the other process(es) to end or delete the lock file with `pulumi cancel`." +
      `\n  gs://b/.pulumi/locks/organization/p/s/1.json: created by ada@desk (pid 12) at 2026-01-02T03:04:05Z` +
      `\n  gs://b/.pulumi/locks/organization/p/s/2.json: created by corp\\bob@${hostname()} (pid ${NO_PID}) at 2026-01-02T03:04:06+01:00`,
  );
  assert.deepEqual(ada, {
    pid: 12,
    user: "ada",
    host: "desk",
    since: "2026-01-02T03:04:05Z",
    isOrphaned: false,
  });
  assert.deepEqual([bob?.user, bob?.isOrphaned], ["corp\\bob", true]);
  assert.deepEqual(more, []);
  assert.deepEqual(parseLocks("nothing of the kind"), []);
});

test("a folder's locks are read, and what is none of pulumi's is refused", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "polaris-locks-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  assert.deepEqual(await readFolderLocks(folder, "p", "s"), []);
  const lockDir = join(folder, ".pulumi", "locks", "organization", "p", "s");
  await mkdir(lockDir, { recursive: true });
  const lock = { pid: process.pid, username: "ada", hostname: hostname(), timestamp: "2026-01-02T03:04:05Z" };
  await writeFile(join(lockDir, "a.json"), JSON.stringify(lock));
  assert.deepEqual(await readFolderLocks(folder, "p", "s"), [
    { pid: process.pid, user: "ada", host: hostname(), since: lock.timestamp, isOrphaned: false },
  ]);
  for (const content of ["", "{", "[]", '{"pid":"1"}', JSON.stringify({ ...lock, pid: -1 })]) {
    await writeFile(join(lockDir, "a.json"), content);
    await assert.rejects(
      readFolderLocks(folder, "p", "s"),
      (error: unknown) => error instanceof PolarisError && error.code === "STATE_CORRUPT",
      content,
    );
  }
});

test("the advice depends on whether anybody can still be at work", () => {
  const lock = { pid: 1, user: "ada", host: "desk", since: "2026-01-02T03:04:05Z", isOrphaned: false };
  assert.match(stackLocked("s", [lock]).hint ?? "", /--wait.*on desk.*unlock --force/);
  assert.match(stackLocked("s", [{ ...lock, isOrphaned: true }]).message, /a process that is gone$/);
  assert.match(stackLocked("s", [{ ...lock, isOrphaned: true }]).hint ?? "", /run: polaris unlock$/);
  assert.match(stackLocked("s", []).message, /by somebody else/);
});
