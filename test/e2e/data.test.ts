/** Data at rest on a stack that is really deployed: who opens what is sealed to its key, and who cannot even ask. */
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { existsSync, watch } from "node:fs";
import { chmod, lstat, readdir, readFile, readlink, writeFile } from "node:fs/promises";
import { createServer, request } from "node:http";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { hashPublicKey } from "@polaris-cvm/sdk";
import { stackPaths } from "@polaris-cvm/stacks/local/stack-paths.ts";
import { COMMAND_DATA } from "../../docs/command-data.ts";
import { processesOf, startPolaris, TestProject } from "../polaris-process.ts";
import { NO_TERMINAL, startInTerminal } from "../pseudo-terminal.ts";

const POLARIS = fileURLToPath(new URL("../../cli/bin/polaris.js", import.meta.url));
const SDK = new URL("../../sdk/src/index.ts", import.meta.url).href;
const NODE_SDK = new URL("../../sdk/src/node/data-key-api.ts", import.meta.url).href;

/** `default` has the key API, `dev` is what one gets without asking for it. */
const configWith = (keyApi: boolean): string => `version: 1
name: data
workload: { health: { path: /healthz, timeout: 20s } }
proxy: { workloadKeyApi: ${keyApi} }
targets: { local: { run: [node, server.mjs], files: [server.mjs] } }
stacks: { dev: { key: { kind: ephemeral }, proxy: { workloadKeyApi: false } } }
`;

/** Opens what is posted to /open, and says where it was told to ask for keys. */
const WORKLOAD = `
import { createServer } from "node:http";
import { buffer } from "node:stream/consumers";
import { openData } from ${JSON.stringify(SDK)};
import { createDataKeyUnwrap } from ${JSON.stringify(NODE_SDK)};
const socketPath = process.env.POLARIS_KEY_API_SOCKET;
async function answer(request, response) {
  if (request.url === "/healthz") return response.end("ok");
  if (request.url === "/socket") return response.end(socketPath ?? "none");
  if (request.url !== "/open") return response.writeHead(404).end("the workload has no such page");
  try {
    const context = request.headers["x-context"];
    // Whole, before anything can fail: a request that is read half blocks its connection.
    const opened = openData(await buffer(request), createDataKeyUnwrap({ socketPath }), { context });
    response.end(Buffer.from(await new Response(opened).arrayBuffer()));
  } catch (error) {
    response.writeHead(422).end(error.code);
  }
}
createServer((request, response) => void answer(request, response)).listen(process.env.PORT, process.env.HOST);
`;

const ROUTE = "/v1/data-keys:unwrap";

/** Three chunks and a bit of bytes that are no text. */
const DATA = Buffer.from(Uint8Array.from({ length: 200_000 }, (_, index) => (index * 31) % 253));

let project: TestProject;
let endpoint: string;
let keyId: string;
let socketPath: string;

before(async () => {
  project = await TestProject.create({ "polaris.yaml": configWith(true), "server.mjs": WORKLOAD, data: "" });
  await writeFile(join(project.dir, "data"), DATA);
  const deployed = await project.json(["deploy", "--yes"]);
  assert.equal(deployed.error, null);
  endpoint = deployed.data.endpoint;
  keyId = deployed.data.publicKeyFingerprint;
  socketPath = stackPaths(project.dir, "default").keyApiSocket;
});
after(() => project.remove(["default", "dev"]));

const read = (name: string): Promise<Buffer> => readFile(join(project.dir, name));

test("a file is sealed to the verified key of the stack, and the workload opens it", async () => {
  const sealed = await project.json(["data", "seal", "data", "--context", "records/1", "-o", "data.sealed"]);
  assert.deepEqual([sealed.error, sealed.stack, sealed.target], [null, "default", "local"]);
  assert.deepEqual(sealed.warnings, []);
  assert.deepEqual(sealed.data, { output: join(project.dir, "data.sealed"), plaintextBytes: 200_000, keyId });
  assert.deepEqual(Object.keys(sealed.data), Object.keys(COMMAND_DATA["data seal"] ?? {}));
  const bytes = await read("data.sealed");
  assert.equal(bytes.toString("latin1", 0, 12), "polaris-data");
  assert.equal(`sha256:${bytes.toString("hex", 18, 50)}`, keyId);
  assert.equal(bytes.length, 596 + 200_000 + 4 * 16);

  const open = (context: string): ReturnType<TestProject["run"]> =>
    project.run([
      "request",
      "POST",
      "/open",
      "-d",
      "@data.sealed",
      "-H",
      `x-context: ${context}`,
      "-o",
      "opened",
    ]);
  assert.equal((await open("records/1")).exitCode, 0);
  assert.deepEqual(await read("opened"), DATA);
  assert.equal((await open("records/2")).exitCode, 0);
  assert.equal(String(await read("opened")), "DATA_OPEN_FAILED");
});

test("on this machine its owner opens it too, with the socket found or named", async () => {
  const found = await project.run(["data", "open", "data.sealed", "--context", "records/1", "-o", "found"]);
  assert.deepEqual([found.exitCode, found.stdout, found.stderr], [0, "", "195.3 KiB opened\n"]);
  assert.deepEqual(await read("found"), DATA);
  assert.equal((await lstat(join(project.dir, "found"))).mode & 0o777, 0o600);
  const args = [
    "data",
    "open",
    "data.sealed",
    "--context",
    "records/1",
    "--key-api",
    socketPath,
    "-o",
    "named",
  ];
  const named = await project.json(args);
  assert.deepEqual(named.data, { output: join(project.dir, "named"), plaintextBytes: 200_000 });
  assert.deepEqual(Object.keys(named.data), Object.keys(COMMAND_DATA["data open"] ?? {}));
  assert.deepEqual(await read("named"), DATA);
});

test("the socket and its folder are closed to everybody else, and the workload knows the way", async () => {
  const socket = await lstat(socketPath);
  const folder = await lstat(dirname(socketPath));
  assert.deepEqual([socket.isSocket(), socket.mode & 0o777, socket.uid], [true, 0o600, process.getuid?.()]);
  assert.deepEqual(
    [folder.isDirectory(), folder.mode & 0o777, folder.uid],
    [true, 0o700, process.getuid?.()],
  );
  assert.equal((await project.run(["request", "GET", "/socket"])).stdout, socketPath);
});

test(
  "another user of the machine cannot ask",
  { skip: process.getuid?.() !== 0 && "only root can become another user" },
  async () => {
    // As root first: another user may not come as far as to this Node.
    const script = `const uid = Number(process.argv[2]); process.setgroups([uid]); process.setgid(uid); process.setuid(uid);
      require("node:net").connect(process.argv[1])
      .on("connect", () => process.exit(0)).on("error", (error) => { console.log(error.code); process.exit(3); });`;
    const ask = (uid: number): Promise<[exitCode: number, output: string]> =>
      new Promise((resolve) => {
        const child = spawn(process.execPath, ["-e", script, socketPath, String(uid)], { cwd: "/" });
        let output = "";
        child.stdout.on("data", (text) => (output += String(text)));
        child.once("close", (exitCode) => resolve([exitCode ?? -1, output.trim()]));
      });
    assert.deepEqual(await ask(0), [0, ""]);
    assert.deepEqual(await ask(65_534), [3, "EACCES"]);
  },
);

/** Addresses on which processes of the project listen: TCP ports, and paths of Unix sockets. Reads /proc. */
async function listListeners(pids: readonly number[]): Promise<{ ports: number[]; paths: string[] }> {
  const inodes = new Set<string>();
  for (const pid of pids) {
    for (const fd of await readdir(`/proc/${pid}/fd`)) {
      const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => "");
      const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
      if (inode !== undefined) inodes.add(inode);
    }
  }
  const rows = async (table: string): Promise<string[][]> =>
    (await readFile(`/proc/net/${table}`, "utf8").catch(() => ""))
      .trim()
      .split("\n")
      .slice(1)
      .map((line) => line.trim().split(/\s+/));
  const LISTENING = "0A";
  const tcp = [...(await rows("tcp")), ...(await rows("tcp6"))].filter(
    (row) => row[3] === LISTENING && inodes.has(row[9] ?? ""),
  );
  const ACCEPTS_CONNECTIONS = "00010000";
  const unix = (await rows("unix")).filter(
    (row) => row[3] === ACCEPTS_CONNECTIONS && inodes.has(row[6] ?? ""),
  );
  return {
    ports: tcp.map((row) => Number.parseInt(row[1]?.split(":")[1] ?? "", 16)),
    paths: unix.map((row) => row[7] ?? ""),
  };
}

/** A question that the key API answers; whoever else answers it with a key is a hole. */
async function makeQuestion(): Promise<string> {
  const sealed = await read("data.sealed");
  return JSON.stringify({ keyId, wrappedKey: sealed.toString("base64", 84, 596) });
}

test("no TCP port of the stack answers the route: the socket alone does", async () => {
  const body = await makeQuestion();
  const { ports, paths } = await listListeners(await processesOf(project.dir));
  assert.ok(ports.length >= 3, `ports ${ports.join(", ")}`);
  assert.ok(ports.includes(Number(new URL(endpoint).port)));
  assert.ok(paths.includes(socketPath), paths.join(", "));
  const headers = { "content-type": "application/json" };
  for (const port of ports) {
    for (const path of [ROUTE, `/polaris-container${ROUTE}`]) {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, { method: "POST", body, headers });
      const answer = await response.text();
      assert.ok(response.status >= 400 && response.status < 500, `${port}${path} answers ${response.status}`);
      assert.ok(!answer.includes("dataKey"), `${port}${path} answers ${answer}`);
    }
  }
  assert.match(String(JSON.parse(await askSocket(body)).dataKey), /^[A-Za-z0-9+/]{43}=$/);
});

/** The same question at the socket, to show that it is a good one. */
async function askSocket(body: string): Promise<string> {
  const question = request({
    socketPath,
    path: ROUTE,
    method: "POST",
    headers: { "content-type": "application/json", "content-length": Buffer.byteLength(body) },
  });
  question.end(body);
  const [response] = (await once(question, "response")) as [AsyncIterable<Buffer>];
  let answer = "";
  for await (const piece of response) answer += String(piece);
  return answer;
}

test("at the endpoint the route is a page of the workload's, which it does not have", async () => {
  const body = await makeQuestion();
  const clear = await fetch(endpoint + ROUTE, { method: "POST", body });
  assert.deepEqual([clear.status, clear.headers.get("polaris-error")], [400, "ENCRYPTION_REQUIRED"]);
  const own = await fetch(`${endpoint}/polaris-container${ROUTE}`, { method: "POST", body });
  assert.deepEqual([own.status, own.headers.get("polaris-error")], [404, "ROUTE_NOT_FOUND"]);

  await writeFile(join(project.dir, "question"), body);
  for (const path of [ROUTE, `/.${ROUTE}`, "/v1/data-keys%3Aunwrap"]) {
    const args = ["request", "POST", path, "-d", "@question", "-H", "content-type: application/json"];
    const sealed = await project.json(args);
    const answer = Buffer.from(String(sealed.data.bodyBase64), "base64").toString();
    assert.deepEqual([sealed.data.status, answer], [404, "the workload has no such page"], path);
  }
});

test("every question has one line in the proxy's log, and no key is in any log", async () => {
  const dataKey = String(JSON.parse(await askSocket(await makeQuestion())).dataKey);
  const { stdout } = await project.run(["logs", "--part", "proxy", "--tail", "1000"]);
  const lines = stdout
    .trimEnd()
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ event }) => event === "data-key");
  assert.ok(lines.length >= 4, `${lines.length} lines`);
  for (const line of lines) {
    const known = ["level", "time", "event", "status", "code", "requestId", "durationMs"];
    assert.deepEqual(
      Object.keys(line).filter((name) => !known.includes(name)),
      [],
    );
  }
  const logs = join(project.dir, ".polaris/default/logs");
  for (const file of await readdir(logs)) {
    const text = await readFile(join(logs, file), "utf8");
    assert.ok(!text.includes(dataKey) && !text.includes(dataKey.slice(0, 20)), file);
  }
});

test("data that was changed or cut leaves no file behind", async () => {
  const sealed = await read("data.sealed");
  const changed = Buffer.from(sealed);
  changed[changed.length - 20]! ^= 1;
  const before = await readdir(project.dir);
  for (const bytes of [changed, sealed.subarray(0, 596 + 65_552), sealed.subarray(0, 700)]) {
    await writeFile(join(project.dir, "damaged"), bytes);
    const refused = await project.json(["data", "open", "damaged", "--context", "records/1", "-o", "half"]);
    assert.deepEqual(
      [refused.error?.code, refused.error?.message, refused.error?.exitCode],
      ["DATA_OPEN_FAILED", "cannot open data", 1],
    );
    assert.match(refused.error?.hint ?? "", /--context/);
  }
  assert.deepEqual((await readdir(project.dir)).sort(), [...before, "damaged"].sort());
  const other = await project.json(["data", "open", "data", "-o", "half"]);
  assert.deepEqual([other.error?.code, other.error?.exitCode], ["DATA_MALFORMED", 1]);
});

test("Ctrl-C leaves no file behind", async () => {
  const sealed = await read("data.sealed");
  const args = ["data", "open", "-", "--context", "records/1", "-o", "half"];
  const begun = Promise.withResolvers<void>();
  const watcher = watch(project.dir, (_event, name) => {
    if (name?.startsWith(".half.") === true) begun.resolve();
  });
  const child = spawn(process.execPath, [POLARIS, ...args], { cwd: project.dir });
  // What it has not read when it ends.
  child.stdin.on("error", () => undefined);
  child.stdin.write(sealed.subarray(0, 150_000));
  const ended = once(child, "close") as Promise<[exitCode: number]>;
  await Promise.race([begun.promise, ended]);
  watcher.close();
  child.kill("SIGINT");
  assert.deepEqual((await ended)[0], 8);
  assert.deepEqual(
    (await readdir(project.dir)).filter((name) => name.includes("half")),
    [],
  );
});

test("Ctrl-C ends the wait for a key that does not come", async (context) => {
  const path = join(project.dir, "silent.sock");
  const server = createServer().listen(path);
  await once(server, "listening");
  const asked = once(server, "request");
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const opening = project.start(["data", "open", "data.sealed", "--key-api", path, "-o", "half"]);
  await asked;
  opening.child.kill("SIGINT");
  const { exitCode, stderr } = await opening.finished;
  assert.deepEqual([exitCode, /error: (.*)/.exec(stderr)?.[1]], [8, "cancelled"]);
  assert.equal(existsSync(join(project.dir, "half")), false);
});

test("nothing is sealed to an endpoint that is not the one of polaris.lock", async () => {
  const lock = await readFile(join(project.dir, "polaris.lock"), "utf8");
  await writeFile(join(project.dir, "other.lock"), lock.replaceAll(keyId, `sha256:${"ab".repeat(32)}`));
  const args = ["data", "seal", "data", "-o", "refused", "--lock", "other.lock", "--allow-simulated"];
  const refused = await project.json(args);
  assert.deepEqual([refused.error?.code, refused.error?.exitCode], ["VERIFICATION_FAILED", 10]);
  assert.ok(refused.error?.details.failed.includes("public-key"));
  const simulated = await project.json(["data", "seal", "data", "-o", "refused", "--lock", "polaris.lock"]);
  assert.deepEqual(simulated.error?.details.failed, ["tee"]);
  assert.equal(existsSync(join(project.dir, "refused")), false);
});

test("people seal and open with keys of their own, through pipes too", async () => {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  await writeFile(join(project.dir, "alice.pem"), publicKey.export({ type: "spki", format: "pem" }));
  await writeFile(join(project.dir, "alice.key"), privateKey.export({ type: "pkcs8", format: "pem" }), {
    mode: 0o600,
  });
  const polaris = `${process.execPath} ${POLARIS}`;
  const seal = `${polaris} data seal - --public-key alice.pem`;
  const opened = execFileSync(
    "sh",
    ["-c", `${seal} < data | ${polaris} data open - --private-key alice.key`],
    {
      cwd: project.dir,
      stdio: ["ignore", "pipe", "ignore"],
      maxBuffer: 1024 * 1024,
    },
  );
  assert.deepEqual(opened, DATA);

  await project.run(["data", "seal", "data", "--public-key", "alice.pem", "-o", "for-alice"]);
  await chmod(join(project.dir, "alice.key"), 0o640);
  const shared = await project.json(["data", "open", "for-alice", "--private-key", "alice.key", "-o", "x"]);
  assert.equal(shared.error?.code, "USAGE_INVALID");
  assert.equal(shared.error?.hint, `chmod 600 ${join(project.dir, "alice.key")}`);
  await chmod(join(project.dir, "alice.key"), 0o600);
  const own = await project.json(["data", "open", "for-alice", "--private-key", "alice.key", "-o", "x"]);
  assert.equal(own.error, null);
  const again = await project.json(["data", "open", "for-alice", "--private-key", "alice.key", "-o", "x"]);
  assert.deepEqual([again.error?.code, again.error?.hint], ["USAGE_INVALID", "--force replaces it"]);
  const wrong = await project.json(["data", "open", "for-alice", "-o", "y"]);
  assert.equal(wrong.error?.code, "DATA_OPEN_FAILED");
  const other = await project.json(["data", "open", "data.sealed", "--private-key", "alice.key", "-o", "y"]);
  const aliceKeyId = await hashPublicKey(new Uint8Array(publicKey.export({ type: "spki", format: "der" })));
  assert.deepEqual(
    [other.error?.code, other.error?.hint],
    ["DATA_OPEN_FAILED", `it is sealed to ${keyId}, this key is ${aliceKeyId}`],
  );
  const both = await project.json(["data", "open", "for-alice", "--private-key", "a", "--key-api", "b"]);
  assert.equal(both.error?.code, "USAGE_INVALID");
  // The public half alone opens nothing.
  assert.throws(() => createPrivateKey(publicKey.export({ type: "spki", format: "pem" })));
});

test("a key file that holds something else is named, with what is expected of it", async () => {
  await chmod(join(project.dir, "alice.pem"), 0o600);
  const open = await project.json(["data", "open", "for-alice", "--private-key", "alice.pem", "-o", "y"]);
  assert.deepEqual(
    [open.error?.code, open.error?.message],
    [
      "USAGE_INVALID",
      `${join(project.dir, "alice.pem")}: private key is not a PEM block of type PRIVATE KEY`,
    ],
  );
  assert.match(open.error?.hint ?? "", /PEM block of type PRIVATE KEY/);
  const seal = await project.json(["data", "seal", "data", "--public-key", "alice.key", "-o", "y"]);
  assert.deepEqual(
    [seal.error?.code, seal.error?.message],
    [
      "PUBLIC_KEY_INVALID",
      `${join(project.dir, "alice.key")}: public key is not a PEM block of type PUBLIC KEY`,
    ],
  );
  assert.match(seal.error?.hint ?? "", /PEM block of type PUBLIC KEY/);
});

test("a reader of the pipe who leaves before the end of the data is a failure, with one line", async () => {
  const polaris = `${process.execPath} ${POLARIS}`;
  for (const command of [
    `${polaris} data open for-alice --private-key alice.key`,
    `${polaris} data seal data --public-key alice.pem`,
  ]) {
    const script = `{ ${command}; echo "exit $?" >&2; } | head -c 100 | wc -c`;
    const { stdout, stderr } = spawnSync("sh", ["-c", script], { cwd: project.dir, encoding: "utf8" });
    assert.equal(stdout.trim(), "100");
    assert.match(
      stderr,
      /^polaris: error: standard output was closed before the end of the data: [^\n]+\nexit 1\n$/,
    );
  }
});

test("nobody opens or seals with a stack that is not there", async () => {
  for (const args of [
    ["open", "data.sealed"],
    ["seal", "data"],
  ]) {
    const refused = await project.json(["data", ...args, "-o", "y", "--stack", "nope"]);
    assert.deepEqual([refused.error?.code, refused.error?.exitCode], ["STACK_NOT_FOUND", 6]);
  }
});

test("data goes to no terminal that was not named", { skip: NO_TERMINAL }, async () => {
  for (const args of [
    ["data", "seal", "data", "--public-key", "alice.pem"],
    ["data", "open", "for-alice", "--private-key", "alice.key"],
  ]) {
    const { exitCode, text } = await startInTerminal(args, project.dir).finished;
    assert.equal(exitCode, 2);
    assert.match(text, /will not write data to a terminal/);
    assert.doesNotMatch(text, /polaris-data/);
  }
});

test("a stack that did not ask for it has no socket, and nobody seals to a key that is gone tomorrow", async () => {
  const deployed = await project.run(["deploy", "--yes", "--stack", "dev"]);
  assert.equal(deployed.exitCode, 0, deployed.stderr);
  const paths = stackPaths(project.dir, "dev");
  assert.deepEqual(await readdir(paths.socketDir), ["token-agent.sock"]);
  assert.equal((await project.run(["request", "GET", "/socket", "--stack", "dev"])).stdout, "none");
  const open = await project.json(["data", "open", "data.sealed", "-o", "x2", "--stack", "dev"]);
  assert.deepEqual([open.error?.code, open.error?.exitCode], ["DATA_KEY_UNAVAILABLE", 11]);
  assert.match(open.error?.hint ?? "", /on a cloud only the attested workload opens it/);
  const seal = await project.json(["data", "seal", "data", "-o", "x2", "--stack", "dev"]);
  assert.deepEqual([seal.error?.code, seal.error?.exitCode], ["KEY_NOT_PERMANENT", 2]);
  assert.equal(existsSync(join(project.dir, "x2")), false);
});

test("the data outlives the stack as long as its key does, and switching the key API off removes the socket", async () => {
  assert.equal((await project.run(["destroy", "--yes"])).exitCode, 0);
  assert.equal(existsSync(socketPath), false);
  await writeFile(join(project.dir, "polaris.yaml"), configWith(false));
  assert.equal((await project.run(["deploy", "--yes"])).exitCode, 0);
  assert.equal(existsSync(socketPath), false);
  assert.equal((await project.run(["request", "GET", "/socket"])).stdout, "none");
  const early = await project.run(["data", "seal", "data", "-o", "early"]);
  assert.equal(early.exitCode, 0);
  assert.match(
    early.stderr,
    /^polaris: warning: nothing can open it until stack "default" is deployed with proxy\.workloadKeyApi: true$/m,
  );

  await writeFile(join(project.dir, "polaris.yaml"), configWith(true));
  assert.equal((await project.run(["deploy", "--yes"])).exitCode, 0);
  const opened = await project.run([
    "data",
    "open",
    "data.sealed",
    "--context",
    "records/1",
    "--force",
    "-o",
    "found",
  ]);
  assert.equal(opened.exitCode, 0, opened.stderr);
  assert.deepEqual(await read("found"), DATA);

  await writeFile(join(project.dir, "polaris.yaml"), configWith(false));
  assert.equal((await project.run(["deploy", "--yes"])).exitCode, 0);
  assert.equal(existsSync(socketPath), false);
});

test("a configuration with the key API and an ephemeral key is refused with the reason", async () => {
  const text = configWith(true).replace(
    "proxy: { workloadKeyApi: false }",
    "proxy: { workloadKeyApi: true }",
  );
  await writeFile(join(project.dir, "both.yaml"), text);
  const args = ["config", "validate", "--stack", "dev", "--config", "both.yaml", "--json"];
  const { stdout } = await startPolaris(args, project.dir).finished;
  assert.match(
    JSON.parse(stdout).error.message,
    /proxy\.workloadKeyApi: key\.kind is ephemeral, so what is sealed/,
  );
});
