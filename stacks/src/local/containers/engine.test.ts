import assert from "node:assert/strict";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { ENGINE_NAMES, findEngine, requireEngine, runEngine } from "./engine.ts";

const DOCKER = 'case "$1" in version) echo 20.10.24+dfsg1;; *) exit 9;; esac';
const PODMAN = 'case "$1" in info) echo 5.4.2;; *) exit 9;; esac';
const AWAY = 'echo "Cannot connect to the Docker daemon" >&2; exit 1';
const HANGS = "exec sleep 60";

/** A folder with shell scripts in place of the engines, as the only one that programs are searched in. */
async function useEngines(t: TestContext, scripts: Readonly<Record<string, string>>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-engines-"));
  for (const [name, script] of Object.entries(scripts)) {
    await writeFile(join(folder, name), `#!/bin/sh\nPATH=/usr/bin:/bin\n${script}\n`);
    await chmod(join(folder, name), 0o755);
  }
  const before = process.env["PATH"];
  process.env["PATH"] = folder;
  t.after(async () => {
    process.env["PATH"] = before;
    await rm(folder, { recursive: true });
  });
}

const CHOICES: readonly [string, Readonly<Record<string, string>>, string | undefined][] = [
  ["both answer", { docker: DOCKER, podman: PODMAN }, "docker 20.10.24+dfsg1"],
  ["only Podman is there", { podman: PODMAN }, "podman 5.4.2"],
  ["Docker's service is away", { docker: AWAY, podman: PODMAN }, "podman 5.4.2"],
  ["Docker says something else", { docker: "echo '<html> hello'", podman: PODMAN }, "podman 5.4.2"],
  ["neither is there", {}, undefined],
];

for (const [name, scripts, expected] of CHOICES) {
  test(`of the engines, when ${name}, the choice is ${expected ?? "none"}`, async (t) => {
    await useEngines(t, scripts);
    const engine = await findEngine(ENGINE_NAMES);
    assert.equal(engine && `${engine.name} ${engine.version}`, expected);
  });
}

test("an engine that hangs is passed over after its time", async (t) => {
  await useEngines(t, { docker: HANGS, podman: PODMAN });
  const beganMs = performance.now();
  assert.equal((await findEngine(ENGINE_NAMES))?.name, "podman");
  assert.ok(performance.now() - beganMs < 9_000);
});

const onLinux = { skip: process.platform !== "linux" && "images are run on Linux only" };

test("without an engine it is said which were asked, and what to do", onLinux, async (t) => {
  await useEngines(t, { docker: AWAY });
  const code = "CONTAINER_ENGINE_UNAVAILABLE";
  await assert.rejects(requireEngine("auto"), {
    code,
    message: "no container engine answers: docker, podman",
  });
  await assert.rejects(requireEngine("podman"), { code, message: "no container engine answers: podman" });
});

test("an engine that is named is not replaced by another", onLinux, async (t) => {
  await useEngines(t, { docker: DOCKER, podman: PODMAN });
  assert.equal((await requireEngine("podman")).name, "podman");
  assert.equal((await requireEngine("auto")).name, "docker");
});

test("a failure tells the command and the engine's last words, and none of the arguments", async (t) => {
  await useEngines(t, { docker: 'echo first >&2; echo "no such image" >&2; exit 125' });
  await assert.rejects(runEngine("docker", ["create", "--env", "TOKEN=planted"]), {
    code: "CONTAINER_ENGINE_FAILED",
    message: "docker create failed: no such image",
  });
  await assert.rejects(runEngine("docker", ["image", "inspect", "x"]), {
    message: "docker image inspect failed: no such image",
  });
  await assert.rejects(runEngine("podman", ["ps"]), {
    message: "podman ps failed: there is no such program",
  });
});

test("a command is ended at its time, or when nobody waits for it any more", async (t) => {
  await useEngines(t, { docker: HANGS });
  await assert.rejects(runEngine("docker", ["pull", "x"], { timeoutMs: 200 }), {
    message: "docker pull failed: no answer within 0.2 s",
  });
  const controller = new AbortController();
  const running = runEngine("docker", ["pull", "x"], { signal: controller.signal });
  controller.abort(new Error("Ctrl-C"));
  await assert.rejects(running, /Ctrl-C/);
});
