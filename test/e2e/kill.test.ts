import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { processesOf, TestProject } from "../polaris-process.ts";

const ROUNDS = 20;

/**
 * `kill -9` of the CLI, the proxy or the trust services at random moments of deploy and destroy. Whatever was hit: the
 * next deploy gets to the end with the same key, the next destroy leaves no process.
 */
test(`the stack survives kill -9 at ${ROUNDS} random moments of deploy and destroy`, async () => {
  const project = await TestProject.create();
  after(() => project.remove());
  const first = await project.json(["deploy", "--yes"]);
  assert.equal(first.ok, true, first.error?.message ?? "");
  const fingerprint = first.data.publicKeyFingerprint;
  let isUp = true;
  for (let round = 0; round < ROUNDS; round += 1) {
    const victim = (["cli", "proxy", "trust"] as const)[round % 3] ?? "cli";
    const command: string = isUp ? "destroy" : "deploy";
    const running = project.start([command, "--yes"]);
    // A random moment is the point here; nothing is waited for.
    await delay(Math.random() * (command === "deploy" ? 2500 : 800));
    if (victim === "cli") running.child.kill("SIGKILL");
    else await killPart(project, victim);
    const finished = await running.finished;

    const trace: string = `round ${round}: ${victim} during ${command} (exit ${finished.exitCode ?? finished.signal})\n${finished.stderr}`;
    if (isUp) {
      const destroyed = await project.run(["destroy", "--yes"]);
      // 6: the one that was killed had come to its end.
      assert.ok(destroyed.exitCode === 0 || destroyed.exitCode === 6, `${trace}\n${destroyed.stderr}`);
      assert.deepEqual(await processesOf(project.dir), [], trace);
    } else {
      const deployed = await project.json(["deploy", "--yes"]);
      assert.equal(deployed.ok, true, `${trace}\n${deployed.error?.message}`);
      assert.equal(deployed.data.publicKeyFingerprint, fingerprint, trace);
      const status = await project.json(["status"]);
      assert.equal(status.data.healthy, true, trace);
      // Four parts, each with its runner.
      assert.equal((await processesOf(project.dir)).length, 8, trace);
    }
    isUp = !isUp;
  }
});

async function killPart(project: TestProject, part: string): Promise<void> {
  const status = await project.json(["status"]);
  const pid = status.data.parts?.find((found: { part: string }) => found.part === part)?.pid;
  if (typeof pid !== "number") return;
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    // Gone in the meantime: that is a random moment too.
    assert.equal((error as NodeJS.ErrnoException).code, "ESRCH");
  }
}
