/** The image that `polaris image build` pushes, run by an engine without any stack, beside one of the Containerfile. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { blobPath, openLayout } from "@polaris-cvm/images/layout.ts";
import { createClient } from "@polaris-cvm/sdk";
import { createSmallBase } from "../../images/testing/small-base.ts";
import { extractArchive, listArchive } from "../../images/testing/read-tar.ts";
import type { TestEngine } from "../container-engine.ts";
import { createSteps, startEngineAndRegistry } from "../engine-and-registry.ts";
import type { EngineAndRegistry } from "../engine-and-registry.ts";
import { startPolaris } from "../polaris-process.ts";
import type { JsonDocument } from "../polaris-process.ts";

const CONTAINERFILE = fileURLToPath(new URL("../../images/Containerfile", import.meta.url));
const NETWORK = "alone";

let missing: string | false = false;
let started: EngineAndRegistry;
let engine: TestEngine;
let folder: string;
/** `<registry>/polaris-proxy@sha256:…` */
let pushed: string;
let proxyId: string;
let endpoint: string;

before(async () => {
  const answer = await startEngineAndRegistry();
  if (typeof answer === "string") {
    missing = answer;
    return;
  }
  started = answer;
  engine = started.engine;
  folder = await mkdtemp(join(tmpdir(), "polaris-alone-"));
});

after(async () => {
  if (missing !== false) return;
  await engine.docker("rm", "--force", "workload", "proxy");
  await started.stop();
  await rm(folder, { recursive: true, force: true });
});

const step = createSteps(() => missing);

/** @returns the lines of JSON that the proxy has printed */
async function readLog(): Promise<{ readonly event: string; readonly level: string }[]> {
  const text = await engine.docker("logs", proxyId);
  return text.split("\n").map((line) => JSON.parse(line) as { event: string; level: string });
}

/**
 * Builds the proxy's image on an image of the registry, with `polaris`.
 *
 * @param base  repository and digest
 * @returns reference of the pushed image by its digest, and folder of the same image as an OCI layout
 */
async function buildAndPush(base: string, repository: string): Promise<{ pushed: string; layout: string }> {
  const layout = join(folder, repository);
  const push = ["--push", `${started.registryHost}/${repository}:1`, "--output", "layout", "--to", layout];
  const args = ["image", "build", "--base", `${started.registryHost}/${base}`, ...push, "--json"];
  const { stdout, stderr, exitCode } = await startPolaris(args, folder).finished;
  assert.equal(exitCode, 0, stdout + stderr);
  const { data } = JSON.parse(stdout) as JsonDocument;
  assert.equal(data.pushed.reference, `${started.registryHost}/${repository}@${data.digest}`);
  assert.equal((await openLayout(layout)).manifest.digest, data.digest);
  return { pushed: data.pushed.reference as string, layout };
}

step("polaris image build pushes the image and writes the same one as a layout", async () => {
  ({ pushed } = await buildAndPush(`node@${started.base.manifest.digest}`, "polaris-proxy"));
});

step("docker run of that digest serves, not as root, on a root that is read-only", async () => {
  await engine.docker("network", "create", NETWORK);
  const workload = ["--name", "workload", "--env", "HOST=0.0.0.0", `${started.registryHost}/hello:1`];
  await engine.docker("run", "--detach", "--network", NETWORK, ...workload);
  const place = ["--name", "proxy", "--network", NETWORK, "--publish", "127.0.0.1::3000"];
  const hardening = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"];
  const settings = ["--env", "POLARIS_PROXY_WORKLOAD_URL=http://workload:8000"];
  proxyId = await engine.docker("run", "--detach", ...place, ...hardening, ...settings, pushed);
  endpoint = `http://${await engine.docker("port", proxyId, "3000/tcp")}`;
  await engine.docker("exec", proxyId, "node", "-e", WAIT_UNTIL_READY);
  const health = await fetch(`${endpoint}/polaris-container/health`);
  assert.deepEqual([health.status, await health.json()], [200, { status: "ok" }]);

  const status = await engine.docker(
    "exec",
    proxyId,
    "node",
    "-p",
    'fs.readFileSync("/proc/1/status", "utf8")',
  );
  assert.match(status, /^Uid:\t65532\t65532\t65532\t65532$/m);
  assert.match(status, /^Gid:\t65532\t65532\t65532\t65532$/m);
  assert.match(status, /^CapEff:\t0+$/m);
  assert.match(status, /^NoNewPrivs:\t1$/m);
  for (const path of ["/x", "/polaris/x", "/tmp/x", "/run/x"]) {
    const code = `fs.writeFileSync(${JSON.stringify(path)}, "")`;
    await assert.rejects(engine.docker("exec", proxyId, "node", "-e", code), /EROFS/, path);
  }
});

const WAIT_UNTIL_READY = `(async () => {
  for (const end = Date.now() + 20_000; Date.now() < end; await new Promise((next) => setTimeout(next, 50))) {
    const answer = await fetch("http://127.0.0.1:3000/polaris-container/ready").catch(() => undefined);
    if (answer?.ok) return;
  }
  throw new Error("not ready within 20 s");
})()`;

step("a sealed request gets a sealed answer, a clear one is refused", async () => {
  const answer = await fetch(`${endpoint}/polaris-container/publicKey`);
  const { publicKey } = (await answer.json()) as { publicKey: string };
  const client = createClient({ url: endpoint, publicKey });
  const echoed = await client.fetch("/echo", { method: "POST", body: "to be sealed" });
  assert.deepEqual([echoed.status, await echoed.text()], [200, "to be sealed"]);
  // Nobody has told the command line of this proxy: it wants to hear that this is insecure, and says so itself.
  const request = ["request", "POST", `${endpoint}/echo`, "--data", "from a person"];
  assert.match(
    (await startPolaris(request, folder).finished).stderr,
    /nothing says what to expect of the endpoint/,
  );
  const sent = await startPolaris([...request, "--insecure-no-verify"], folder).finished;
  assert.deepEqual([sent.exitCode, sent.stdout.trim()], [0, "from a person"], sent.stderr);
  assert.match(sent.stderr, /INSECURE/);
  assert.equal((await fetch(`${endpoint}/hello`)).headers.get("polaris-error"), "ENCRYPTION_REQUIRED");
});

step("docker stop lets it finish, and it ends with 0", async () => {
  await engine.docker("stop", "--time", "10", proxyId);
  assert.equal(await engine.docker("inspect", "--format", "{{.State.ExitCode}}", proxyId), "0");
  const log = await readLog();
  assert.equal(log.at(-1)?.event, "stopped");
  assert.deepEqual(
    log.filter(({ level }) => level === "error"),
    [],
  );
});

/** The whole file system of an image, as an archive on the disk. */
async function exportImage(image: string, name: string): Promise<string> {
  const id = await engine.docker("create", image);
  const archive = join(folder, `${name}.tar`);
  await engine.docker("export", "--output", archive, id);
  await engine.docker("rm", id);
  return archive;
}

step(
  "docker build of the Containerfile gives the same files, user, entry point and environment",
  async () => {
    // Nothing is run while it is built: without a Node in the base there is less to copy.
    const smallBase = createSmallBase();
    await started.push(smallBase, "small", "1");
    const base = `small@${smallBase.manifest.digest}`;
    const { pushed: ownImage, layout } = await buildAndPush(base, "small-proxy");
    const layer = (await openLayout(layout)).layers.at(-1)?.digest ?? "";
    const args = [`NODE_IMAGE=${started.registryHost}/${base}`, `LAYER=${layer.replace("sha256:", "")}`];
    await engine.docker(
      "build",
      "--file",
      CONTAINERFILE,
      "--tag",
      "own-builder",
      ...args.flatMap((arg) => ["--build-arg", arg]),
      layout,
    );
    await engine.docker("pull", ownImage);

    const configOf = async (image: string) => {
      // oxlint-disable-next-line typescript/no-explicit-any
      const config = (JSON.parse(await engine.docker("inspect", image)) as any[])[0].Config;
      const { User, Entrypoint, Cmd, Env, WorkingDir, ExposedPorts } = config;
      return { User, Entrypoint, Cmd: Cmd ?? [], Env, WorkingDir, ExposedPorts };
    };
    assert.deepEqual(await configOf("own-builder"), await configOf(ownImage));

    const [built, ours] = [await exportImage("own-builder", "built"), await exportImage(ownImage, "ours")];
    const ownLayer = await readFile(join(layout, blobPath(layer)));
    const builtRows = await listArchive(await readFile(built));
    const nameOf = (row: string): string => row.split(" ").slice(5).join(" ");
    const names = builtRows.map(nameOf);
    assert.deepEqual(names, (await listArchive(await readFile(ours))).map(nameOf));
    // Mode, owner, size and time of each.
    assert.deepEqual(
      builtRows.filter((row) => nameOf(row).startsWith("polaris/")),
      await listArchive(ownLayer),
    );
    await mkdir(join(folder, "own"));
    await mkdir(join(folder, "built"));
    await extractArchive(ownLayer, join(folder, "own"));
    await promisify(execFile)("tar", [
      "--extract",
      "--file",
      built,
      "--directory",
      join(folder, "built"),
      "polaris",
    ]);
    const files = names.filter((name) => /^polaris\/.+[^/]$/.test(name));
    assert.deepEqual(files, ["polaris/licenses.txt", "polaris/polaris-proxy.mjs"]);
    for (const file of files) {
      const [one, other] = [
        await readFile(join(folder, "own", file)),
        await readFile(join(folder, "built", file)),
      ];
      assert.ok(one.equals(other), file);
    }
  },
);
