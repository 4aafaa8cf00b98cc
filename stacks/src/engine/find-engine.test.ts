import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { compareVersions, isUsableVersion, parseEngineVersion } from "./engine-version.ts";
import { findEngine, pulumiHomeOf, requireEngine } from "./find-engine.ts";

async function makeFolder(t: TestContext): Promise<string> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), "polaris-find-")));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A program that says what pulumi says of its version. */
async function putProgram(path: string, script: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
  return path;
}

const saying = (version: string): string => `test "$1" = version && echo v${version}`;

test("a version is read from what pulumi prints, and nothing else is one", () => {
  for (const [text, version] of [
    ["v3.259.0\n", "3.259.0"],
    ["3.206.0", "3.206.0"],
    ["v3.260.0-dev.0+abc", "3.260.0"],
    ["pulumi 3.1.0", undefined],
    ["", undefined],
    ["v3.259", undefined],
    ["v3.259.0\nv4.0.0", undefined],
  ] as const) {
    assert.equal(parseEngineVersion(text), version, text);
  }
});

test("versions are compared by number, and only new ones of this major are usable", () => {
  assert.ok(compareVersions("3.99.0", "3.206.0") < 0);
  assert.ok(compareVersions("3.206.10", "3.206.9") > 0);
  assert.equal(compareVersions("3.1.2", "3.1.2"), 0);
  assert.deepEqual(["3.205.9", "3.206.0", "3.300.1", "4.0.0", "2.999.0"].map(isUsableVersion), [
    false,
    true,
    true,
    false,
    false,
  ]);
});

test("what the user names is taken, be it the program, its folder, or the folder above", async (t) => {
  const folder = await makeFolder(t);
  const path = await putProgram(join(folder, "bin", "pulumi"), saying("3.259.0"));
  const elsewhere = { searchPath: "", pulumiHome: join(folder, "nothing") };
  for (const chosen of [path, dirname(path), folder]) {
    assert.deepEqual(await findEngine({ chosen, ...elsewhere }), { path, version: "3.259.0" });
  }
});

test("what the user names and is no usable engine is refused, although there is another one", async (t) => {
  const folder = await makeFolder(t);
  await putProgram(join(folder, "path", "pulumi"), saying("3.259.0"));
  const search = { searchPath: join(folder, "path"), pulumiHome: folder };
  for (const [script, message] of [
    [saying("3.100.0"), /is pulumi 3\.100\.0, expected 3\.206\.0 or newer/],
    [saying("4.0.0"), /is pulumi 4\.0\.0/],
    ["exit 1", /no pulumi program at/],
    ["echo hello", /no pulumi program at/],
  ] as const) {
    const chosen = await putProgram(join(folder, "named", "pulumi"), script);
    await assert.rejects(findEngine({ chosen, ...search }), (error: unknown) => {
      assert.ok(error instanceof PolarisError);
      assert.equal(error.code, "ENGINE_MISSING");
      assert.match(error.message, message);
      return true;
    });
  }
});

test("PATH comes before pulumi's folder, of which the newest usable version is taken", async (t) => {
  const folder = await makeFolder(t);
  const pulumiHome = join(folder, "home");
  const engineAt = (version: string): string => join(pulumiHome, "versions", version, "bin", "pulumi");
  const search = { searchPath: `relative:${join(folder, "path")}:`, pulumiHome };
  assert.equal(await findEngine(search), undefined);

  for (const version of ["3.99.0", "3.210.0", "3.250.0"])
    await putProgram(engineAt(version), saying(version));
  await putProgram(engineAt("3.251.0"), "exit 1");
  await putProgram(engineAt("not-a-version"), saying("3.299.0"));
  assert.deepEqual(await findEngine(search), { path: engineAt("3.250.0"), version: "3.250.0" });

  // Too old: as if it were not there.
  await putProgram(join(folder, "path", "pulumi"), saying("3.1.0"));
  assert.equal((await findEngine(search))?.version, "3.250.0");
  const inPath = await putProgram(join(folder, "path", "pulumi"), saying("3.206.0"));
  assert.deepEqual(await findEngine(search), { path: inPath, version: "3.206.0" });
});

test("where there is no engine it is installed with consent only", async (t) => {
  const folder = await makeFolder(t);
  const search = { searchPath: "", pulumiHome: folder };
  await assert.rejects(requireEngine(search), (error: unknown) => {
    assert.ok(error instanceof PolarisError);
    assert.equal(error.code, "ENGINE_MISSING");
    assert.match(error.hint ?? "", /--yes.*--pulumi/);
    return true;
  });
  const installed = { path: "/installed/pulumi", version: "3.259.0" };
  const homes: string[] = [];
  const engine = await requireEngine(search, async (home) => {
    homes.push(home);
    return installed;
  });
  assert.deepEqual([engine, homes], [installed, [folder]]);
});

test("pulumi's folder is where the user's environment says", () => {
  assert.equal(pulumiHomeOf({ PULUMI_HOME: "/data/pulumi", HOME: "/home/u" }), "/data/pulumi");
  assert.equal(pulumiHomeOf({ HOME: "/home/u" }), "/home/u/.pulumi");
});
