import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, mkdir, mkdtemp, readFile, rename, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { promisify } from "node:util";

import { compileFilePattern } from "./file-pattern.ts";
import { hashWorkloadFiles } from "./workload-files.ts";

let folder: string;
let projectDir: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "polaris-files-"));
  projectDir = join(folder, "project");
  await put("server.js", "listen()");
  await put("lib/a.js", "a");
  await put("lib/deep/b.js", "b");
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function put(path: string, content: string | Uint8Array): Promise<void> {
  await mkdir(dirname(join(projectDir, path)), { recursive: true });
  await writeFile(join(projectDir, path), content);
}

async function hash(...files: string[]): Promise<string> {
  return (await hashWorkloadFiles({ projectDir, ...(files.length === 0 ? {} : { files }) })).sha256;
}

test("hashes as documented", async () => {
  await chmod(join(projectDir, "server.js"), 0o755);
  await symlink("lib/a.js", join(projectDir, "link"));
  const record = (kind: string, path: string, content: string): Buffer => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(Buffer.byteLength(path));
    const digest = createHash("sha256").update(content).digest();
    return Buffer.concat([Buffer.from(kind), length, Buffer.from(path), digest]);
  };
  const expected = createHash("sha256")
    .update("polaris-workload-files-v1\0")
    .update(record("f", "lib/a.js", "a"))
    .update(record("f", "lib/deep/b.js", "b"))
    .update(record("l", "link", "lib/a.js"))
    .update(record("x", "server.js", "listen()"))
    .digest("hex");
  assert.deepEqual(await hashWorkloadFiles({ projectDir }), { sha256: `sha256:${expected}`, count: 4 });
});

test("changes with content, name, execute bit, a new and a removed file", async () => {
  const seen = new Set([await hash()]);
  const steps: (() => Promise<void>)[] = [
    () => put("lib/a.js", "A"),
    () => rename(join(projectDir, "lib/a.js"), join(projectDir, "lib/c.js")),
    () => chmod(join(projectDir, "lib/c.js"), 0o744),
    () => put("empty", ""),
    () => rm(join(projectDir, "lib/deep/b.js")),
  ];
  for (const step of steps) {
    await step();
    seen.add(await hash());
  }
  assert.equal(seen.size, steps.length + 1);
});

test("does not change with times, other modes, empty folders, or the place of the project", async () => {
  const before = await hash();
  await utimes(join(projectDir, "server.js"), 1, 1);
  await chmod(join(projectDir, "server.js"), 0o600);
  await mkdir(join(projectDir, "nothing"));
  const moved = join(folder, "elsewhere");
  await rename(projectDir, moved);
  assert.equal((await hashWorkloadFiles({ projectDir: moved })).sha256, before);
  await symlink(moved, join(folder, "linked"));
  assert.equal((await hashWorkloadFiles({ projectDir: join(folder, "linked") })).sha256, before);
});

test("tells files apart that only differ in where one ends and the next begins", async () => {
  await put("x", "ab");
  await put("y", "c");
  const one = await hash("x", "y");
  await put("x", "a");
  await put("y", "bc");
  assert.notEqual(await hash("x", "y"), one);
});

test("sorts by the bytes of the path, whatever order the folder has", async () => {
  for (const name of ["Z", "a", "é", "\u{1F600}", "\uFFFC"]) await put(name, name);
  const record = (path: string): Buffer => {
    const head = Buffer.alloc(4);
    head.writeUInt32BE(Buffer.byteLength(path));
    return Buffer.concat([
      Buffer.from("f"),
      head,
      Buffer.from(path),
      createHash("sha256").update(path).digest(),
    ]);
  };
  const expected = createHash("sha256").update("polaris-workload-files-v1\0");
  for (const name of ["Z", "a", "é", "\uFFFC", "\u{1F600}"]) expected.update(record(name));
  assert.equal(await hash("Z", "a", "é", "\uFFFC", "\u{1F600}"), `sha256:${expected.digest("hex")}`);
});

test("leaves out version control, our own files and installed packages", async () => {
  const before = await hash();
  for (const path of [
    ".git/HEAD",
    ".polaris/default/stack.json",
    "node_modules/a/index.js",
    "lib/node_modules/b.js",
    "lib/.git",
    "polaris.yaml",
    "polaris.lock",
  ]) {
    await put(path, "x");
  }
  assert.equal(await hash(), before);
  assert.equal(await hash("**"), before);
  await put("lib/polaris.yaml", "of another project");
  assert.notEqual(await hash(), before);
});

test("hashes exactly the files that the patterns name", async () => {
  const { count, sha256 } = await hashWorkloadFiles({
    projectDir,
    files: ["lib/**", "lib/a.js", "server.js"],
  });
  assert.equal(count, 3);
  assert.equal(sha256, await hash());
  const only = await hash("server.js");
  await put("lib/a.js", "changed");
  assert.equal(await hash("server.js"), only);
});

test("refuses a pattern that matches nothing: it would promise what is not there", async () => {
  await assert.rejects(hashWorkloadFiles({ projectDir, files: ["server.js", "srv/**"] }), {
    code: "WORKLOAD_FILES_INVALID",
    message: 'targets.local.files: "srv/**" matches no file',
  });
});

test("refuses a project without files, and one that is not there", async () => {
  await mkdir(join(folder, "empty"));
  await assert.rejects(hashWorkloadFiles({ projectDir: join(folder, "empty") }), {
    code: "WORKLOAD_FILES_INVALID",
    message: "the workload has no files",
  });
  await assert.rejects(hashWorkloadFiles({ projectDir: join(folder, "gone") }), {
    code: "WORKLOAD_FILES_INVALID",
    message: `cannot read ${join(folder, "gone")}, a file of the workload: ENOENT`,
  });
});

test("hashes a link by where it points, also a dangling one", async () => {
  await symlink("a.js", join(projectDir, "lib/link"));
  const before = await hash("lib/link");
  await put("lib/a.js", "changed");
  assert.equal(await hash("lib/link"), before);
  await rm(join(projectDir, "lib/link"));
  await symlink("deep/b.js", join(projectDir, "lib/link"));
  assert.notEqual(await hash("lib/link"), before);
  await symlink("not-there", join(projectDir, "dangling"));
  assert.match(await hash("dangling"), /^sha256:[0-9a-f]{64}$/);
});

test("does not walk into a linked folder", async () => {
  await symlink(".", join(projectDir, "lib/self"));
  assert.equal((await hashWorkloadFiles({ projectDir })).count, 4);
});

test("refuses links that leave the project, however they do it", async () => {
  await writeFile(join(folder, "outside"), "x");
  await put("node_modules/a/x", "x");
  await symlink(folder, join(projectDir, "node_modules/out"));
  for (const target of [
    "../outside",
    "lib/../../outside",
    join(folder, "outside"),
    join(projectDir, "server.js"),
    "node_modules/out/outside",
    "..",
  ]) {
    await symlink(target, join(projectDir, "link"));
    await assert.rejects(
      hashWorkloadFiles({ projectDir }),
      { code: "WORKLOAD_FILES_INVALID", message: "the link link leaves the project folder" },
      target,
    );
    await rm(join(projectDir, "link"));
  }
});

test("refuses a socket, a pipe and a link to itself", async () => {
  const server = createServer().listen(join(projectDir, "socket"));
  await new Promise((resolve) => server.once("listening", resolve));
  await assert.rejects(hashWorkloadFiles({ projectDir }), {
    code: "WORKLOAD_FILES_INVALID",
    message: "socket is neither a file, a folder nor a link",
  });
  await new Promise((resolve) => server.close(resolve));
  await promisify(execFile)("mkfifo", [join(projectDir, "pipe")]);
  await assert.rejects(hash("pipe"), { message: "pipe is neither a file, a folder nor a link" });
  await symlink("loop", join(projectDir, "loop"));
  await assert.rejects(hash("loop"), {
    code: "WORKLOAD_FILES_INVALID",
    message: "cannot read loop, a file of the workload: ELOOP",
  });
});

test("refuses a name that is not UTF-8", async () => {
  const path = Buffer.concat([Buffer.from(`${projectDir}/caf`), Buffer.from([0xe9])]);
  await writeFile(path, "x");
  await assert.rejects(hashWorkloadFiles({ projectDir }), {
    code: "WORKLOAD_FILES_INVALID",
    message: "the name of caf\uFFFD is not UTF-8",
  });
});

test("names the file and the folder that cannot be read", async (context) => {
  await chmod(folder, 0o755);
  await chmod(projectDir, 0o755);
  const script = (path: string): string => `if (process.getuid() === 0) process.setuid(65534);
    const { hashWorkloadFiles } = await import(${JSON.stringify(new URL("workload-files.ts", import.meta.url))});
    await hashWorkloadFiles({ projectDir: ${JSON.stringify(path)} }).catch((error) => console.log(error.code + " " + error.message));`;
  for (const path of ["lib/a.js", "lib"]) {
    await chmod(join(projectDir, path), 0o000);
    const run = promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script(projectDir)]);
    const output = await run.catch((error: unknown) => {
      context.skip(`another user cannot run this checkout: ${String(error)}`);
      return undefined;
    });
    await chmod(join(projectDir, path), 0o755);
    if (output === undefined) return;
    assert.equal(
      output.stdout,
      `WORKLOAD_FILES_INVALID cannot read ${path}, a file of the workload: EACCES\n`,
    );
  }
});

test("hashes a file larger than any buffer", async () => {
  const content = Buffer.alloc(3 * 1024 * 1024 + 1, "polaris");
  await put("big", content);
  const before = await hash("big");
  content[content.length - 1] = 0;
  await put("big", content);
  assert.notEqual(await hash("big"), before);
  assert.deepEqual(await readFile(join(projectDir, "big")), content);
});

test("matches paths by three wildcards and nothing else", () => {
  const cases: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ["server.js", ["server.js"], ["lib/server.js", "serverxjs", "server.js.map", "aserver.js"]],
    ["*.js", ["a.js", ".js"], ["lib/a.js", "a.jsx"]],
    ["lib", ["lib/a.js", "lib/deep/b.js", "lib"], ["library/a.js", "src/lib/a.js"]],
    ["lib/", ["lib/a.js"], ["library"]],
    ["lib/*", ["lib/a.js", "lib/deep/b.js"], ["lib", "x/lib/a.js"]],
    ["lib/**", ["lib/a.js", "lib/deep/b.js"], ["lib", "libx/a"]],
    ["lib/*.js", ["lib/a.js"], ["lib/deep/b.js", "lib/a.ts"]],
    ["**/*.js", ["a.js", "lib/a.js", "lib/deep/b.js"], ["a.ts", "lib/a.jsx"]],
    ["lib/**/b.js", ["lib/b.js", "lib/deep/b.js", "lib/x/y/b.js"], ["b.js", "lib/ab.js"]],
    ["**", ["a", "a/b/c"], []],
    ["a?c", ["abc", "a😀c"], ["ac", "a/c", "abbc"]],
    ["a+(b)|c.$", ["a+(b)|c.$"], ["aab|c.x", "c"]],
    ["a-b", ["a-b"], ["a", "b"]],
  ];
  for (const [pattern, matching, others] of cases) {
    const matches = compileFilePattern(pattern);
    for (const path of matching) assert.ok(matches(path), `${pattern} should match ${path}`);
    for (const path of others) assert.ok(!matches(path), `${pattern} should not match ${path}`);
  }
});
