import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import * as fc from "fast-check";
import { hostileEnvironment, hostileText, HOSTILE_SAMPLES } from "../../testing/hostile-text.ts";
import {
  commandsOf,
  fileOf,
  parseDockerEnvironmentFile,
  readCloudConfig,
  settingsOf,
} from "../../testing/read-cloud-config.ts";
import type { ReadCloudConfig } from "../../testing/read-cloud-config.ts";
import { bootWith, sampleBoot } from "../../testing/sample-boot.ts";
import type { BootInputs } from "./boot-inputs.ts";
import { MAX_USER_DATA_BYTES, formatCloudConfig, hashCloudConfig } from "./cloud-config.ts";
import { GIVEN, VM } from "./vm-paths.ts";

const read = (boot: BootInputs): ReadCloudConfig => readCloudConfig(formatCloudConfig(boot));

/** The command line by which the container of a unit is made. */
function createCommand(config: ReadCloudConfig, unit: string): string[] {
  const found = commandsOf(config, unit, "ExecStartPre").find((argv) => argv[1] === "create");
  assert.ok(found !== undefined, `${unit} makes no container`);
  return found;
}

/** The values that an option has in a command line. */
function valuesOf(argv: readonly string[], option: string): string[] {
  return argv.flatMap((word, index) => (word === option ? [argv[index + 1] ?? ""] : []));
}

/** The variables that a container gets of its file and its command line. */
function variablesOf(config: ReadCloudConfig, unit: string): Record<string, string> {
  const argv = createCommand(config, unit);
  const [file = ""] = valuesOf(argv, "--env-file");
  const given = valuesOf(argv, "--env").filter((text) => text.includes("="));
  const fromArguments = given.map((text): [name: string, value: string] => {
    const at = text.indexOf("=");
    return [text.slice(0, at), text.slice(at + 1)];
  });
  return { ...parseDockerEnvironmentFile(fileOf(config, file)), ...Object.fromEntries(fromArguments) };
}

function checkRoundTrip(
  command: readonly string[],
  workload: Record<string, string>,
  proxy: Record<string, string>,
): void {
  const text = formatCloudConfig(
    bootWith({ workload: { command, environment: workload }, proxy: { environment: proxy } }),
  );
  // What no reader of YAML can take for anything else.
  assert.match(text, /^[\n\x20-\x7e]*$/);
  const config = readCloudConfig(text);
  const argv = createCommand(config, "polaris-workload.service");
  const image = argv.indexOf(sampleBoot.workload.image);
  assert.deepEqual([argv[image - 1], ...argv.slice(image + 1)], command);
  assert.deepEqual(variablesOf(config, "polaris-workload.service"), workload);
  assert.deepEqual(variablesOf(config, "polaris-proxy.service"), proxy);
}

test("any program, argument and variable comes out of the cloud-config as it went in", () => {
  fc.assert(
    fc.property(
      fc.array(hostileText, { minLength: 1, maxLength: 4 }),
      hostileEnvironment,
      hostileEnvironment,
      (command, workload, proxy) => {
        // A variable cannot be a secret too.
        fc.pre(!("API_KEY" in workload));
        checkRoundTrip(command, workload, proxy);
      },
    ),
    { numRuns: 300 },
  );
});

for (const [index, text] of HOSTILE_SAMPLES.entries()) {
  test(`hostile text ${index} comes out of the cloud-config as it went in: ${JSON.stringify(text.slice(0, 20))}`, () => {
    checkRoundTrip([text, text], { FIRST: text, SECOND: `x${text}x` }, { THIRD: text });
  });
}

test("units are text of lines, and no value can make a line of its own", () => {
  const units = (boot: BootInputs): string[] =>
    [...read(boot).files.values()]
      .filter(({ path }) => path.startsWith(VM.units))
      .map(({ text }) => text.replaceAll(/=.*/g, ""));
  const hostile = "\n[Install]\nWantedBy=x\n";
  assert.deepEqual(
    units(bootWith({ workload: { command: [hostile, hostile], environment: { A: hostile } } })),
    units(sampleBoot),
  );
});

test("the workload has no published port, no way out, no rights, and of the machine the key API's folder alone", () => {
  const argv = createCommand(read(sampleBoot), "polaris-workload.service");
  assert.deepEqual(valuesOf(argv, "--network"), ["polaris-inside"]);
  assert.deepEqual(valuesOf(argv, "--dns"), ["127.0.0.1"]);
  assert.deepEqual(valuesOf(argv, "--network-alias"), ["workload"]);
  assert.deepEqual(valuesOf(argv, "--mount"), [
    `type=bind,source=${VM.keyApi},target=${GIVEN.keyApi},readonly`,
  ]);
  for (const option of ["--publish", "-p", "--privileged", "--cap-add", "--device", "--volume", "--restart"])
    assert.ok(!argv.includes(option), option);
  const bare = createCommand(read(bootWith({ workload: { keyApi: false } })), "polaris-workload.service");
  assert.ok(!bare.includes("--mount"));
});

test("the proxy alone is published, cannot write but to the key API's folder, and has the agent's socket", () => {
  const argv = createCommand(read(sampleBoot), "polaris-proxy.service");
  assert.deepEqual(valuesOf(argv, "--publish"), ["0.0.0.0:443:3000"]);
  assert.ok(argv.includes("--read-only"));
  assert.deepEqual(valuesOf(argv, "--mount"), [
    `type=bind,source=${VM.agent},target=${GIVEN.agent},readonly`,
    `type=bind,source=${VM.tokens},target=${GIVEN.tokens},readonly`,
    `type=bind,source=${VM.keyApi},target=${GIVEN.keyApi}`,
  ]);
  assert.equal(argv.at(-1), sampleBoot.proxy.image);
});

test("every container drops all rights", () => {
  const config = read(sampleBoot);
  const commands = [
    createCommand(config, "polaris-proxy.service"),
    createCommand(config, "polaris-workload.service"),
    ...commandsOf(config, "polaris-secrets.service", "ExecStart"),
  ];
  for (const argv of commands) {
    assert.deepEqual(valuesOf(argv, "--cap-drop"), ["ALL"]);
    assert.deepEqual(valuesOf(argv, "--security-opt"), ["no-new-privileges"]);
    assert.deepEqual(valuesOf(argv, "--pids-limit"), ["4096"]);
  }
});

test("containers run in the foreground of their units, which are started again for ever", () => {
  const config = read(sampleBoot);
  for (const part of ["workload", "proxy"]) {
    const unit = `polaris-${part}.service`;
    const name = `polaris-${part}`;
    assert.deepEqual(commandsOf(config, unit, "ExecStart"), [["/usr/bin/docker", "start", "--attach", name]]);
    assert.deepEqual(commandsOf(config, unit, "ExecStop"), [["/usr/bin/docker", "stop", "-t", "20", name]]);
    assert.ok(settingsOf(config, unit, "ExecStartPre").includes(`-:/usr/bin/docker rm --force ${name}`));
    assert.deepEqual(settingsOf(config, unit, "Type"), ["exec"]);
    assert.deepEqual(settingsOf(config, unit, "Restart"), ["always"]);
    assert.deepEqual(settingsOf(config, unit, "StartLimitIntervalSec"), ["0"]);
    assert.deepEqual(settingsOf(config, unit, "TimeoutStartSec"), ["0"]);
  }
});

test("no container is made before its network and the rule for the metadata server are there", () => {
  const config = read(sampleBoot);
  for (const unit of ["polaris-workload.service", "polaris-proxy.service", "polaris-secrets.service"]) {
    assert.deepEqual(commandsOf(config, unit, "ExecStartPre").slice(0, 2), [
      [
        "/bin/bash",
        `${VM.scripts}/prepare-docker.sh`,
        "polaris-inside",
        "polaris-outside",
        "europe-west4-docker.pkg.dev",
      ],
      ["/bin/bash", `${VM.scripts}/block-metadata.sh`],
    ]);
    // Not "-": what fails here must stop the unit.
    for (const line of settingsOf(config, unit, "ExecStartPre").slice(0, 2)) assert.match(line, /^:/);
    assert.deepEqual(settingsOf(config, unit, "Environment"), ["HOME=/run/polaris/home"]);
  }
});

test("a secret is named, fetched before the workload, and its value is nowhere in what the machine is told", () => {
  const config = read(sampleBoot);
  const unit = "polaris-workload.service";
  assert.deepEqual(valuesOf(createCommand(config, unit), "--env"), ["API_KEY"]);
  assert.deepEqual(settingsOf(config, unit, "EnvironmentFile"), [VM.secretEnvironment]);
  assert.match(settingsOf(config, unit, "After").join(" "), /polaris-secrets\.service/);
  assert.equal(config.files.get(VM.secretRequest)?.permissions, "0600");
  assert.deepEqual(JSON.parse(fileOf(config, VM.secretRequest)), {
    providerName: sampleBoot.providerName,
    stsUrl: sampleBoot.stsUrl,
    secretManagerUrl: sampleBoot.secretManagerUrl,
    secrets: sampleBoot.secrets,
  });
  const none = read(bootWith({ others: { secrets: [] } }));
  assert.ok(!none.files.has(VM.secretRequest) && !none.files.has(`${VM.units}/polaris-secrets.service`));
  assert.deepEqual(settingsOf(none, unit, "EnvironmentFile"), []);
});

test("the agent asks for evidence alone, and only the machine's own unit names the provider", () => {
  const config = read(sampleBoot);
  const named = [...config.files.values()].filter(({ text }) => text.includes(sampleBoot.providerName ?? ""));
  assert.deepEqual(
    named.map(({ path }) => path),
    [VM.secretRequest, `${VM.units}/polaris-machine-token.service`],
  );
  const [agent] = commandsOf(config, "polaris-token-agent@.service", "ExecStart");
  assert.equal(agent?.[4], "polaris-attestation-v1");
  assert.deepEqual(settingsOf(config, "polaris-token-agent.socket", "SocketMode"), ["0660"]);
  assert.deepEqual(settingsOf(config, "polaris-machine-token.timer", "OnUnitActiveSec"), ["40min"]);
});

test("a machine whose key is its own exchanges no token", () => {
  const config = read(bootWith({ others: { providerName: null, secrets: [] } }));
  assert.ok(!config.files.has(`${VM.units}/polaris-machine-token.service`));
  assert.ok(!config.files.has(`${VM.units}/polaris-machine-token.timer`));
  assert.ok(!createCommand(config, "polaris-proxy.service").join(" ").includes(VM.tokens));
});

test("what runs is the pinned tool", () => {
  const [install] = commandsOf(read(sampleBoot), "polaris-token-tool.service", "ExecStart");
  assert.deepEqual(install?.slice(2), [
    sampleBoot.tokenTool.url,
    sampleBoot.tokenTool.sha256Hex,
    VM.tokenTool,
  ]);
});

test("nobody logs in, nothing updates the system, and files with values are for root alone", () => {
  const { bootcmd, runcmd, files } = read(sampleBoot);
  assert.deepEqual(bootcmd, [
    ["systemctl", "mask", "--now", "--no-block", "sshd.service", "sshd.socket", "update-engine.service"],
  ]);
  assert.deepEqual(runcmd.at(-1), ["systemctl", "start", "--no-block", "polaris.target"]);
  for (const path of [VM.proxyEnvironment, VM.workloadEnvironment, VM.secretRequest])
    assert.equal(files.get(path)?.permissions, "0600", path);
  assert.match(files.get("/etc/systemd/journald.conf.d/polaris.conf")?.text ?? "", /^Storage=volatile$/m);
});

test("logs stay in the machine's memory unless the cloud is to have them", () => {
  const logDriver = (logs: BootInputs["logs"]): string[] =>
    valuesOf(createCommand(read(bootWith({ others: { logs } })), "polaris-proxy.service"), "--log-driver");
  assert.deepEqual(logDriver("machine"), ["none"]);
  assert.deepEqual(logDriver("cloud"), ["json-file"]);
});

const REFUSED: readonly [name: string, boot: BootInputs, problem: RegExp][] = [
  ["an image by tag", bootWith({ proxy: { image: "docker.io/library/node:26" } }), /proxy\.image: /],
  ["no program", bootWith({ workload: { command: [] } }), /workload\.command: /],
  ["NUL in an argument", bootWith({ workload: { command: ["a\0b"] } }), /workload\.command\.0: .*NUL/],
  [
    "half of a pair",
    bootWith({ workload: { environment: { A: "\ud800" } } }),
    /environment\.A: .*surrogates/,
  ],
  ["a variable without a name", bootWith({ workload: { environment: { "": "x" } } }), /environment\.: /],
  ["a name that is none", bootWith({ proxy: { environment: { "A B": "x" } } }), /proxy\.environment\.A B: /],
  [
    "too long an argument",
    bootWith({ workload: { command: ["x".repeat(131_071)] } }),
    /fewer than 131071 bytes/,
  ],
  [
    "a hash in upper case",
    bootWith({ others: { tokenTool: { ...sampleBoot.tokenTool, sha256Hex: "3C".repeat(32) } } }),
    /sha256Hex: /,
  ],
  [
    "a file of this machine",
    bootWith({ others: { tokenTool: { ...sampleBoot.tokenTool, url: "file:///x" } } }),
    /tokenTool\.url: /,
  ],
  [
    "tokens in the clear",
    bootWith({ others: { stsUrl: "http://sts.example" } }),
    /stsUrl: expected an origin of https/,
  ],
  [
    "tokens to a look-alike of loopback",
    bootWith({ others: { stsUrl: "http://127.0.0.1.example" } }),
    /stsUrl: /,
  ],
  ["a host with a space", bootWith({ others: { registryHosts: ["a b"] } }), /registryHosts\.0: /],
  [
    "another audience",
    bootWith({ others: { providerName: "polaris-attestation-v1", secrets: [] } }),
    /providerName: /,
  ],
  ["secrets without an identity", bootWith({ others: { providerName: null } }), /secrets: .*identity/],
  [
    "a secret called PATH",
    bootWith({ others: { secrets: [{ name: "PATH", version: "projects/p/secrets/s/versions/1" }] } }),
    /secrets\.0\.name: /,
  ],
  [
    "the latest version",
    bootWith({ others: { secrets: [{ name: "A", version: "projects/p/secrets/s/versions/latest" }] } }),
    /secrets\.0\.version: /,
  ],
  [
    "a secret twice",
    bootWith({ others: { secrets: [...sampleBoot.secrets, ...sampleBoot.secrets] } }),
    /each variable once/,
  ],
  [
    "a secret that is public",
    bootWith({ workload: { environment: { API_KEY: "x" } } }),
    /a secret and is not/,
  ],
  ["a port that is none", bootWith({ proxy: { port: 0 } }), /proxy\.port: /],
];

for (const [name, boot, problem] of REFUSED) {
  test(`${name} is refused`, () => {
    assert.throws(() => formatCloudConfig(boot), { code: "CONFIG_INVALID", message: problem });
  });
}

test("more than the metadata of a machine can hold is refused before anything is made", () => {
  const fits = (count: number): string =>
    formatCloudConfig(
      bootWith({ workload: { command: ["/x", ...Array<string>(count).fill("y".repeat(1000))] } }),
    );
  assert.ok(Buffer.byteLength(fits(220)) <= MAX_USER_DATA_BYTES);
  assert.throws(() => fits(260), { code: "CONFIG_INVALID", message: /bytes long, expected at most 262144$/ });
});

test("the hash names the bytes, and the same inputs give the same bytes", () => {
  const text = formatCloudConfig(sampleBoot);
  assert.equal(hashCloudConfig(text), `sha256:${createHash("sha256").update(text).digest("hex")}`);
  assert.equal(formatCloudConfig(structuredClone(sampleBoot)), text);
});
