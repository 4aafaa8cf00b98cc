import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { isPolarisError } from "@polaris-cvm/sdk/errors";
import type { ErrorCode } from "@polaris-cvm/sdk/errors";
import { assertNoSecret, rejection } from "../../testing/planted-secrets.ts";
import { createCredentialSource } from "./credentials.ts";

const signal = AbortSignal.timeout(30_000);

const BUILDER = { kind: "password", username: "builder", password: "pl4nt3d:Passw0rd" } as const;
const AUTH = Buffer.from("builder:pl4nt3d:Passw0rd").toString("base64");

async function makeFolder(t: TestContext, files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-credentials-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(folder, name), text);
    await chmod(join(folder, name), 0o755);
  }
  return folder;
}

const CONFIGS: readonly {
  readonly name: string;
  readonly config: object;
  readonly registry: string;
  readonly expected: unknown;
}[] = [
  {
    name: "a login under the host",
    config: { auths: { "ghcr.io": { auth: AUTH } } },
    registry: "ghcr.io",
    expected: BUILDER,
  },
  {
    name: "a login of Docker Hub",
    config: { auths: { "https://index.docker.io/v1/": { auth: AUTH } } },
    registry: "docker.io",
    expected: BUILDER,
  },
  {
    name: "a login with a scheme",
    config: { auths: { "https://localhost:5000/v2/": { auth: AUTH } } },
    registry: "localhost:5000",
    expected: BUILDER,
  },
  {
    name: "an identity token",
    config: { auths: { "a.azurecr.io": { auth: AUTH, identitytoken: "pl4nt3d" } } },
    registry: "a.azurecr.io",
    expected: { kind: "identity-token", token: "pl4nt3d" },
  },
  { name: "an empty entry", config: { auths: { "ghcr.io": {} } }, registry: "ghcr.io", expected: undefined },
  {
    name: "another port",
    config: { auths: { "a.io:1": { auth: AUTH } } },
    registry: "a.io",
    expected: undefined,
  },
  {
    name: "a longer host",
    config: { auths: { "ghcr.io": { auth: AUTH } } },
    registry: "ghcr.io.evil.test",
    expected: undefined,
  },
  {
    name: "a login for one repository only",
    config: { auths: { "ghcr.io/team": { auth: AUTH } } },
    registry: "ghcr.io",
    expected: undefined,
  },
  { name: "other settings only", config: { psFormat: "x" }, registry: "ghcr.io", expected: undefined },
];

for (const { name, config, registry, expected } of CONFIGS) {
  test(`config.json with ${name} is read as Docker reads it`, async (t) => {
    const folder = await makeFolder(t, { "config.json": JSON.stringify(config) });
    assert.deepEqual(await createCredentialSource({}, folder).find(registry, signal), expected);
    assert.deepEqual(
      await createCredentialSource({ DOCKER_CONFIG: folder }).find(registry, signal),
      expected,
    );
  });
}

test("without config.json, everybody is a stranger", async () => {
  assert.equal(await createCredentialSource({}, "/nowhere").find("ghcr.io", signal), undefined);
});

const DAMAGED: readonly (readonly [string, ErrorCode])[] = [
  [`{"auths": {"ghcr.io": {"auth": "${AUTH}"`, "CONFIG_SYNTAX"],
  ["pl4nt3d", "CONFIG_SYNTAX"],
  ["[]", "CONFIG_INVALID"],
  ['{"auths": {"ghcr.io": {"auth": 1}}}', "CONFIG_INVALID"],
  ['{"auths": {"ghcr.io": "pl4nt3d"}}', "CONFIG_INVALID"],
  ['{"auths": {"ghcr.io": {"auth": "cGw0bnQzZA=="}}}', "CONFIG_INVALID"],
  [" ".repeat(1024 * 1024 + 1), "CONFIG_UNREADABLE"],
];

test("a damaged config.json is named, and nothing of it is told", async (t) => {
  for (const [text, code] of DAMAGED) {
    const folder = await makeFolder(t, { "config.json": text });
    const error = await rejection(createCredentialSource({}, folder).find("ghcr.io", signal));
    assert.equal(error.code, code, text.slice(0, 100));
    assert.match(error.message, /config\.json/);
  }
});

test("config.json that is a folder cannot be read", async (t) => {
  const folder = await makeFolder(t, {});
  await mkdir(join(folder, "config.json"));
  const error = await rejection(createCredentialSource({}, folder).find("ghcr.io", signal));
  assert.equal(error.code, "CONFIG_UNREADABLE");
});

const OWN = {
  POLARIS_REGISTRY: "ghcr.io",
  POLARIS_REGISTRY_USERNAME: "builder",
  POLARIS_REGISTRY_PASSWORD: "pl4nt3d:Passw0rd",
};

test("the three variables come first, for their registry only", async (t) => {
  const other = Buffer.from("other:pl4nt3d").toString("base64");
  const config = { auths: { "ghcr.io": { auth: other }, "quay.io": { auth: other } } };
  const folder = await makeFolder(t, { "config.json": JSON.stringify(config) });
  const source = createCredentialSource(OWN, folder);
  assert.deepEqual(await source.find("ghcr.io", signal), BUILDER);
  assert.deepEqual(await source.find("quay.io", signal), {
    kind: "password",
    username: "other",
    password: "pl4nt3d",
  });
  assert.equal(await source.find("docker.io", signal), undefined);
  const hub = createCredentialSource({ ...OWN, POLARIS_REGISTRY: "docker.io" }, folder);
  assert.deepEqual(await hub.find("docker.io", signal), BUILDER);
  const empty = { POLARIS_REGISTRY: "", POLARIS_REGISTRY_USERNAME: "", POLARIS_REGISTRY_PASSWORD: "" };
  assert.equal(await createCredentialSource(empty, folder).find("docker.io", signal), undefined);
});

test("some of the three variables, or a name with a colon, are refused", () => {
  const environments: readonly (readonly [Readonly<Record<string, string | undefined>>, RegExp])[] = [
    [{ ...OWN, POLARIS_REGISTRY: undefined }, /^POLARIS_REGISTRY must be set too$/],
    [
      { POLARIS_REGISTRY_PASSWORD: "pl4nt3d" },
      /^POLARIS_REGISTRY and POLARIS_REGISTRY_USERNAME must be set too$/,
    ],
    [{ ...OWN, POLARIS_REGISTRY_USERNAME: "a:pl4nt3d" }, /^POLARIS_REGISTRY_USERNAME has a ":"/],
  ];
  for (const [environment, message] of environments) {
    assert.throws(
      () => createCredentialSource(environment, "/nowhere"),
      (error) => {
        assertNoSecret(error);
        return isPolarisError(error) && error.code === "USAGE_INVALID" && message.test(error.message);
      },
    );
  }
});

test("POLARIS_REGISTRY that no image can be of is refused, and a host with what Docker writes around it is not", async () => {
  const wrong = ["b.example/acme", "acme", "b.example:99999", "b.example:port", "b example", "b.example?x"];
  for (const registry of [...wrong, "https://u:pl4nt3d@b.example", "ftp://b.example", "docker.io/library"]) {
    assert.throws(
      () => createCredentialSource({ ...OWN, POLARIS_REGISTRY: registry }, "/nowhere"),
      (error) => {
        assertNoSecret(error);
        return (
          isPolarisError(error) &&
          error.code === "USAGE_INVALID" &&
          error.message.startsWith("POLARIS_REGISTRY is not the host")
        );
      },
      registry,
    );
  }
  const right = [
    ["https://B.example/v2/", "b.example"],
    ["localhost:5000", "localhost:5000"],
    ["[::1]:5000", "[::1]:5000"],
    ["index.docker.io", "docker.io"],
    ["https://index.docker.io/v1/", "docker.io"],
  ] as const;
  for (const [registry, asked] of right) {
    const source = createCredentialSource({ ...OWN, POLARIS_REGISTRY: registry }, "/nowhere");
    assert.deepEqual(await source.find(asked, signal), BUILDER, registry);
  }
});

test("a credential helper gets our environment without our own variables", async (t) => {
  const folder = await makeFolder(t, {
    "docker-credential-env": `#!/bin/sh
printf '{"Username":"x","Secret":"%s"}' "$(env | tr '\\n' ' ')"
`,
    "config.json": JSON.stringify({ credsStore: "env" }),
  });
  const environment = {
    ...OWN,
    polaris_token: "pl4nt3d",
    PATH: `${folder}:/usr/bin:/bin`,
    AWS_PROFILE: "build",
  };
  const found = await createCredentialSource(environment, folder).find("quay.io", signal);
  const { password } = found as { readonly password: string };
  assert.match(password, /AWS_PROFILE=build /);
  assert.match(password, /PATH=/);
  assert.doesNotMatch(password, /polaris_|pl4nt3d/i);
});

/** Credential helpers are programs: these are of the shell. */
const HELPERS = {
  "docker-credential-good": `#!/bin/sh
read -r key
test "$1" = get || exit 9
printf '{"ServerURL":"%s","Username":"builder","Secret":"pl4nt3d:%s"}' "$key" "$key"
`,
  "docker-credential-token": `#!/bin/sh
printf '{"Username":"<token>","Secret":"pl4nt3d"}'
`,
  "docker-credential-empty": `#!/bin/sh
echo credentials not found in native keychain
exit 1
`,
  "docker-credential-failing": `#!/bin/sh
echo pl4nt3d
echo pl4nt3d >&2
exit 3
`,
  "docker-credential-garbage": `#!/bin/sh
echo '{"Username":"builder","secret":"pl4nt3d"}'
`,
  "docker-credential-text": `#!/bin/sh
echo 'pl4nt3d'
`,
  "docker-credential-endless": `#!/bin/sh
exec yes pl4nt3d
`,
  "docker-credential-hanging": `#!/bin/sh
sleep 30 &
wait
`,
};

async function findByHelper(
  t: TestContext,
  config: object,
  registry: string,
  abort: AbortSignal = signal,
): Promise<unknown> {
  const folder = await makeFolder(t, { ...HELPERS, "config.json": JSON.stringify(config) });
  const environment = { PATH: `${folder}:/usr/bin:/bin` };
  return await createCredentialSource(environment, folder, { helperTimeoutMs: 1_000 }).find(registry, abort);
}

test("a credential helper is asked by the name that Docker has for the registry", async (t) => {
  const login = (key: string): object => ({
    kind: "password",
    username: "builder",
    password: `pl4nt3d:${key}`,
  });
  const store = { credsStore: "good" };
  assert.deepEqual(await findByHelper(t, store, "ghcr.io"), login("ghcr.io"));
  assert.deepEqual(await findByHelper(t, store, "docker.io"), login("https://index.docker.io/v1/"));
  const helper = { credsStore: "failing", credHelpers: { "ghcr.io": "good" } };
  assert.deepEqual(await findByHelper(t, helper, "ghcr.io"), login("ghcr.io"));
  const token = await findByHelper(t, { credsStore: "token" }, "ghcr.io");
  assert.deepEqual(token, { kind: "identity-token", token: "pl4nt3d" });
});

test("a credential helper that has nothing is not a failure", async (t) => {
  assert.equal(await findByHelper(t, { credsStore: "empty" }, "ghcr.io"), undefined);
  const config = { credsStore: "empty", auths: { "ghcr.io": { auth: AUTH } } };
  assert.deepEqual(await findByHelper(t, config, "ghcr.io"), BUILDER);
});

const BAD_HELPERS: readonly (readonly [string, RegExp])[] = [
  ["failing", /^docker-credential-failing ended with exit code 3$/],
  ["garbage", /^docker-credential-garbage did not print a login/],
  ["text", /^docker-credential-text did not print a login/],
  ["endless", /^docker-credential-endless printed more than 65536 bytes$/],
  ["hanging", /^docker-credential-hanging did not answer within 1 s$/],
  ["missing", /^docker-credential-missing cannot be started \(ENOENT\)$/],
  ["../evil", /^a credential helper has a name that is not one$/],
];

for (const [name, message] of BAD_HELPERS) {
  test(`a credential helper that is ${name} fails, and nothing of what it printed is told`, async (t) => {
    const startMs = performance.now();
    const error = await rejection(findByHelper(t, { credsStore: name }, "ghcr.io"));
    assert.equal(error.code, "CREDENTIAL_HELPER_FAILED");
    assert.equal(error.exitCode, 3);
    assert.match(error.message, message);
    assert.match(error.hint ?? "", /config\.json/);
    assert.ok(performance.now() - startMs < 5_000);
  });
}

test("a credential helper ends with the signal", async (t) => {
  const abort = new AbortController();
  const reason = new Error("Ctrl-C");
  setTimeout(() => abort.abort(reason), 100);
  const finding = findByHelper(t, { credsStore: "hanging" }, "ghcr.io", abort.signal);
  await assert.rejects(finding, (error) => error === reason);
});

/** A process that is there, and not only as an entry that nobody has read yet. */
async function isRunning(pid: string): Promise<boolean> {
  const state = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  return state !== undefined && !/\) [ZX] /.test(state);
}

test("a credential helper ends with this process, and so does what it has started", async (t) => {
  const folder = await makeFolder(t, {
    "docker-credential-slow": `#!/bin/sh
sleep 30 &
echo $$ $! > "$PIDS.new"
mv "$PIDS.new" "$PIDS"
wait
`,
    "config.json": JSON.stringify({ credsStore: "slow" }),
  });
  const pidFile = join(folder, "pids");
  // The second Ctrl-C of the command line is process.exit, too.
  const program = `
    import { watch } from "node:fs";
    import { createCredentialSource } from ${JSON.stringify(join(import.meta.dirname, "credentials.ts"))};
    const environment = { PATH: ${JSON.stringify(`${folder}:/usr/bin:/bin`)}, PIDS: ${JSON.stringify(pidFile)} };
    const { signal } = new AbortController();
    watch(${JSON.stringify(folder)}, (_event, name) => name === "pids" && process.exit(8));
    await createCredentialSource(environment, ${JSON.stringify(folder)}).find("ghcr.io", signal);`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program], { stdio: "inherit" });
  const [exitCode] = await once(child, "exit");
  assert.equal(exitCode, 8);
  const pids = (await readFile(pidFile, "utf8")).trim().split(" ");
  assert.equal(pids.length, 2);
  for (const pid of pids) {
    while (await isRunning(pid)) {
      signal.throwIfAborted();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
});
