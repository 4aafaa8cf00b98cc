import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { TestContext } from "node:test";
import type { Command } from "commander";
import { ERROR_CODES } from "@polaris-cvm/sdk/errors";
import type { ErrorCode } from "@polaris-cvm/sdk/errors";
import { acquireStackLock } from "@polaris-cvm/stacks/local/stack-lock.ts";
import { createProgram } from "../../cli/src/program.ts";
import { COMMAND_DATA } from "../../docs/command-data.ts";
import { processesOf, startPolaris, TestProject } from "../polaris-process.ts";
import type { Finished, JsonDocument } from "../polaris-process.ts";
import { ARROW_DOWN, CONTROL_C, ENTER, NO_TERMINAL, startInTerminal } from "../pseudo-terminal.ts";

/** Commands that do something, by the words that call them. */
const COMMANDS: ReadonlyMap<string, Command> = new Map(listCommands(createProgram(), []));

/** What a terminal is told to write in a colour (ECMA-48 SGR). */
const COLOUR = new RegExp(`${String.fromCodePoint(0x1b)}\\[3\\dm`);

const CONFIG = `version: 1
name: cli
workload: { health: { path: /healthz, timeout: 20s } }
targets: { local: { run: [node, server.js], files: [server.js] } }
stacks: { dev: { key: { kind: ephemeral } } }
`;

let project: TestProject;
let empty: string;
before(async () => {
  project = await TestProject.create({ "polaris.yaml": CONFIG });
  empty = await mkdtemp(join(tmpdir(), "polaris-empty-"));
});
after(async () => {
  await project.remove(["dev"]);
  await rm(empty, { recursive: true });
});

function* listCommands(parent: Command, words: readonly string[]): Generator<[string, Command]> {
  for (const command of parent.commands) {
    const path = [...words, command.name()];
    if (command.commands.length > 0) yield* listCommands(command, path);
    else yield [path.join(" "), command];
  }
}

/** Calls with every item, four at a time: this is about what commands say, not about how many run at once. */
async function forEachOf<Item>(items: Iterable<Item>, call: (item: Item) => Promise<void>): Promise<void> {
  const queue = [...items];
  const work = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await call(item);
  };
  await Promise.all([work(), work(), work(), work()]);
}

async function makeFolder(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-cli-"));
  context.after(() => rm(folder, { recursive: true }));
  return folder;
}

/** stdout as the one JSON document that it has to be. */
function parseDocument(finished: Finished): JsonDocument {
  assert.equal(finished.stderr, "");
  assert.ok(finished.stdout.endsWith("}\n"), finished.stdout);
  return JSON.parse(finished.stdout) as JsonDocument;
}

/** Output without the number of `doctor` that is another one at each run. */
function withoutFreeSpace(stdout: string): string {
  return stdout.replaceAll(/\d+ MiB free/g, "MiB free");
}

/** What holds for every document, whatever the command. */
function checkDocument(document: JsonDocument, name: string, exitCode: number | null): void {
  assert.deepEqual(Object.keys(document), [
    "schemaVersion",
    "command",
    "ok",
    "stack",
    "target",
    "data",
    "warnings",
    "error",
  ]);
  assert.deepEqual([document.schemaVersion, document.command], [1, name]);
  assert.equal(document.ok, exitCode === 0, name);
  assert.equal(document.ok, document.error === null, name);
  if (document.error === null) return;
  assert.deepEqual(Object.keys(document.error), ["code", "message", "hint", "exitCode", "details"]);
  assert.equal(document.error.exitCode, exitCode, name);
  assert.equal(ERROR_CODES[document.error.code as ErrorCode].exit, exitCode, name);
}

test("--help lists every command on stdout and exits with 0", async () => {
  const { exitCode, stdout, stderr } = await startPolaris(["--help"], empty).finished;
  assert.deepEqual([exitCode, stderr], [0, ""]);
  for (const command of createProgram().commands)
    assert.match(stdout, new RegExp(`^  ${command.name()}[ |]`, "m"));
  for (const { exit } of Object.values(ERROR_CODES)) assert.match(stdout, new RegExp(`\\b${exit} [a-z]`));
});

test("every command has help with its flags, and with an example where it takes any", async () => {
  // What needs no example: nothing to say but the command itself, or nothing that should be imitated.
  const plain = ["config validate", "config print", "config schema", "unlock", "version"];
  await forEachOf(COMMANDS, async ([name, command]) => {
    const { exitCode, stdout, stderr } = await startPolaris([...name.split(" "), "--help"], empty).finished;
    assert.deepEqual([exitCode, stderr], [0, ""], name);
    assert.ok(stdout.startsWith(`Usage: polaris ${name}`), stdout);
    for (const option of command.options) {
      if (!option.hidden) assert.ok(stdout.includes(option.flags), `${name} ${option.flags}`);
    }
    assert.equal(
      new RegExp(`^Examples?:\\n  .*polaris ${name}`, "m").test(stdout),
      !plain.includes(name),
      name,
    );
  });
});

test("without a command says what there is, as a usage error", async () => {
  const { exitCode, stdout, stderr } = await startPolaris([], empty).finished;
  assert.deepEqual([exitCode, stdout], [2, ""]);
  assert.match(stderr, /^Usage: polaris/);
});

test("every command that can fail prints exactly one JSON document when it does", async () => {
  const failures: Readonly<Record<string, readonly [args: readonly string[], code: ErrorCode]>> = {
    init: [["--name", "Not A Name", "--run", "node x"], "CONFIG_INVALID"],
    "config validate": [[], "CONFIG_FILE_NOT_FOUND"],
    "config print": [["--stack", "Dev"], "CONFIG_FILE_NOT_FOUND"],
    lock: [[], "CONFIG_FILE_NOT_FOUND"],
    "image build": [["--to", "image"], "USAGE_INVALID"],
    "image inspect": [["Acme/Hello"], "IMAGE_REFERENCE_INVALID"],
    "image digest": [["127.0.0.1:1/hello"], "REGISTRY_UNREACHABLE"],
    "image sbom": [["--base", "./no-layout"], "IMAGE_NOT_FOUND"],
    preview: [[], "CONFIG_FILE_NOT_FOUND"],
    deploy: [["--yes"], "CONFIG_FILE_NOT_FOUND"],
    destroy: [["--yes"], "STACK_NOT_FOUND"],
    verify: [[], "EXPECTATIONS_MISSING"],
    request: [["GET", "/"], "EXPECTATIONS_MISSING"],
    "data seal": [["polaris.yaml", "-o", "sealed"], "EXPECTATIONS_MISSING"],
    "data open": [["sealed", "-o", "opened"], "STACK_NOT_FOUND"],
    status: [[], "STACK_NOT_FOUND"],
    logs: [[], "STACK_NOT_FOUND"],
    outputs: [[], "STACK_NOT_FOUND"],
    doctor: [[], "PREFLIGHT_FAILED"],
    unlock: [["--stack", "Not A Name"], "USAGE_INVALID"],
  };
  // These three have nothing that could fail but their own command line.
  const infallible = ["config schema", "completion", "version"];
  assert.deepEqual([...Object.keys(failures), ...infallible].sort(), [...COMMANDS.keys()].sort());
  await forEachOf(Object.entries(failures), async ([name, [args, code]]) => {
    const finished = await startPolaris([...name.split(" "), ...args, "--json"], empty).finished;
    const document = parseDocument(finished);
    checkDocument(document, name, finished.exitCode);
    assert.equal(document.error?.code, code, name);
    const streamed = await startPolaris([...name.split(" "), ...args, "--json=stream"], empty).finished;
    const last = JSON.parse(withoutFreeSpace(streamed.stdout).trimEnd().split("\n").at(-1) ?? "");
    assert.deepEqual(last, JSON.parse(withoutFreeSpace(finished.stdout)), name);
  });
  assert.deepEqual(await readdir(empty), []);
});

test("a wrong command line prints exactly one JSON document too", async () => {
  const lines = [
    ["depoly"],
    ["deploy", "--yess"],
    ["config", "print", "--yess"],
    ["completion", "tcsh"],
    ["request", "GET"],
  ];
  await forEachOf(lines, async (line) => {
    const finished = await startPolaris([...line, "--json"], empty).finished;
    assert.equal(finished.exitCode, 2, line.join(" "));
    const document = JSON.parse(finished.stdout) as JsonDocument;
    assert.deepEqual(
      [document.ok, document.error?.code, document.error?.exitCode],
      [false, "USAGE_INVALID", 2],
    );
  });
});

test("a wrong flag is a usage error of every command, subcommands too", async () => {
  await forEachOf(COMMANDS.keys(), async (name) => {
    const { exitCode, stdout, stderr } = await startPolaris([...name.split(" "), "--wrong"], empty).finished;
    assert.deepEqual([exitCode, stdout], [2, ""], name);
    assert.match(stderr, /^polaris: error: unknown option '--wrong'\n/, name);
  });
});

test("a mistyped command is told from those that there are", async () => {
  const { exitCode, stdout, stderr } = await startPolaris(["depoly"], empty).finished;
  assert.deepEqual([exitCode, stdout], [2, ""]);
  assert.match(stderr, /^polaris: error: unknown command 'depoly'\n\(Did you mean deploy\?\)\n/);
});

test("version and completion tell the same to people and to machines", async () => {
  const version = parseDocument(await startPolaris(["version", "--json"], empty).finished);
  checkDocument(version, "version", 0);
  const manifest = JSON.parse(await readFile(new URL("../../cli/package.json", import.meta.url), "utf8"));
  assert.equal(version.data.polaris, manifest.version);
  assert.equal(version.data.node, process.versions.node);
  const { stdout } = await startPolaris(["version"], empty).finished;
  assert.equal(
    stdout,
    `polaris ${manifest.version} (Node ${process.versions.node}, ${process.platform}-${process.arch})\n`,
  );
  await forEachOf(["bash", "zsh", "fish"], async (shell) => {
    const script = await startPolaris(["completion", shell], empty).finished;
    assert.deepEqual([script.exitCode, script.stderr], [0, ""]);
    const document = parseDocument(await startPolaris(["completion", shell, "--json"], empty).finished);
    assert.deepEqual(document.data, { shell, script: script.stdout });
  });
});

test("config validate says which file is valid for which stack", async () => {
  const { exitCode, stdout, stderr } = await project.run(["config", "validate", "--stack", "dev"]);
  assert.deepEqual(
    [exitCode, stdout, stderr],
    [0, `${join(project.dir, "polaris.yaml")} is valid (stack dev, target local)\n`, ""],
  );
});

test("config print gives a stack's own values, in a form that is valid again", async () => {
  const kinds = await Promise.all(
    [[], ["--stack", "dev"]].map(async (args) => {
      const document = await project.json(["config", "print", ...args]);
      return [document.stack, document.target, document.data.config.key.kind];
    }),
  );
  assert.deepEqual(kinds, [
    ["default", "local", "hsm"],
    ["dev", "local", "ephemeral"],
  ]);
  const printed = await project.run(["config", "print", "--stack", "dev"]);
  await writeFile(join(project.dir, "printed.yaml"), printed.stdout);
  const again = await project.run(["config", "print", "--config", "printed.yaml"]);
  assert.deepEqual([again.exitCode, again.stdout], [0, printed.stdout], again.stderr);
  const unknown = await project.json(["config", "print", "--stack", "deev"]);
  assert.equal(unknown.error?.code, "STACK_NOT_FOUND");
  assert.match(unknown.error?.message ?? "", /did you mean "dev"/);
});

test("config schema prints the schema of the documentation", async () => {
  const schema = new URL("../../docs/schemas/polaris.schema.json", import.meta.url);
  const { stdout } = await startPolaris(["config", "schema"], empty).finished;
  assert.deepEqual(JSON.parse(stdout), JSON.parse(await readFile(schema, "utf8")));
});

test("each variable does what its flag does, and the flag wins", async () => {
  const stackOf = async (args: readonly string[], env: Readonly<Record<string, string>>): Promise<unknown> =>
    (await project.json(["config", "print", ...args], env)).stack;
  assert.equal(await stackOf([], { POLARIS_STACK: "dev" }), "dev");
  assert.equal(await stackOf([], { POLARIS_STACK: "" }), "default");
  assert.equal(await stackOf(["--stack", "default"], { POLARIS_STACK: "dev" }), "default");
  const elsewhere = startPolaris(["config", "validate", "--json"], empty, {
    POLARIS_CWD: project.dir,
    POLARIS_CONFIG: "printed.yaml",
  });
  assert.equal(parseDocument(await elsewhere.finished).data.path, join(project.dir, "printed.yaml"));
  const plain = await startPolaris(["status"], empty).finished;
  const debug = await startPolaris(["status"], empty, { POLARIS_DEBUG: "1" }).finished;
  assert.doesNotMatch(plain.stderr, /^ {4}at /m);
  assert.match(debug.stderr, /^ {4}at /m);
  const wait = await startPolaris(["deploy"], empty, { POLARIS_WAIT: "soon" }).finished;
  assert.equal(wait.exitCode, 2);
  assert.match(wait.stderr, /POLARIS_WAIT.*30s, 5m or 1h/);
});

test("init writes from its flags a file that validates, and overwrites only with --force", async (context) => {
  const folder = await makeFolder(context);
  const flags = [
    "--name",
    "shop",
    "--run",
    `node "the server.js"`,
    "--health-path",
    "/up",
    "--responses",
    "optional",
  ];
  const first = await startPolaris(["init", "new/shop", ...flags], folder).finished;
  const path = join(folder, "new/shop/polaris.yaml");
  assert.deepEqual([first.exitCode, first.stdout], [0, `${path}\n`]);
  assert.match(first.stderr, /polaris deploy -C new\/shop/);
  const printed = parseDocument(
    await startPolaris(["config", "print", "-C", "new/shop", "--json"], folder).finished,
  );
  const { config } = printed.data;
  assert.deepEqual(
    [
      config.name,
      config.targets.local.run,
      config.workload.health.path,
      config.proxy.encryption,
      config.key.kind,
    ],
    ["shop", ["node", "the server.js"], "/up", { requests: "required", responses: "optional" }, "hsm"],
  );

  const text = await readFile(path, "utf8");
  const again = parseDocument(
    await startPolaris(["init", "new/shop", "--run", "node other.js", "--json"], folder).finished,
  );
  assert.equal(again.error?.code, "USAGE_INVALID");
  assert.match(again.error?.hint ?? "", /--force/);
  assert.equal(await readFile(path, "utf8"), text);
  const forced = await startPolaris(["init", "new/shop", "--run", "node other.js", "--force"], folder)
    .finished;
  assert.equal(forced.exitCode, 0, forced.stderr);
  assert.match(await readFile(path, "utf8"), /run: \[node, other\.js\]/);
});

test("init with a bad answer, or with none, leaves nothing behind", async (context) => {
  const folder = await makeFolder(context);
  const good = ["--name", "shop", "--run", "node x"];
  const bad: readonly (readonly [ErrorCode | "usage", readonly string[]])[] = [
    ["USAGE_INVALID", []],
    ["USAGE_INVALID", ["--run", " "]],
    ["USAGE_INVALID", ["--run", `node "x`]],
    ["CONFIG_INVALID", [...good, "--name", "9"]],
    ["CONFIG_INVALID", [...good, "--health-path", "up"]],
    ["usage", [...good, "--requests", "sometimes"]],
    ["usage", [...good, "--key", "none"]],
  ];
  await forEachOf(bad, async ([code, flags]) => {
    const args = ["init", "new/shop", ...flags, ...(code === "usage" ? [] : ["--json"])];
    const finished = await startPolaris(args, folder).finished;
    assert.equal(finished.exitCode, 2, flags.join(" "));
    if (code !== "usage") assert.equal(parseDocument(finished).error?.code, code, flags.join(" "));
  });
  assert.deepEqual(await readdir(folder), []);
});

test("init asks what no flag answers", { skip: NO_TERMINAL }, async (context) => {
  const folder = await makeFolder(context);
  const session = startInTerminal(["init", "--name", "asked"], folder);
  await session.screen(/Program that serves/);
  session.type(`node app.js${ENTER}`);
  await session.screen(/Path that answers/);
  session.type(`/healthz${ENTER}`);
  await session.screen(/Sealed requests/);
  session.type(`${ARROW_DOWN}${ENTER}`);
  await session.screen(/Sealed responses/);
  session.type(ENTER);
  await session.screen(/Key/);
  session.type(`${ARROW_DOWN}${ENTER}`);
  const { exitCode, text } = await session.finished;
  assert.equal(exitCode, 0, text);
  assert.doesNotMatch(text, /Name of the project/);
  const printed = parseDocument(await startPolaris(["config", "print", "--json"], folder).finished);
  const { config } = printed.data;
  assert.deepEqual(
    [
      config.name,
      config.targets.local.run,
      config.workload.health.path,
      config.proxy.encryption,
      config.key.kind,
    ],
    ["asked", ["node", "app.js"], "/healthz", { requests: "optional", responses: "required" }, "ephemeral"],
  );
});

test(
  "Ctrl-C in a question of init exits with 8 and leaves nothing behind",
  { skip: NO_TERMINAL },
  async (context) => {
    const folder = await makeFolder(context);
    const session = startInTerminal(["init"], folder);
    await session.screen(/Name of the project/);
    session.type(ENTER);
    await session.screen(/Program that serves/);
    session.type(CONTROL_C);
    const { exitCode, text } = await session.finished;
    assert.equal(exitCode, 8, text);
    assert.match(text, /cancelled; nothing was changed/);
    assert.deepEqual(await readdir(folder), []);
  },
);

test(
  "deploy asks before it changes anything, and takes no and Ctrl-C for an answer",
  { skip: NO_TERMINAL },
  async (context) => {
    const folder = await makeFolder(context);
    await writeFile(join(folder, "polaris.yaml"), CONFIG);
    await writeFile(join(folder, "server.js"), "");
    for (const answer of [ENTER, `n${ENTER}`, CONTROL_C]) {
      const session = startInTerminal(["deploy"], folder);
      await session.screen(/Deploy cli\/default to local\?/);
      session.type(answer);
      const { exitCode, text } = await session.finished;
      assert.equal(exitCode, 8, text);
      assert.match(text, /nothing was changed/);
    }
    assert.deepEqual((await readdir(folder)).sort(), ["polaris.yaml", "server.js"]);
    assert.deepEqual(await processesOf(folder), []);
  },
);

test(
  "nobody is asked in a terminal with --non-interactive, --json or CI",
  { skip: NO_TERMINAL },
  async () => {
    const calls: readonly (readonly [readonly string[], Readonly<Record<string, string>>])[] = [
      [["init", "--non-interactive"], {}],
      [["init", "--json"], {}],
      [["init"], { CI: "true" }],
    ];
    await forEachOf(calls, async ([args, env]) => {
      const { exitCode, text } = await startInTerminal(args, empty, env).finished;
      assert.equal(exitCode, 2, text);
      assert.match(text, /nothing says which program to run/);
    });
    assert.deepEqual(await readdir(empty), []);
  },
);

test("POLARIS_YES=0 is not a yes", { skip: NO_TERMINAL }, async () => {
  const session = startInTerminal(["init"], empty, { POLARIS_YES: "0" });
  await session.screen(/Name of the project/);
  session.type(CONTROL_C);
  assert.equal((await session.finished).exitCode, 8);
});

test("colours are for terminals, and NO_COLOR switches them off", { skip: NO_TERMINAL }, async () => {
  assert.match((await startInTerminal(["doctor"], empty).finished).text, COLOUR);
  assert.doesNotMatch((await startInTerminal(["doctor"], empty, { NO_COLOR: "1" }).finished).text, COLOUR);
  const piped = await startPolaris(["doctor"], empty, { NO_COLOR: "" }).finished;
  assert.doesNotMatch(piped.stdout + piped.stderr, COLOUR);
});

test("--no-color does what NO_COLOR does", { skip: NO_TERMINAL }, async () => {
  const { text } = await startInTerminal(["doctor", "--no-color"], empty).finished;
  assert.doesNotMatch(text, COLOUR);
});

test("lock writes once, and --check tells a fresh lock from a stale one without writing", async () => {
  const path = join(project.dir, "polaris.lock");
  const missing = await project.json(["lock", "--check"]);
  assert.deepEqual([missing.error?.code, missing.error?.exitCode], ["LOCK_FILE_STALE", 7]);
  assert.ok(missing.data.changes.length > 0);
  assert.equal(existsSync(path), false);

  const written = await project.run(["lock"]);
  assert.equal(written.exitCode, 0, written.stderr);
  assert.match(written.stdout, /^\+ .*\n[^]*polaris\.lock written\n$/);
  const text = await readFile(path, "utf8");
  const fresh = await project.run(["lock", "--check"]);
  assert.deepEqual([fresh.exitCode, fresh.stdout], [0, `${path} is up to date\n`]);
  assert.equal((await project.json(["lock"])).data.changes.length, 0);
  assert.equal(await readFile(path, "utf8"), text);

  const server = join(project.dir, "server.js");
  await writeFile(server, `${await readFile(server, "utf8")}\n`);
  const stale = await project.run(["lock", "--check"]);
  assert.equal(stale.exitCode, 7);
  assert.match(stale.stdout, /^~ .*: [0-9a-f:sha]+.* → /);
  assert.equal(await readFile(path, "utf8"), text);
  assert.equal((await project.run(["lock"])).exitCode, 0);
  const [before, now] = [JSON.parse(text), JSON.parse(await readFile(path, "utf8"))];
  assert.equal(now.stacks.default.suffix, before.stacks.default.suffix);
  assert.notDeepEqual(now.stacks.default.workload, before.stacks.default.workload);
});

test("preview shows every part of a new stack, and changes nothing", async () => {
  const before = (await readdir(project.dir)).sort();
  const document = await project.json(["preview", "--expect-no-changes"]);
  assert.equal(document.error?.code, "UNEXPECTED_CHANGES");
  assert.deepEqual(
    document.data.changes.map(
      (change: { part: string; action: string }) => `${change.action} ${change.part}`,
    ),
    ["create trust", "create token-agent", "create workload", "create proxy"],
  );
  assert.deepEqual((await readdir(project.dir)).sort(), before);
});

test("doctor finds nothing in a good project, and what is in the way in a broken one", async (context) => {
  const good = await project.json(["doctor"]);
  checkDocument(good, "doctor", 0);
  assert.deepEqual(
    good.data.checks.filter((check: { ok: boolean }) => !check.ok),
    [],
  );
  const stranger = createServer().listen(0, "127.0.0.1");
  await once(stranger, "listening");
  context.after(() => stranger.close());
  const { port } = stranger.address() as AddressInfo;
  const broken: Readonly<Record<string, string>> = {
    configuration: CONFIG.replace("version: 1", "version: 2"),
    secrets: CONFIG.replace("{ health", "{ secrets: { KEY: { fromEnv: NOT_THERE } }, health"),
    "port-free": `${CONFIG}proxy: { port: ${port} }\n`,
  };
  await forEachOf(Object.entries(broken), async ([id, config]) => {
    await writeFile(join(project.dir, `${id}.yaml`), config);
    const finished = await project.run(["doctor", "--config", `${id}.yaml`]);
    assert.equal(finished.exitCode, 13, id);
    assert.match(finished.stdout, new RegExp(`^✗ +${id} `, "m"));
    assert.match(
      finished.stderr,
      new RegExp(`^polaris: error: in the way of a deploy: ${id}\npolaris: hint: .`),
    );
    await rm(join(project.dir, `${id}.yaml`));
  });
});

test("unlock: nothing is locked, a damaged lock goes, a living holder stays unless forced", async () => {
  const free = await project.json(["unlock"]);
  assert.deepEqual([free.ok, free.data], [true, { unlocked: false, holder: null }]);

  const stackDir = join(project.dir, ".polaris/default");
  const lock = join(stackDir, "lock.json");
  await mkdir(stackDir, { recursive: true });
  await writeFile(lock, "{ half a fi");
  const damaged = await project.run(["unlock"]);
  assert.deepEqual([damaged.exitCode, existsSync(lock)], [0, false], damaged.stderr);
  assert.match(damaged.stdout, /damaged/);

  const release = await acquireStackLock(stackDir, { command: "polaris deploy" });
  const held = await project.json(["unlock"]);
  assert.deepEqual([held.error?.code, held.error?.exitCode], ["STACK_LOCKED", 12]);
  assert.equal(held.error?.details.pid, process.pid);
  assert.equal(existsSync(lock), true);
  const forced = await project.run(["unlock", "--force"]);
  assert.equal(forced.exitCode, 0, forced.stderr);
  assert.match(forced.stdout, new RegExp(`released the lock of .*process ${process.pid} `));
  assert.equal(existsSync(lock), false);
  await release();
});

test("a reader that goes away early ends a command quietly", async () => {
  const running = startPolaris(["config", "schema"], empty);
  running.child.stdout?.destroy();
  const { stderr } = await running.finished;
  assert.equal(stderr, "");
});

test("deploy with --json=stream: every line is JSON, the last is the document", async () => {
  const { exitCode, stdout, stderr } = await project.run(["deploy", "--json=stream"], {
    POLARIS_STACK: "dev",
    POLARIS_YES: "1",
  });
  assert.deepEqual([exitCode, stderr], [0, ""], stdout);
  const lines = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  const document = lines.pop() as JsonDocument;
  checkDocument(document, "deploy", 0);
  assert.deepEqual([document.stack, document.target, document.data.keyVersion], ["dev", "local", null]);
  for (const event of lines) {
    assert.equal(new Date(event.ts).toISOString(), event.ts);
    assert.ok(["part", "phase"].includes(event.type), event.type);
  }
  const ready = lines.filter((event) => event.phase === "ready").map((event) => event.part);
  assert.deepEqual(new Set(ready), new Set(["proxy", "token-agent", "trust", "workload"]));
});

test("what commands put under data is what the documentation says", async () => {
  const calls: readonly (readonly string[])[] = [
    ["config", "validate"],
    ["config", "print"],
    ["config", "schema"],
    ["lock"],
    ["preview"],
    ["verify"],
    ["request", "GET", "/hello"],
    ["status"],
    ["logs"],
    ["outputs"],
    ["doctor"],
    ["unlock"],
    ["completion", "fish"],
    ["version"],
  ];
  await forEachOf(calls, async (args) => {
    const finished = await project.run([...args, "--stack", "dev", "--json"]);
    const document = parseDocument(finished);
    const name = args[0] === "config" ? args.join(" ") : (args[0] ?? "");
    checkDocument(document, name, 0);
    assert.deepEqual(Object.keys(document.data).sort(), Object.keys(COMMAND_DATA[name] ?? {}).sort(), name);
  });
});

test("logs --json=stream prints each line of a part as an event", async () => {
  const { stdout } = await project.run(["logs", "--stack", "dev", "--part", "workload", "--json=stream"]);
  const lines = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.equal((lines.pop() as JsonDocument).command, "logs");
  assert.ok(lines.length > 0);
  for (const event of lines) assert.deepEqual([event.type, event.part], ["log", "workload"]);
});

test("--quiet leaves nothing on stderr, and the result on stdout", async () => {
  const { exitCode, stdout, stderr } = await project.run(["deploy", "--stack", "dev", "--yes", "--quiet"]);
  assert.deepEqual([exitCode, stderr], [0, ""]);
  assert.match(stdout, /^http:\/\/127\.0\.0\.1:\d+\n$/);
});

test("request --json writes the body to --output too", async () => {
  const args = ["request", "GET", "/hello", "--stack", "dev", "--output", "answer", "--json"];
  const document = await project.json(args);
  assert.equal(await readFile(join(project.dir, "answer"), "base64"), document.data.bodyBase64);
});

test("destroying a key in a terminal takes a yes and the stack's name", { skip: NO_TERMINAL }, async () => {
  const session = startInTerminal(["destroy", "--stack", "dev", "--destroy-key"], project.dir);
  await session.screen(/Destroy stack "dev" on local\?/);
  session.type(`y${ENTER}`);
  await session.screen(/Type the stack's name \(dev\)/);
  session.type(`default${ENTER}`);
  const { exitCode, text } = await session.finished;
  assert.equal(exitCode, 2, text);
  assert.match(text, /"default" is not the stack's name "dev"; nothing was changed/);
  assert.equal((await project.json(["status", "--stack", "dev"])).data.healthy, true);
});

test("destroy tells what it did as one document", async () => {
  const finished = await project.run(["destroy", "--stack", "dev", "--yes", "--json"]);
  const document = parseDocument(finished);
  checkDocument(document, "destroy", 0);
  assert.deepEqual(Object.keys(document.data), Object.keys(COMMAND_DATA["destroy"] ?? {}));
  assert.deepEqual(document.data, { destroyed: true, keyDestroyed: false, keptKey: null });
  assert.deepEqual(await processesOf(project.dir), []);
});
