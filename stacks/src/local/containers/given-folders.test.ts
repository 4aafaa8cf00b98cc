import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, realpath, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { sampleImagePlan } from "../../testing/sample-image.ts";
import { stackPaths } from "../stack-paths.ts";
import type { StackPaths } from "../stack-paths.ts";
import { prepareGivenFolders } from "./given-folders.ts";

const GROUP = 65_532;
const EVERYTHING = "proxy: { tls: { certificate: c.pem, key: k.pem }, workloadKeyApi: true }";

async function makePaths(t: TestContext): Promise<StackPaths> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), "polaris-given-")));
  const paths = stackPaths(folder, "default");
  t.after(async () => {
    await rm(folder, { recursive: true });
    await rm(paths.socketDir, { recursive: true, force: true });
  });
  await writeFile(join(folder, "c.pem"), "certificate", { mode: 0o644 });
  await writeFile(join(folder, "k.pem"), "key", { mode: 0o600 });
  return paths;
}

async function rightsOf(paths: StackPaths): Promise<string[]> {
  const { servicesDir, tlsDir, keyApiDir } = paths.containers;
  const places = [
    paths.socketDir,
    servicesDir,
    dirname(paths.tokenFile),
    tlsDir,
    join(tlsDir, "key.pem"),
    keyApiDir,
  ];
  return Promise.all(
    places.map(async (place) => {
      const { mode, gid } = await stat(place);
      return `${(mode & 0o777).toString(8)} ${gid === GROUP ? "shared" : "own"}`;
    }),
  );
}

test("what the proxy's container sees is this user's alone, or its group's too", async (t) => {
  const plan = sampleImagePlan(EVERYTHING);
  const paths = await makePaths(t);
  await prepareGivenFolders(plan, paths, null);
  assert.deepEqual(await rightsOf(paths), ["700 own", "700 own", "700 own", "700 own", "600 own", "711 own"]);
  if (process.getuid?.() !== 0) return t.diagnostic("only root can give files to another group");
  // Again, and for another one: a deploy finds what the last one made.
  await prepareGivenFolders(plan, paths, GROUP);
  assert.deepEqual(await rightsOf(paths), [
    "700 own",
    "750 shared",
    "750 shared",
    "750 shared",
    "640 shared",
    "771 shared",
  ]);
  await prepareGivenFolders(plan, paths, GROUP);
});

test("a folder for sockets that is a link or open to others is refused", async (t) => {
  const paths = await makePaths(t);
  await symlink(paths.projectDir, paths.socketDir);
  await assert.rejects(prepareGivenFolders(sampleImagePlan(), paths, null), { code: "STATE_CORRUPT" });
  await rm(paths.socketDir);
  await mkdir(paths.socketDir);
  await chmod(paths.socketDir, 0o755);
  await assert.rejects(prepareGivenFolders(sampleImagePlan(), paths, null), { code: "STATE_CORRUPT" });
});
