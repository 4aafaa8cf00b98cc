import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import { PolarisError } from "@polaris-cvm/sdk/errors";

import { loadConfig, parseConfig } from "./load.ts";

const MINIMAL = "version: 1\nname: hello\ntargets: { local: { run: [node, server.js] } }\n";

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "polaris-config-"));
});
after(async () => {
  await rm(folder, { recursive: true, force: true });
});

interface FoundProblem {
  readonly line: number;
  readonly column: number;
  readonly path: string;
  readonly message: string;
}

function failureOf(text: string, stack?: string): PolarisError {
  try {
    parseConfig(text, { fileName: "polaris.yaml", ...(stack === undefined ? {} : { stack }) });
  } catch (error) {
    assert.ok(error instanceof PolarisError, String(error));
    return error;
  }
  return assert.fail(`accepted: ${text}`);
}

function problemsOf(error: PolarisError): readonly FoundProblem[] {
  return (error.details?.["problems"] ?? []) as readonly FoundProblem[];
}

/** Code and message of the one problem of `text`. */
function assertProblem(text: string, expected: { code?: string; message: string; stack?: string }): void {
  const error = failureOf(text, expected.stack);
  assert.equal(error.message, expected.message);
  assert.equal(error.code, expected.code ?? "CONFIG_INVALID");
}

test("fills in every default of the smallest file", () => {
  const { config, stack, stackNames } = parseConfig(MINIMAL, { fileName: "polaris.yaml" });
  assert.equal(stack, "default");
  assert.deepEqual(stackNames, []);
  assert.deepEqual(config, {
    version: 1,
    name: "hello",
    target: "local",
    workload: { entrypoint: [], args: [], env: {}, secrets: {}, health: { timeoutMs: 60_000 } },
    proxy: {
      encryption: { requests: "required", responses: "required" },
      tls: "off",
      cors: { origins: [] },
      limits: { maxBodyMb: 32, answerTimeout: "60s" },
      workloadKeyApi: false,
      allowFrom: ["0.0.0.0/0"],
      base: "docker.io/library/node:26-slim",
    },
    key: { kind: "hsm", onDestroy: "keep" },
    attestation: { gcp: { zone: true } },
    trust: { accept: [] },
    targets: { local: { engine: "auto", run: ["node", "server.js"] } },
    stacks: {},
  });
});

test("gives a configuration that nobody can change", () => {
  const { config } = parseConfig(MINIMAL, { fileName: "polaris.yaml" });
  assert.throws(() => Object.assign(config.workload.env, { A: "1" }), TypeError);
  assert.throws(() => (config.targets.local.run as string[]).push("x"), TypeError);
});

test("loads the file beside the project and tells where both are", async () => {
  await writeFile(join(folder, "good.yaml"), MINIMAL);
  const loaded = await loadConfig({ cwd: folder, file: "good.yaml" });
  assert.equal(loaded.path, join(folder, "good.yaml"));
  assert.equal(loaded.projectDir, folder);
  assert.equal(loaded.config.name, "hello");
});

test("names the unknown key, where it stands, and the key that was meant", () => {
  assertProblem(`${MINIMAL}workloud: {}\n`, {
    message: 'polaris.yaml:4:1: unknown key "workloud"; did you mean "workload"?',
  });
  assertProblem(`${MINIMAL}proxy:\n  encryption: { request: off }\n`, {
    message: 'polaris.yaml:5:17: unknown key "request" in proxy.encryption; did you mean "requests"?',
  });
  assertProblem(`${MINIMAL}key: { rotation: 365d }\n`, {
    message: 'polaris.yaml:4:8: unknown key "rotation" in key; known keys: kind, onDestroy',
  });
  assertProblem(`${MINIMAL}attestation: { tee: snp }\n`, {
    message: 'polaris.yaml:4:16: unknown key "tee" in attestation; known keys: gcp',
  });
});

test("reports all problems together, in the order of the file", () => {
  const error = failureOf(
    "version: 2\nname: Hello\nworkload:\n  port: 70000\n  env: { A: x }\n  secrets: { A: { fromEnv: A } }\nprxy: {}\n",
  );
  assert.equal(error.code, "CONFIG_INVALID");
  assert.deepEqual(
    problemsOf(error).map(({ line, column, path }) => `${line}:${column} ${path}`),
    [
      "1:1 targets.local.run",
      "1:10 version",
      "2:7 name",
      "4:9 workload.port",
      "6:14 workload.secrets.A",
      "7:1 prxy",
    ],
  );
  assert.match(
    error.message,
    /^6 problems in polaris\.yaml\n {2}polaris\.yaml:1:1: missing key "run" in targets\.local/,
  );
  assert.equal(error.hint, '"polaris config schema" prints every key with its meaning');
});

test("prints twenty problems and counts the rest", () => {
  const lines = Array.from({ length: 25 }, (_, index) => `zz${index}: 1`).join("\n");
  const error = failureOf(`${MINIMAL}${lines}\n`);
  assert.equal(error.message.split("\n").length, 22);
  assert.equal(error.message.split("\n").at(-1), "  and 5 more");
  assert.equal(problemsOf(error).length, 25);
});

test("refuses wrong values with what was expected and what stands there", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["workload: { port: 0 }", "4:19: workload.port: expected a port from 1 to 65535"],
    ["workload: { port: 80.5 }", "4:19: workload.port: expected a whole number, got another number"],
    ['workload: { port: "80" }', "4:19: workload.port: expected a whole number, got text"],
    ["workload: { port: [80] }", "4:19: workload.port: expected a whole number, got a list"],
    ["workload: []", "4:11: workload: expected a map, got a list"],
    ["workload:", "4:1: workload: has no value; give it one, or remove the key"],
    ["workload: { env: { A: 1 } }", "4:23: workload.env.A: expected text, got a number; put it in quotes"],
    ["workload: { env: { A: true } }", "4:23: workload.env.A: expected text, got true; put it in quotes"],
    ["workload: { env: { A: } }", "4:20: workload.env.A: has no value; give it one, or remove the key"],
    ['workload: { env: { A: "x\\0y" } }', "4:23: workload.env.A: expected text without a NUL character"],
    [
      "workload: { env: { 1A: x } }",
      "4:20: workload.env.1A: expected letters, digits and _, not starting with a digit",
    ],
    [
      "workload: { secrets: { A: { fromEnv: A-B } } }",
      "4:38: workload.secrets.A.fromEnv: expected letters, digits and _, not starting with a digit",
    ],
    ["workload: { secrets: { A: {} } }", '4:24: missing key "fromEnv" in workload.secrets.A'],
    [
      "workload: { health: { timeout: 60 } }",
      "4:32: workload.health.timeout: expected a duration from 1s to 30m, such as 60s or 2m",
    ],
    [
      "workload: { health: { timeout: 0s } }",
      "4:32: workload.health.timeout: expected a duration from 1s to 30m, such as 60s or 2m",
    ],
    [
      "workload: { health: { timeout: 31m } }",
      "4:32: workload.health.timeout: expected a duration from 1s to 30m, such as 60s or 2m",
    ],
    [
      "workload: { health: { timeout: 1801s } }",
      "4:32: workload.health.timeout: expected a duration from 1s to 30m, such as 60s or 2m",
    ],
    [
      "workload: { health: { path: healthz } }",
      "4:29: workload.health.path: expected a path such as /healthz: one slash first, no spaces, no #",
    ],
    [
      "workload: { health: { path: //x } }",
      "4:29: workload.health.path: expected a path such as /healthz: one slash first, no spaces, no #",
    ],
    [
      "workload: { entrypoint: [x] }",
      "4:13: workload.entrypoint has no effect without an image; arguments of the program stand in targets.local.run",
    ],
    [
      "workload: { args: [x] }",
      "4:13: workload.args has no effect without an image; arguments of the program stand in targets.local.run",
    ],
    [
      "workload: { port: 80 }\nproxy: { port: 80 }",
      "5:16: proxy.port: workload.port is the same; the endpoint and the workload need a port each",
    ],
    [
      "proxy: { encryption: { requests: require } }",
      '4:34: proxy.encryption.requests: expected off, optional or required, got "require"; did you mean "required"?',
    ],
    [
      "proxy: { encryption: { requests: true } }",
      "4:34: proxy.encryption.requests: expected off, optional or required, got true",
    ],
    [
      "proxy: { tls: atested }",
      '4:15: proxy.tls: expected off, attested or a map, got "atested"; did you mean "attested"?',
    ],
    ["proxy: { tls: true }", "4:15: proxy.tls: expected off, attested or a map, got true"],
    ["proxy: { tls: [off] }", "4:15: proxy.tls: expected off, attested or a map, got a list"],
    ["proxy: { tls: { certificate: a.crt } }", '4:10: missing key "key" in proxy.tls'],
    [
      "proxy: { tls: { certificate: a.crt, key: 7 } }",
      "4:42: proxy.tls.key: expected text, got a number; put it in quotes",
    ],
    [
      "proxy: { tls: { certificate: a.crt, kye: a.key, key: a.key } }",
      '4:37: unknown key "kye" in proxy.tls; did you mean "key"?',
    ],
    [
      "proxy: { tls: { certificate: '', key: a.key } }",
      "4:30: proxy.tls.certificate: expected the path of a file, relative to the project folder",
    ],
    ...["https://a.example/", "https://A.example", "a.example", "https://a.example:443", "null"].map(
      (origin): [string, string] => [
        `proxy: { cors: { origins: ['${origin}'] } }`,
        "4:28: proxy.cors.origins[0]: expected an origin such as https://app.example, without a path, or *",
      ],
    ),
    [
      "proxy: { cors: { origins: ['*', 'https://a.example'] } }",
      "4:27: proxy.cors.origins: expected * alone, or origins",
    ],
    [
      "proxy: { cors: { origins: ['https://a.example', 'https://a.example'] } }",
      "4:27: proxy.cors.origins: expected every origin once",
    ],
    [
      "proxy: { limits: { maxBodyMb: 257 } }",
      "4:31: proxy.limits.maxBodyMb: expected a whole number of MiB from 1 to 256",
    ],
    [
      "proxy: { limits: { answerTimeout: 5 } }",
      "4:35: proxy.limits.answerTimeout: expected a duration from 1s to 30m, such as 60s or 2m",
    ],
    [
      "proxy: { limits: { answerTimeout: 1h } }",
      "4:35: proxy.limits.answerTimeout: expected a duration from 1s to 30m, such as 60s or 2m",
    ],
    [
      "stacks: { default: { proxy: { tls: { certificate: a.crt } } } }",
      '4:31: missing key "key" in stacks.default.proxy.tls',
    ],
    ["proxy: { allowFrom: [] }", "4:21: proxy.allowFrom: expected at least one entry"],
    [
      "proxy: { allowFrom: [10.0.0.1/8] }",
      "4:22: proxy.allowFrom[0]: expected the first address of the range, with zeros after the first 8 bits",
    ],
    ["key: { kind: hms }", '4:14: key.kind: expected hsm or ephemeral, got "hms"; did you mean "hsm"?'],
    ["trust: { accept: [No] }", "4:19: trust.accept[0]: expected the id of a residual"],
    ["target: gpc", '4:9: target: expected local or gcp, got "gpc"; did you mean "gcp"?'],
  ];
  for (const [line, message] of cases)
    assertProblem(`${MINIMAL}${line}\n`, { message: `polaris.yaml:${message}` });
});

test("refuses a key API for a key that is gone at the next start, for the stack that has both", () => {
  const message =
    "proxy.workloadKeyApi: key.kind is ephemeral, so what is sealed to the key could not be opened after the next start of the proxy";
  const both = `${MINIMAL}proxy: { workloadKeyApi: true }\nkey: { kind: ephemeral }\n`;
  assertProblem(both, { message: `polaris.yaml:4:26: ${message}` });
  const text = `${MINIMAL}proxy: { workloadKeyApi: true }\nstacks: { dev: { key: { kind: ephemeral } } }\n`;
  assertProblem(text, { stack: "dev", message: `polaris.yaml:4:26: ${message}` });
  assert.equal(parseConfig(text, { fileName: "f" }).config.proxy.workloadKeyApi, true);
  assertProblem(`${MINIMAL}proxy: { workloadKeyApi: yes }\n`, {
    message: "polaris.yaml:4:26: proxy.workloadKeyApi: expected true or false, got text",
  });
});

test("refuses wrong values of the local target", () => {
  const cases = [
    ["run: []", "3:26: targets.local.run: expected at least one entry"],
    ['run: [""]', "3:26: targets.local.run: expected a program as the first entry"],
    ["run: node server.js", "3:26: targets.local.run: expected a list, got text"],
    ["run: [node, 1]", "3:33: targets.local.run[1]: expected text, got a number; put it in quotes"],
    ["run: [a], files: []", "3:38: targets.local.files: expected at least one entry"],
    ["run: [a], files: [../b]", "3:39: targets.local.files[0]: expected a pattern without . and .. folders"],
    [
      "run: [a], files: [/b]",
      "3:39: targets.local.files[0]: expected a pattern relative to the project folder; its wildcards are *, ** and ?",
    ],
    [
      'run: [a], files: ["{a,b}"]',
      "3:39: targets.local.files[0]: expected a pattern relative to the project folder; its wildcards are *, ** and ?",
    ],
  ] as const;
  for (const [local, message] of cases) {
    assertProblem(`version: 1\nname: hello\ntargets: { local: { ${local} } }\n`, {
      message: `polaris.yaml:${message}`,
    });
  }
});

test("refuses names that cannot stand in cloud names", () => {
  for (const name of ["Hello", "1a", "-a", "a_b", "a".repeat(31), "é"]) {
    assertProblem(`version: 1\nname: ${name}\ntargets: { local: { run: [a] } }\n`, {
      message:
        "polaris.yaml:2:7: name: expected 1 to 30 characters of a-z, 0-9 and -, starting with a letter",
    });
  }
  assertProblem(`${MINIMAL}stacks: { Prod: {} }\n`, {
    message:
      "polaris.yaml:4:11: stacks.Prod: expected 1 to 30 characters of a-z, 0-9 and -, starting with a letter",
  });
});

test("refuses variables that the target sets, in env and in secrets", () => {
  for (const name of ["PORT", "HOST", "POLARIS_X", "POLARIS_"]) {
    const reason = "this name is reserved: the target sets PORT, HOST and POLARIS_* itself";
    assertProblem(`${MINIMAL}workload: { env: { ${name}: x } }\n`, {
      message: `polaris.yaml:4:20: workload.env.${name}: ${reason}`,
    });
    assertProblem(`${MINIMAL}workload: { secrets: { ${name}: { fromEnv: X } } }\n`, {
      message: `polaris.yaml:4:24: workload.secrets.${name}: ${reason}`,
    });
  }
  assert.ok(
    parseConfig(`${MINIMAL}workload: { env: { PORTS: x, MY_POLARIS_X: y, port: z } }\n`, { fileName: "f" }),
  );
});

test("refuses one name in env and in secrets", () => {
  assertProblem(`${MINIMAL}workload:\n  env: { KEY: x }\n  secrets: { KEY: { fromEnv: KEY } }\n`, {
    message:
      'polaris.yaml:6:14: "KEY" stands in workload.env and in workload.secrets; only one of them can set it',
  });
});

test("takes an image, a program, or both, as long as the engine has what it runs", () => {
  const engineOf = (workload: string, local: string): string => {
    const text = `version: 1\nname: hello\nworkload: {${workload}}\ntargets: { local: {${local}} }\n`;
    return parseConfig(text, { fileName: "polaris.yaml" }).config.targets.local.engine;
  };
  assert.equal(engineOf("image: 'ghcr.io/acme/hello:1.4.2'", ""), "auto");
  assert.equal(engineOf("image: a", "run: [b]"), "auto");
  for (const engine of ["auto", "docker", "podman"]) {
    assert.equal(engineOf("image: a, entrypoint: [b], args: [c]", `engine: ${engine}`), engine);
  }
  assert.equal(engineOf("image: a, args: [c]", "engine: docker, run: [b]"), "docker");
  assert.equal(engineOf("image: a", "engine: process, run: [b]"), "process");
  assert.equal(engineOf("", "engine: process, run: [b]"), "process");
});

test("refuses arguments of an image that a program takes the place of", () => {
  for (const engine of ["auto", "process"]) {
    for (const key of ["entrypoint", "args"]) {
      assertProblem(
        `version: 1\nname: hello\nworkload: { image: a, ${key}: [b] }\ntargets: { local: { engine: ${engine}, run: [c] } }\n`,
        {
          message: `polaris.yaml:3:23: workload.${key} has no effect while targets.local.run runs in place of the image; arguments of the program stand in targets.local.run`,
        },
      );
    }
  }
});

test("refuses an engine that has nothing to run, and says what it lacks", () => {
  const cases: readonly (readonly [string, string])[] = [
    [
      "workload: { image: a }\ntargets: { local: { engine: process } }",
      '4:12: missing key "run" in targets.local: targets.local.engine is process, which runs no image',
    ],
    [
      "targets: { local: { engine: docker, run: [a] } }",
      '1:1: missing key "image" in workload: targets.local.engine is docker, which runs images',
    ],
    [
      "workload: {}\ntargets: { local: { engine: podman } }",
      '3:1: missing key "image" in workload: targets.local.engine is podman, which runs images',
    ],
    [
      "targets: { local: { engine: containerd, run: [a] } }",
      '3:29: targets.local.engine: expected auto, docker, podman or process, got "containerd"',
    ],
  ];
  for (const [lines, message] of cases) {
    assertProblem(`version: 1\nname: hello\n${lines}\n`, { message: `polaris.yaml:${message}` });
  }
});

test("refuses what no registry could have", () => {
  for (const image of [
    "Acme/Hello",
    "a b",
    "/a",
    "a:",
    "a@sha256:12",
    "-a",
    "[::1/a",
    "[]:5000/a",
    `${"a".repeat(200)}/${"b".repeat(200)}`,
  ]) {
    assertProblem(`${MINIMAL}workload: { image: ${JSON.stringify(image)} }\n`, {
      message:
        "polaris.yaml:4:20: workload.image: expected an image reference such as ghcr.io/acme/hello:1.4.2",
    });
    assertProblem(`${MINIMAL}proxy: { base: ${JSON.stringify(image)} }\n`, {
      message: "polaris.yaml:4:16: proxy.base: expected an image reference such as ghcr.io/acme/hello:1.4.2",
    });
  }
});

test("takes images of registries with a port, by IPv6 address, and by tag and digest", () => {
  for (const image of ["[::1]:5000/x", "localhost:5000/x:1", `node:26-slim@sha256:${"0".repeat(64)}`]) {
    const yaml = `${MINIMAL}workload: { image: "${image}" }\nproxy: { base: "${image}" }\n`;
    const { config } = parseConfig(yaml, { fileName: "polaris.yaml" });
    assert.deepEqual([config.workload.image, config.proxy.base], [image, image]);
  }
});

test("refuses a base of one stack alone: its pin is that of all", () => {
  assertProblem(`${MINIMAL}stacks: { dev: { proxy: { base: a } } }\n`, {
    message:
      'polaris.yaml:4:27: unknown key "base" in stacks.dev.proxy; known keys: port, encryption, tls, cors, limits, workloadKeyApi, allowFrom',
  });
});

test("wants to know what to run", () => {
  assertProblem("version: 1\nname: hello\ntargets:\n  local: {}\n", {
    message: 'polaris.yaml:4:3: missing key "run" in targets.local: nothing says which program to start',
  });
});

test("refuses a target that is not there yet by name, where the name stands", () => {
  for (const name of ["azure"]) {
    const problem = `target "${name}" is not available in this version, only "local" and "gcp" are`;
    const cases = [
      [`target: ${name}`, "4:9"],
      [`stacks:\n  prod: { target: ${name} }`, "5:19"],
      [`stacks:\n  prod: { targets: { ${name}: { project: x } } }`, "5:22"],
    ] as const;
    for (const [line, place] of cases) {
      const error = failureOf(`${MINIMAL}${line}\n`);
      assert.equal(error.code, "TARGET_NOT_AVAILABLE");
      assert.equal(error.message, `polaris.yaml:${place}: ${problem}`);
      assert.equal(error.hint, "use target: local");
    }
    assertProblem(`version: 1\nname: a\ntargets:\n  local: { run: [a] }\n  ${name}: {}\n`, {
      code: "TARGET_NOT_AVAILABLE",
      message: `polaris.yaml:5:3: ${problem}`,
    });
  }
});

const GCP = `version: 1
name: hello
target: gcp
workload: { image: registry.example/hello:1 }
`;

test("reads what Google Cloud needs, with defaults, also where a stack says it alone", () => {
  const { config } = parseConfig(`${GCP}targets: { gcp: { project: my-project, zone: europe-west4-a } }\n`, {
    fileName: "polaris.yaml",
  });
  assert.deepEqual(config.targets.gcp, {
    project: "my-project",
    zone: "europe-west4-a",
    machineType: "n2d-standard-2",
    bootDisk: { type: "pd-balanced", sizeGb: 20 },
    osImage: "cos-cloud/cos-stable",
    address: "ephemeral",
    nat: false,
    mirrorWorkload: false,
    logs: false,
    labels: {},
  });
  assert.deepEqual(config.attestation.gcp, { zone: true });
  const inStack = parseConfig(
    `${MINIMAL}stacks: { prod: { target: gcp, workload: { image: a }, targets: { gcp: { project: my-project, zone: europe-west4-a, nat: true, address: none } } } }\n`,
    { fileName: "polaris.yaml", stack: "prod" },
  );
  assert.equal(inStack.config.targets.gcp?.nat, true);
});

test("refuses what Google Cloud or a Confidential VM would not take", () => {
  const place = "project: my-project, zone: europe-west4-a";
  const cases: readonly (readonly [lines: string, message: RegExp])[] = [
    ["", /missing key "gcp" in targets: target is gcp$/],
    [`targets: { gcp: { project: my-project } }`, /missing key "zone" in targets\.gcp$/],
    [`targets: { gcp: { ${place}, machineType: e2-medium } }`, /n2d family.*no other one has SEV-SNP/],
    [`targets: { gcp: { project: p, zone: europe-west4-a } }`, /expected the id of a project/],
    [`targets: { gcp: { ${place}, nat: true } }`, /nat goes with address: none/],
    [
      `targets: { gcp: { ${place}, projectNumber: 123456789012 } }`,
      /expected text, got a number; put it in quotes/,
    ],
    [`targets: { gcp: { ${place}, keyLocation: Europe } }`, /expected a location of Cloud KMS/],
    [`targets: { gcp: { ${place}, bootDisk: { sizeGb: 5 } } }`, /from 10 to 65536/],
    [`targets: { gcp: { ${place}, labels: { Team: a } } }`, /expected 1 to 63 characters of a-z/],
    [`targets: { gcp: { ${place}, serviceAccount: default } }`, /expected the address of a service account/],
    [`targets: { gcp: { ${place}, network: { network: vpc } } }`, /missing key "subnetwork"/],
    [
      `targets: { gcp: { ${place} } }\nproxy: { tls: { certificate: a.crt, key: a.key } }`,
      /on gcp take attested/,
    ],
    [
      `targets: { gcp: { ${place} } }\nattestation: { gcp: { imageDigest: "sha256:00" } }`,
      /name no container image, so no condition can/,
    ],
    [
      `targets: { gcp: { ${place} } }\nattestation: { gcp: { hardwareModels: [GCP_AMD_SEV] } }`,
      /unknown key "hardwareModels"/,
    ],
  ];
  for (const [lines, message] of cases) {
    const error = failureOf(`${GCP}${lines}\n`);
    assert.equal(error.code, "CONFIG_INVALID", lines);
    assert.match(error.message, message, lines);
  }
  const withoutImage = GCP.replace(/workload.*\n/, "");
  assert.match(
    failureOf(`${withoutImage}targets: { gcp: { ${place} } }\n`).message,
    /missing key "image" in workload: target is gcp, which runs images/,
  );
});

test("merges maps of a stack at every depth and replaces lists and single values", () => {
  const text = `${MINIMAL}workload: { port: 8000, env: { A: "1", B: "2" }, health: { path: /a } }
proxy: { allowFrom: [10.0.0.0/8, 192.168.0.0/16], encryption: { responses: off } }
stacks:
  dev:
    workload: { env: { B: "3", C: "4" }, health: { timeout: 2m } }
    proxy: { allowFrom: [203.0.113.0/24], encryption: { requests: optional } }
    targets: { local: { run: [python3, serve.py] } }
  other: {}
`;
  const dev = parseConfig(text, { fileName: "polaris.yaml", stack: "dev" });
  assert.deepEqual(dev.config.workload, {
    port: 8000,
    entrypoint: [],
    args: [],
    env: { A: "1", B: "3", C: "4" },
    secrets: {},
    health: { path: "/a", timeoutMs: 120_000 },
  });
  assert.deepEqual(dev.config.proxy.allowFrom, ["203.0.113.0/24"]);
  assert.deepEqual(dev.config.proxy.encryption, { requests: "optional", responses: "off" });
  assert.deepEqual(dev.config.targets.local.run, ["python3", "serve.py"]);
  assert.deepEqual(dev.stackNames, ["dev", "other"]);

  const plain = parseConfig(text, { fileName: "polaris.yaml" });
  assert.deepEqual(plain.config.proxy.allowFrom, ["10.0.0.0/8", "192.168.0.0/16"]);
  assert.deepEqual(plain.config.workload.env, { A: "1", B: "2" });
});

test("lets a stack bring what the rest of the file lacks", () => {
  const text = "version: 1\nname: a\nstacks: { dev: { targets: { local: { run: [b] } } } }\n";
  assert.deepEqual(parseConfig(text, { fileName: "f", stack: "dev" }).config.targets.local.run, ["b"]);
  assert.equal(problemsOf(failureOf(text))[0]?.path, "targets.local.run");
});

test("applies the overrides of a stack that is called default", () => {
  const text = `${MINIMAL}stacks: { default: { key: { kind: ephemeral } } }\n`;
  assert.equal(parseConfig(text, { fileName: "f" }).config.key.kind, "ephemeral");
});

test("points into the override where the problem stands there", () => {
  assertProblem(`${MINIMAL}stacks:\n  dev:\n    workload: { prot: 1 }\n`, {
    message: 'polaris.yaml:6:17: unknown key "prot" in stacks.dev.workload; did you mean "port"?',
  });
  assertProblem(`${MINIMAL}stacks: { dev: { name: x } }\n`, {
    message:
      'polaris.yaml:4:18: unknown key "name" in stacks.dev; known keys: target, workload, proxy, key, attestation, trust, targets',
  });
  const both = `${MINIMAL}workload: { env: { KEY: x } }\nstacks:\n  dev: { workload: { secrets: { KEY: { fromEnv: K } } } }\n`;
  assertProblem(both, {
    stack: "dev",
    message:
      'polaris.yaml:6:33: "KEY" stands in workload.env and in workload.secrets; only one of them can set it',
  });
  assert.ok(
    parseConfig(both, { fileName: "f" }),
    "what is wrong in dev only does not keep others from deploying",
  );
});

test("knows the stacks that the file names, and default", () => {
  const text = `${MINIMAL}stacks: { dev: {}, prod: {} }\n`;
  assert.equal(parseConfig(text, { fileName: "f", stack: "default" }).stack, "default");
  assertProblem(text, {
    stack: "prd",
    code: "STACK_NOT_FOUND",
    message: 'polaris.yaml has no stack "prd"; did you mean "prod"?',
  });
  assertProblem(text, {
    stack: "constructor",
    code: "STACK_NOT_FOUND",
    message: 'polaris.yaml has no stack "constructor"; it has dev, prod',
  });
  assert.equal(parseConfig(MINIMAL, { fileName: "f", stack: "anything" }).stack, "anything");
  assertProblem(MINIMAL, { stack: "No!", code: "USAGE_INVALID", message: '"No!" is no name of a stack' });
});

test("never repeats a value that may be a secret", () => {
  const secret = "sk-live-3f9a";
  const texts = [
    `${MINIMAL}workload: { secrets: { API_KEY: ${secret} } }\n`,
    `${MINIMAL}workload: { secrets: { API_KEY: { fromEnv: ${secret} } } }\n`,
    `${MINIMAL}workload: { secrets: ${secret} }\n`,
    `${MINIMAL}workload: { env: { A: ["${secret}"] } }\n`,
    `${MINIMAL}workload: { health: { path: ${secret}, timeout: ${secret} } }\n`,
    `${MINIMAL}workload: { env: { A: "${secret} } }\n`,
    `${MINIMAL}workload: { env: { A: b: ${secret} } }\n`,
    `${MINIMAL}  ${secret}\n`,
  ];
  for (const text of texts) {
    const error = failureOf(text);
    assert.ok(!JSON.stringify([error.message, error.hint, error.details]).includes(secret), error.message);
  }
});

test("tells line and column of a syntax error, in our words", () => {
  const cases: readonly (readonly [string, string])[] = [
    [
      "version: 1\nname: a\n  port: 1\n",
      '2:7: a key inside a value; check the indentation, and put text that contains ": " in quotes',
    ],
    ["version: 1\nname: a\nname: b\n", '3:1: the key "name" stands twice in the same map'],
    ['version: 1\n"name": a\nname: b\n', '3:1: the key "name" stands twice in the same map'],
    ["version: 1\nworkload:\n\tport: 80\n", "3:1: a tab in the indentation; use spaces"],
    ["version: 1\nname: [a\n", "3:1: wrong indentation: keys of one map begin in the same column"],
    ['version: 1\nname: "a\n', "3:1: a quote, bracket, colon, comma or space is missing here"],
    [
      "version: 1\nname: a: b\n",
      '2:7: a key inside a value; check the indentation, and put text that contains ": " in quotes',
    ],
    [
      "version: 1\n---\nversion: 1\n",
      "2:1: a second document (---) begins here; the file must hold exactly one",
    ],
    [
      "version: 1\nname: *a\n",
      "2:7: there is no anchor (&name) for this alias before it; quote text that begins with *",
    ],
    ["version: 1\nname: !secret a\n", "2:7: a tag (!) that does not fit; write the value without it"],
    ["version: !!js/function 1\n", "1:10: a tag (!) that does not fit; write the value without it"],
    ["version: 1\n? [a]\n: b\n", "2:3: a key must be plain text"],
    ["%YAML 1.1\n---\nversion: 1\n", "1:1: %YAML must be 1.2: older versions read off and no as false"],
    ["version: 1\n__proto__: { a: 1 }\n", '2:1: the key "__proto__" is not allowed'],
    ["", "1:1: the file is empty"],
    ["# nothing but a comment\n", "1:1: the file is empty"],
    ["version: @a\n", "1:10: text cannot begin with this character; put it in quotes"],
  ];
  for (const [text, message] of cases) {
    assertProblem(text, { code: "CONFIG_SYNTAX", message: `polaris.yaml:${message}` });
  }
});

test("wants a map at the top", () => {
  assertProblem("- a\n", { message: "polaris.yaml:1:1: expected a map, got a list" });
  assertProblem("hello\n", { message: "polaris.yaml:1:1: expected a map, got text" });
});

test("resolves aliases, and points at the anchor's line for a problem behind one", () => {
  const text = `${MINIMAL}workload: { env: &shared { A: x } }\nstacks: { dev: { workload: { env: *shared } } }\n`;
  assert.deepEqual(parseConfig(text, { fileName: "f", stack: "dev" }).config.workload.env, { A: "x" });
  assertProblem(`${MINIMAL}workload: { env: &e { A: 1 } }\n`, {
    message: "polaris.yaml:4:26: workload.env.A: expected text, got a number; put it in quotes",
  });
});

test("refuses aliases that multiply, and aliases of themselves", () => {
  const levels = Array.from({ length: 9 }, (_, level) =>
    level === 0
      ? "a0: &a0 [x, x, x, x, x, x, x, x, x]"
      : `a${level}: &a${level} [${Array(9)
          .fill(`*a${level - 1}`)
          .join(", ")}]`,
  );
  assertProblem(`${levels.join("\n")}\n`, {
    code: "CONFIG_SYNTAX",
    message: "polaris.yaml:2:10: aliases that stand for too much; write the values out",
  });
  assertProblem(`${MINIMAL}x: &x 1\ny: [${Array(101).fill("*x").join(", ")}]\n`, {
    code: "CONFIG_SYNTAX",
    message: "polaris.yaml:5:405: more than 100 aliases; write the values out",
  });
  for (const text of ["a: &a [*a]\n", `${MINIMAL}workload: &w { health: &h { b: *w } }\n`]) {
    assert.match(
      failureOf(text).message,
      /^polaris\.yaml:\d:\d+: this alias stands for something that it is a part of$/,
    );
  }
});

test("ends with an error, not with the process, for nesting without end", () => {
  for (const text of [
    "[".repeat(30_000),
    "a: ".repeat(300),
    `${"- ".repeat(20_000)}x`,
    "{a: ".repeat(10_000),
  ]) {
    assert.equal(failureOf(text).code, "CONFIG_SYNTAX");
  }
});

test("refuses bytes that are not UTF-8 text, with the line", async () => {
  const cases = [
    [
      Buffer.from([0xef, 0xbb, 0xbf, ...Buffer.from(MINIMAL)]),
      "f.yaml:1:1: the file begins with a byte order mark; save it as UTF-8 without one",
    ],
    [Buffer.from(`\uFEFF${MINIMAL}`, "utf16le"), "f.yaml:1:1: the file is UTF-16; save it as UTF-8"],
    [Buffer.from(`${MINIMAL}# caf\xe9\n`, "latin1"), "f.yaml:4:1: this line is not UTF-8 text"],
    [Buffer.from("name: \xff", "latin1"), "f.yaml:1:1: this line is not UTF-8 text"],
  ] as const;
  for (const [bytes, message] of cases) {
    await writeFile(join(folder, "f.yaml"), bytes);
    await assert.rejects(loadConfig({ cwd: folder, file: "f.yaml" }), { code: "CONFIG_SYNTAX", message });
  }
});

test("takes a file of 256 KiB and refuses a larger one", async () => {
  const padding = (bytes: number): string => `${MINIMAL}#${" ".repeat(bytes - MINIMAL.length - 2)}\n`;
  await writeFile(join(folder, "big.yaml"), padding(256 * 1024));
  assert.equal((await loadConfig({ cwd: folder, file: "big.yaml" })).config.name, "hello");
  await writeFile(join(folder, "big.yaml"), padding(256 * 1024 + 1));
  await assert.rejects(loadConfig({ cwd: folder, file: "big.yaml" }), {
    code: "CONFIG_UNREADABLE",
    message: "big.yaml is larger than 256 KiB",
  });
});

test("says what to do when there is no file", async () => {
  const empty = join(folder, "empty");
  await mkdir(empty);
  await assert.rejects(loadConfig({ cwd: empty }), {
    code: "CONFIG_FILE_NOT_FOUND",
    message: `no polaris.yaml in ${empty}`,
    hint: 'run "polaris init" to write one, or name the project\'s folder with -C',
  });
  await assert.rejects(loadConfig({ cwd: join(empty, "nowhere") }), { code: "CONFIG_FILE_NOT_FOUND" });
  await writeFile(join(empty, "polaris.yml"), MINIMAL);
  await assert.rejects(loadConfig({ cwd: empty }), {
    code: "CONFIG_FILE_NOT_FOUND",
    hint: "there is a polaris.yml: rename it to polaris.yaml, or name it with --config",
  });
});

test("refuses a folder, a pipe and a link to itself in place of a file", async () => {
  await mkdir(join(folder, "folder.yaml"));
  await assert.rejects(loadConfig({ cwd: folder, file: "folder.yaml" }), {
    code: "CONFIG_UNREADABLE",
    message: "folder.yaml is a folder, expected a file",
  });
  await promisify(execFile)("mkfifo", [join(folder, "pipe.yaml")]);
  await assert.rejects(loadConfig({ cwd: folder, file: "pipe.yaml" }), {
    code: "CONFIG_UNREADABLE",
    message: "pipe.yaml is not a regular file",
  });
  await symlink("loop.yaml", join(folder, "loop.yaml"));
  await assert.rejects(loadConfig({ cwd: folder, file: "loop.yaml" }), {
    code: "CONFIG_UNREADABLE",
    message: "cannot read loop.yaml: ELOOP",
  });
});

test("says that the rights do not let it read the file", async (context) => {
  const path = join(folder, "secret.yaml");
  await writeFile(path, MINIMAL);
  await chmod(path, 0o000);
  if (process.getuid?.() !== 0) {
    await assert.rejects(loadConfig({ cwd: folder, file: "secret.yaml" }), {
      code: "CONFIG_UNREADABLE",
      message: "cannot read secret.yaml: EACCES",
    });
    return;
  }
  // Nothing is unreadable to root: ask as somebody else.
  const script = `process.setuid(65534); const { loadConfig } = await import(${JSON.stringify(new URL("load.ts", import.meta.url))});
    await loadConfig({ cwd: ${JSON.stringify(folder)}, file: "secret.yaml" }).catch((error) => console.log(error.code + " " + error.message));`;
  await chmod(folder, 0o755);
  const { stdout } = await promisify(execFile)(process.execPath, [
    "--input-type=module",
    "--eval",
    script,
  ]).catch((error: unknown) => {
    context.skip(`another user cannot run this checkout: ${String(error)}`);
    return { stdout: undefined };
  });
  if (stdout !== undefined) assert.equal(stdout, "CONFIG_UNREADABLE cannot read secret.yaml: EACCES\n");
});
