import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { stackPaths } from "./stack-paths.ts";
import type { StackPaths } from "./stack-paths.ts";
import { createStackFolders, saveState } from "./state.ts";
import type { LocalState } from "./state.ts";
import { localTarget } from "./target.ts";

const STATE: LocalState = {
  version: 1,
  name: "hello",
  stack: "default",
  ports: { trust: 1, workload: 2, proxy: 3 },
  scheme: "http",
};

async function makeStack(t: TestContext): Promise<StackPaths> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-target-"));
  const paths = stackPaths(folder, "default");
  await createStackFolders(paths);
  t.after(async () => {
    await rm(folder, { recursive: true });
    await rm(paths.socketDir, { recursive: true, force: true });
  });
  return paths;
}

async function listenOn(t: TestContext, path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const server = createServer().listen(path);
  await once(server, "listening");
  t.after(() => server.close());
}

test("the key API is that of the containers if the stack has an engine, and otherwise that of the programs", async (t) => {
  const paths = await makeStack(t);
  const find = () => localTarget.findKeyApi({ projectDir: paths.projectDir, stack: "default" });
  const [ofPrograms, ofContainers] = [paths.keyApiSocket, paths.containers.keyApiSocket];
  await saveState(paths, STATE);
  await listenOn(t, ofContainers);
  assert.equal(await find(), undefined);
  await listenOn(t, ofPrograms);
  assert.equal(await find(), ofPrograms);
  await saveState(paths, { ...STATE, engine: "podman" });
  assert.equal(await find(), ofContainers);
  // A state that cannot be read is told by the command that needs one.
  await writeFile(paths.state, "{");
  assert.equal(await find(), ofPrograms);
});
