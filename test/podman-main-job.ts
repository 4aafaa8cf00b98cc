/**
 * The main job with Podman: `unshare --net node podman-main-job.ts`. Prints what came of each step, as one JSON document.
 *
 * Podman writes rules into the packet filter of the network that it is in. In a namespace of its own they are gone with this
 * process, and the machine's stay as they are; Polaris and the registry are in the same one, and reach its ports.
 */
import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { openLayout } from "@polaris-cvm/images/layout.ts";
import { makeBaseLayout } from "../images/testing/base-layout.ts";
import { createHelloImage } from "../images/testing/hello-image.ts";
import { startRegistry } from "../images/testing/registry-fixture.ts";
import { pushTo } from "./engine-and-registry.ts";
import { PODMAN } from "./podman-program.ts";
import { TestProject } from "./polaris-process.ts";

const run = promisify(execFile);

/**
 * Puts a `podman` with everything in a folder of its own before the other one.
 *
 * @returns the `PATH` that finds it
 */
async function preparePodman(folder: string, registryHost: string): Promise<string> {
  const files = {
    "containers.conf": [
      "[containers]",
      // What Podman asks for by itself is more than a test in a container may have.
      'default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]',
      "[engine]",
      'cgroup_manager = "cgroupfs"',
      'events_logger = "file"',
      "[network]",
      'network_backend = "netavark"',
      `network_config_dir = "${folder}/networks"`,
    ],
    "storage.conf": [
      "[storage]",
      'driver = "vfs"',
      `runroot = "${folder}/run"`,
      `graphroot = "${folder}/graph"`,
    ],
    "registries.conf": ["[[registry]]", `location = "${registryHost}"`, "insecure = true"],
    "bin/podman": [
      "#!/bin/sh",
      `export CONTAINERS_CONF=${folder}/containers.conf CONTAINERS_STORAGE_CONF=${folder}/storage.conf`,
      `export CONTAINERS_REGISTRIES_CONF=${folder}/registries.conf`,
      `exec ${PODMAN} "$@"`,
    ],
  };
  await mkdir(join(folder, "bin"));
  for (const [name, lines] of Object.entries(files)) {
    await writeFile(join(folder, name), `${lines.join("\n")}\n`);
  }
  await chmod(join(folder, "bin/podman"), 0o755);
  // oxlint-disable-next-line node/no-process-env
  return `${join(folder, "bin")}${delimiter}${process.env["PATH"] ?? ""}`;
}

async function doMainJob(folder: string): Promise<Record<string, unknown>> {
  await run("ip", ["link", "set", "lo", "up"]);
  const registry = await startRegistry();
  const PATH = await preparePodman(folder, registry.host);
  const podman = async (...args: readonly string[]): Promise<string> =>
    (await run(join(folder, "bin/podman"), args, { timeout: 60_000 })).stdout.trimEnd();
  const base = await openLayout(await makeBaseLayout());
  const hello = await createHelloImage(base, AbortSignal.timeout(60_000));
  await pushTo({ registry: registry.host, repository: "node" }, base, "26-slim");
  await pushTo({ registry: registry.host, repository: "hello" }, hello, "1");
  const project = await TestProject.create({
    "polaris.yaml": `
version: 1
name: hello
workload: { image: "${registry.host}/hello:1", health: { path: /healthz, timeout: 30s } }
targets: { local: { engine: podman } }
proxy:
  workloadKeyApi: true
  base: "${registry.host}/node:26-slim"
`,
    clear: "the data",
  });
  const polaris = async (...args: readonly string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await project.run(args, { PATH });
    return exitCode === 0 ? stdout : `exit code ${exitCode}: ${stderr}`;
  };
  try {
    await polaris("lock");
    const deployed = await polaris("deploy", "--yes");
    const answer = await polaris("request", "GET", "/hello");
    await polaris("data", "seal", "clear", "--output", "sealed");
    const sealed = await readFile(join(project.dir, "sealed"), "base64");
    const id = await podman("ps", "--quiet", "--filter", "label=polaris.part=workload");
    const opened: string[] = [];
    for (const user of ["1000:1000", "0:0"]) {
      opened.push(await podman("exec", "--user", user, id, "node", "/app/open-data.js", sealed));
    }
    const preview = await polaris("preview", "--expect-no-changes");
    const destroyed = await polaris("destroy", "--yes");
    const left = [
      await podman("ps", "--all", "--quiet"),
      await podman("network", "ls", "--quiet", "--filter", "label=polaris.stack"),
    ];
    return { deployed, answer, opened, preview, destroyed, left };
  } finally {
    await project.run(["destroy", "--yes"], { PATH });
    await rm(project.dir, { recursive: true, force: true });
    await registry.stop();
  }
}

const folder = await mkdtemp(join(tmpdir(), "polaris-podman-"));
try {
  process.stdout.write(JSON.stringify(await doMainJob(folder)));
} finally {
  await rm(folder, { recursive: true, force: true });
}
