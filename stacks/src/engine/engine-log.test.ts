import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { openEngineLog } from "./engine-log.ts";
import { createMask } from "./mask-secrets.ts";

test("a log is its owner's, has no secret even in two pieces, and keeps the one before it", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "polaris-log-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "engine.log");
  const mask = createMask(["correct-horse"]);

  const first = await openEngineLog(path, mask);
  for (const piece of ["one correct-", "horse\ntwo", " three\n", "no end"]) first.append(piece);
  first.close();
  assert.equal(await readFile(path, "utf8"), "one [secret]\ntwo three\nno end\n");
  assert.equal((await stat(path)).mode & 0o777, 0o600);

  const second = await openEngineLog(path, mask);
  second.append("second\n");
  second.close();
  assert.equal(await readFile(path, "utf8"), "second\n");
  assert.match(await readFile(`${path}.previous`, "utf8"), /^one/);
});

test("a log that cannot be written is said before anything is done", async () => {
  await assert.rejects(
    openEngineLog("/nonexistent/engine.log", (text) => text),
    (error: unknown) => error instanceof PolarisError && error.code === "STATE_UNWRITABLE",
  );
});
