import assert from "node:assert/strict";
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { describeSpecChange, fingerprintSecrets, specDigest } from "./part-spec.ts";
import type { PartSpec } from "./part-spec.ts";

const spec: PartSpec = {
  name: "workload",
  command: ["node", "server.js"],
  cwd: "/project",
  env: { A: "1", B: "2" },
  ambient: { PATH: "/bin" },
  secrets: { names: ["TOKEN"], digest: "aa" },
  probes: [{ kind: "tcp", port: 8000 }],
  readyTimeoutMs: 1000,
  identity: "sha256:00",
};

test("the order of members does not make another process", () => {
  const shuffled = Object.fromEntries(Object.entries({ ...spec, env: { B: "2", A: "1" } }).toReversed());
  assert.equal(specDigest(shuffled as unknown as PartSpec), specDigest(spec));
  assert.match(specDigest(spec), /^[0-9a-f]{64}$/);
});

test("patience and the environment of whoever starts it do not make another process", () => {
  const { ambient: _ambient, ...bare } = spec;
  for (const same of [
    { ...spec, readyTimeoutMs: 2 },
    { ...spec, graceMs: 9 },
    { ...spec, ambient: { PATH: "/" } },
    bare,
  ]) {
    assert.equal(specDigest(same), specDigest(spec));
  }
});

const changes: [Partial<PartSpec>, string][] = [
  [{ command: ["node", "other.js"] }, "changed: command"],
  [{ cwd: "/elsewhere" }, "changed: folder"],
  [{ env: { A: "hidden", C: "hidden" } }, "changed: environment (A, B, C)"],
  [{ secrets: { names: ["TOKEN"], digest: "bb" } }, "changed: secrets"],
  [{ identity: "sha256:01" }, "changed: files"],
  [{ probes: [] }, "changed: health check"],
  [{ command: ["x"], cwd: "/y" }, "changed: command, folder"],
];
for (const [change, description] of changes) {
  test(`another process, told without values: ${description}`, () => {
    assert.notEqual(specDigest({ ...spec, ...change }), specDigest(spec));
    assert.equal(describeSpecChange(spec, { ...spec, ...change }), description);
  });
}

test("a changed secret has another fingerprint, under a key that only its owner can read", async (t) => {
  const stackDir = await mkdtemp(join(tmpdir(), "polaris-spec-"));
  t.after(() => rm(stackDir, { recursive: true, force: true }));
  const first = await fingerprintSecrets(stackDir, { B: "x", A: "hunter2" }, { create: true });
  assert.deepEqual(first.names, ["A", "B"]);
  assert.match(first.digest, /^[0-9a-f]{64}$/);
  assert.deepEqual(await fingerprintSecrets(stackDir, { A: "hunter2", B: "x" }, { create: false }), first);
  assert.notEqual(
    (await fingerprintSecrets(stackDir, { A: "hunter3", B: "x" }, { create: true })).digest,
    first.digest,
  );
  assert.notEqual(
    (await fingerprintSecrets(stackDir, { A: "x", B: "hunter2" }, { create: true })).digest,
    first.digest,
  );
  const key = join(stackDir, "run", "fingerprint.key");
  assert.equal((await stat(key)).mode & 0o777, 0o600);
  assert.equal((await readFile(key)).length, 32);

  await rm(key);
  assert.notEqual(
    (await fingerprintSecrets(stackDir, { A: "hunter2", B: "x" }, { create: true })).digest,
    first.digest,
  );
});

test("a preview writes no key, and no secrets need none", async (t) => {
  const stackDir = await mkdtemp(join(tmpdir(), "polaris-spec-"));
  t.after(() => rm(stackDir, { recursive: true, force: true }));
  await fingerprintSecrets(stackDir, { A: "hunter2" }, { create: false });
  assert.deepEqual(await fingerprintSecrets(stackDir, {}, { create: true }), { names: [], digest: "" });
  assert.deepEqual(await readdir(stackDir), []);
});

test("refuses a damaged key", async (t) => {
  const stackDir = await mkdtemp(join(tmpdir(), "polaris-spec-"));
  t.after(() => rm(stackDir, { recursive: true, force: true }));
  await fingerprintSecrets(stackDir, { A: "1" }, { create: true });
  await writeFile(join(stackDir, "run", "fingerprint.key"), "short");
  await assert.rejects(fingerprintSecrets(stackDir, { A: "1" }, { create: true }), { code: "STATE_CORRUPT" });
});
