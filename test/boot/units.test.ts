import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import * as fc from "fast-check";
import { formatCloudConfig } from "../../images/src/cos/cloud-config.ts";
import { HOSTILE_SAMPLES, hostileText } from "../../images/testing/hostile-text.ts";
import { readCloudConfig } from "../../images/testing/read-cloud-config.ts";
import { bootWith, sampleBoot } from "../../images/testing/sample-boot.ts";
import { SYSTEMD_MISSING, readCommands, verifyUnits, writeUnits } from "./systemd-reading.ts";

const run = promisify(execFile);

const CLOUD_INIT_MISSING = existsSync("/usr/bin/cloud-init") ? false : "cloud-init is not installed here";

test("systemd reads every hostile text as it went in", { skip: SYSTEMD_MISSING }, async () => {
  // Three hundred more that nobody thought of, in one reading: a process for each would take minutes.
  const texts = [...HOSTILE_SAMPLES, ...fc.sample(hostileText, 300)];
  const command = ["/bin/x", ...texts];
  const environment = Object.fromEntries(texts.map((text, index) => [`V${index}`, `\n${text}`]));
  const boot = bootWith({ workload: { command, environment } });
  await using folder = await writeUnits(readCloudConfig(formatCloudConfig(boot)));
  const commands = await readCommands(folder, "polaris-workload.service");
  const argv = commands.find((words) => words[1] === "create") ?? [];
  const image = argv.indexOf(boot.workload.image);
  assert.deepEqual([argv[image - 1], ...argv.slice(image + 1)], command);
  const variables = argv.filter((_, index) => argv[index - 1] === "--env" && argv[index] !== "API_KEY");
  assert.deepEqual(
    variables,
    Object.entries(environment).map(([name, value]) => `${name}=${value}`),
  );
});

test("systemd finds nothing wrong with the units", { skip: SYSTEMD_MISSING }, async () => {
  await using folder = await writeUnits(readCloudConfig(formatCloudConfig(sampleBoot)));
  // Programs of the machine that are elsewhere here, or not at all, are no fault of the units.
  const said = (await verifyUnits(folder))
    .split("\n")
    .filter((line) => line !== "" && !/^(?!polaris).*: |is not executable/.test(line));
  assert.deepEqual(said, []);
});

test("cloud-init takes the document for a cloud-config", { skip: CLOUD_INIT_MISSING }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "polaris-cloud-init-"));
  t.after(() => rm(folder, { recursive: true }));
  const hostile = bootWith({
    workload: { command: [...HOSTILE_SAMPLES], environment: { A: HOSTILE_SAMPLES[1] ?? "" } },
  });
  for (const boot of [sampleBoot, hostile]) {
    const file = join(folder, "user-data");
    await writeFile(file, formatCloudConfig(boot));
    const { stdout } = await run("cloud-init", ["schema", "--config-file", file], { timeout: 20_000 });
    assert.match(stdout, /^Valid cloud-config/);
  }
});
