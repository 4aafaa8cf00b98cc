import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import { HOSTILE_SAMPLES } from "../../images/testing/hostile-text.ts";
import { SCRIPTS, temporaryFolder } from "./boot-scripts.ts";
import { ACCESS_TOKEN, secretAnswer, startSecretServices, versionOf } from "./secret-services.ts";
import type { SecretServices } from "./secret-services.ts";

const run = promisify(execFile);

const PROVIDER =
  "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/provider";
interface Fetched {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Services, and a folder in which the program is run over secrets of these names. */
interface Fetching extends SecretServices {
  readonly folder: string;
  readonly environmentFile: string;
  fetch(...names: readonly string[]): Promise<Fetched>;
}

async function prepareFetching(t: TestContext): Promise<Fetching> {
  const services = await startSecretServices(t);
  const { origin } = services;
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, "token"), "the.attestation.token");
  const environmentFile = join(folder, "workload.env");
  const fetchSecrets: Fetching["fetch"] = async (...names) => {
    const secrets = names.map((name) => ({ name, version: versionOf(name) }));
    const request = { providerName: PROVIDER, stsUrl: origin, secretManagerUrl: origin, secrets };
    await writeFile(join(folder, "secrets.json"), JSON.stringify(request));
    const files = [join(folder, "secrets.json"), join(folder, "token"), environmentFile];
    try {
      const program = join(SCRIPTS, "fetch-secrets.ts");
      return { code: 0, ...(await run(process.execPath, [program, ...files], { timeout: 20_000 })) };
    } catch (error) {
      return error as Fetched;
    }
  };
  return { ...services, folder, environmentFile, fetch: fetchSecrets };
}

test("secrets are fetched with the exchanged token, and lie in a file for this user alone", async (t) => {
  const services = await prepareFetching(t);
  services.answers.set(`GET /v1/${versionOf("API_KEY")}:access`, secretAnswer("the value"));
  const { code, stdout, stderr } = await services.fetch("API_KEY");
  assert.deepEqual([code, stdout, stderr], [0, "polaris: 1 secrets fetched\n", ""]);
  assert.deepEqual(services.requests, [
    "POST /v1/token",
    `GET /v1/${versionOf("API_KEY")}:access Bearer ${ACCESS_TOKEN}`,
  ]);
  assert.deepEqual(Object.fromEntries(services.forms[0] ?? []), {
    grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
    audience: PROVIDER,
    scope: "https://www.googleapis.com/auth/cloud-platform",
    requested_token_type: "urn:ietf:params:oauth:token-type:access_token",
    subject_token: "the.attestation.token",
    subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
  });
  assert.equal(await readFile(services.environmentFile, "utf8"), 'API_KEY="the value"\n');
  assert.equal((await stat(services.environmentFile)).mode & 0o777, 0o600);
  assert.deepEqual((await readdir(services.folder)).sort(), ["secrets.json", "token", "workload.env"]);
});

test("a value of any characters comes out of the file as it went in", async (t) => {
  const services = await prepareFetching(t);
  // Noncharacters cannot be held; the next test has them.
  const values = HOSTILE_SAMPLES.map((text) => text.replaceAll("\uffff", ""));
  const names = values.map((_, index) => `V${index}`);
  for (const [index, value] of values.entries()) {
    services.answers.set(`GET /v1/${versionOf(`V${index}`)}:access`, secretAnswer(value));
  }
  assert.equal((await services.fetch(...names)).code, 0);
  // The rules of systemd for double quotes are those of the shell (systemd.exec, EnvironmentFile).
  const shell = `. "$1"; shift; for name; do printf '%s\\0' "\${!name}"; done`;
  const { stdout } = await run("bash", ["-c", shell, "bash", services.environmentFile, ...names]);
  assert.deepEqual(stdout.split("\0").slice(0, -1), values);
});

test("what a variable cannot hold is refused at once, and no value is said", async (t) => {
  const services = await prepareFetching(t);
  const rows: readonly [Uint8Array, RegExp][] = [
    [Buffer.from("hush\0hush"), /a character that a variable cannot hold/],
    [Buffer.from("hush\uffffhush"), /a character that a variable cannot hold/],
    [Buffer.from([0x68, 0x75, 0x73, 0x68, 0xff]), /is no text/],
  ];
  for (const [value, problem] of rows) {
    services.answers.set(`GET /v1/${versionOf("A")}:access`, secretAnswer(value));
    const { code, stdout, stderr } = await services.fetch("A");
    assert.equal(code, 1);
    assert.match(stdout, problem);
    assert.ok(!`${stdout}${stderr}`.includes("hush"));
    await assert.rejects(stat(services.environmentFile), { code: "ENOENT" });
  }
});

test("a service that is not ready is asked again; nothing is written before all secrets are there", async (t) => {
  const services = await prepareFetching(t);
  services.answers.set(`GET /v1/${versionOf("A")}:access`, secretAnswer("one"));
  let asked = 0;
  services.answers.set(`GET /v1/${versionOf("B")}:access`, () => {
    asked += 1;
    if (asked === 1) return { status: 403, body: { error: { message: "not yet" } } };
    if (asked === 2) return { body: { payload: { data: "dHdv", dataCrc32c: "1" } } };
    return secretAnswer("two");
  });
  const { code, stdout } = await services.fetch("A", "B");
  assert.equal(code, 0);
  assert.deepEqual(stdout.split("\n"), [
    `polaris: ${versionOf("B")} is answered with HTTP status 403, trying again`,
    `polaris: ${versionOf("B")} came damaged, trying again`,
    "polaris: 2 secrets fetched",
    "",
  ]);
  assert.equal(await readFile(services.environmentFile, "utf8"), 'A="one"\nB="two"\n');
});
