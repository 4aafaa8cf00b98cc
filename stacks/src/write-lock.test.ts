import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { loadLockFile } from "./lock-file/file.ts";
import { lockStack } from "./lock-stack.ts";
import { openProject } from "./project.ts";
import type { Project } from "./project.ts";
import { sampleDeployment } from "./testing/sample-stack.ts";
import { recordDeployment, saveLock } from "./write-lock.ts";

const CONFIG = `version: 1
name: shop
targets: { local: { run: [node, a.js], files: [a.js] } }
stacks: { dev: {}, prod: {} }
`;

interface TwoStacks {
  readonly dev: Project;
  readonly prod: Project;
  /** Another program, and so another lock. */
  readonly edit: (text: string) => Promise<void>;
}

async function createProject(context: TestContext): Promise<TwoStacks> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-write-lock-"));
  context.after(() => rm(folder, { recursive: true }));
  const edit = (text: string): Promise<void> => writeFile(join(folder, "a.js"), text);
  await writeFile(join(folder, "polaris.yaml"), CONFIG);
  await edit("first");
  const [dev, prod] = [
    await openProject(folder, { stack: "dev" }),
    await openProject(folder, { stack: "prod" }),
  ];
  return { dev, prod, edit };
}

/** What `polaris lock` does. */
async function lockAgain(project: Project) {
  const locked = await lockStack(project, { frozen: false });
  await saveLock(project, locked);
  return locked;
}

test("a deployment is recorded whatever was locked meanwhile, which stays", async (context) => {
  const { dev, prod, edit } = await createProject(context);
  const deploying = await lockAgain(dev);
  await edit("second");
  const newer = await lockAgain(dev);
  const other = await lockAgain(prod);
  assert.notDeepEqual(newer.stackLock, deploying.stackLock);

  const verified = await recordDeployment(dev, deploying, sampleDeployment);
  assert.deepEqual(await loadLockFile(dev.lockPath), {
    version: 1,
    name: "shop",
    stacks: { dev: newer.stackLock, prod: other.stackLock },
    deployed: { dev: sampleDeployment },
  });
  assert.deepEqual(
    [verified.name, verified.stacks["dev"], verified.deployed["dev"]],
    ["shop", deploying.stackLock, sampleDeployment],
  );
});

test("what else was deployed stays, and the last deployment of a stack counts", async (context) => {
  const { dev, prod } = await createProject(context);
  const [lockedDev, lockedProd] = [await lockAgain(dev), await lockAgain(prod)];
  const second = { ...sampleDeployment, deployedAt: "2026-02-03T04:05:06.000Z" };
  await recordDeployment(dev, lockedDev, sampleDeployment);
  await recordDeployment(prod, lockedProd, sampleDeployment);
  await recordDeployment(dev, lockedDev, second);
  assert.deepEqual((await loadLockFile(dev.lockPath))?.deployed, { dev: second, prod: sampleDeployment });
});

test("a deployment whose lock was removed meanwhile brings its names back", async (context) => {
  const { dev } = await createProject(context);
  const deploying = await lockAgain(dev);
  await rm(dev.lockPath);
  const verified = await recordDeployment(dev, deploying, sampleDeployment);
  assert.deepEqual(await loadLockFile(dev.lockPath), verified);
  assert.deepEqual(verified.stacks, { dev: deploying.stackLock });
});
