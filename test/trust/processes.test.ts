import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { constants, createPublicKey, type KeyObject, publicEncrypt } from "node:crypto";
import { once } from "node:events";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { PolarisError } from "@polaris-cvm/sdk/errors";
import { parseTrustConfig, type TrustConfigInput } from "@polaris-cvm/stacks/local/trust/config.ts";
import { createLog } from "@polaris-cvm/stacks/local/trust/log.ts";
import { startTrustServices } from "@polaris-cvm/stacks/local/trust/trust-services.ts";
import {
  audienceOf,
  type Answer,
  type CallOptions,
  configDocument,
  credentials,
  cryptoKey,
  exchangeForm,
  sharedRsaKey,
  temporaryFolder,
} from "./fixture.ts";

const TRUST_MAIN = fileURLToPath(import.meta.resolve("@polaris-cvm/stacks/local/trust/main.ts"));
const TOKEN_AGENT_MAIN = fileURLToPath(import.meta.resolve("@polaris-cvm/stacks/local/token-agent/main.ts"));
const VERSION = `/v1/${cryptoKey}/cryptoKeyVersions/1`;

interface Part {
  readonly process: ChildProcess;
  readonly output: { stdout: string; stderr: string };
  /** Resolves with the first log line of the event. */
  logged(event: string): Promise<Record<string, unknown>>;
  /** Ends the process and gives its exit code. */
  stop(signal: NodeJS.Signals): Promise<number | null>;
  readonly exited: Promise<number | null>;
}

function start(t: TestContext, main: string, config: string): Part {
  const child = spawn(process.execPath, [main, config], { stdio: ["ignore", "pipe", "pipe"] });
  t.after(() => child.kill("SIGKILL"));
  const output = { stdout: "", stderr: "" };
  const changed = new EventTarget();
  child.stdout.on("data", (chunk: Buffer) => {
    output.stdout += chunk.toString();
    changed.dispatchEvent(new Event("change"));
  });
  child.stderr.on("data", (chunk: Buffer) => (output.stderr += chunk.toString()));
  const exited = once(child, "close").then(([code]) => {
    changed.dispatchEvent(new Event("change"));
    return code as number | null;
  });
  return {
    process: child,
    output,
    exited,
    logged: async (event) => {
      for (;;) {
        const lines = output.stdout.split("\n").slice(0, -1);
        const found = lines.map((line) => JSON.parse(line)).find((line) => line.event === event);
        if (found !== undefined) return found;
        if (child.exitCode !== null)
          throw new Error(`ended without "${event}": ${output.stdout}${output.stderr}`);
        await once(changed, "change");
      }
    },
    stop: async (signal) => {
      child.kill(signal);
      return exited;
    },
  };
}

async function writeConfig(folder: string, change?: (document: TrustConfigInput) => void): Promise<string> {
  const document = configDocument(join(folder, "trust"));
  // One key is enough where real ones are made.
  document.kms.keyRings[0]!.cryptoKeys.pop();
  change?.(document);
  const path = join(folder, "trust.json");
  await writeFile(path, JSON.stringify(document), { mode: 0o600 });
  return path;
}

async function call(
  port: unknown,
  method: string,
  path: string,
  options: CallOptions = {},
): Promise<Omit<Answer, "headers">> {
  const response = await fetch(`http://127.0.0.1:${String(port)}${path}`, {
    method,
    headers: {
      connection: "close",
      ...(options.bearer === undefined ? {} : { authorization: `Bearer ${options.bearer}` }),
      ...(options.json === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(options.json === undefined ? {} : { body: JSON.stringify(options.json) }),
    ...(options.form === undefined
      ? {}
      : { body: new URLSearchParams(options.form as Record<string, string>) }),
  });
  return { status: response.status, body: (await response.json()) as Answer["body"] };
}

test("a restart keeps keys, access tokens and the port's meaning, and no secret gets into the log", async (t) => {
  const folder = await temporaryFolder(t);
  const first = start(t, TRUST_MAIN, await writeConfig(folder));
  const { port } = await first.logged("ready");
  const issued = await call(port, "POST", "/issuer/v1/token", {
    bearer: credentials.machine,
    json: { audience: audienceOf("attested"), token_type: "OIDC" },
  });
  const token = issued.body.token;
  const exchanged = await call(port, "POST", "/v1/token", { form: exchangeForm(token) });
  const bearer = exchanged.body.access_token;
  const publicKey = await call(port, "GET", `${VERSION}/publicKey`, { bearer });
  const plaintext = "planted plaintext";
  const ciphertext = publicEncrypt(
    {
      key: createPublicKey(publicKey.body.pem),
      oaepHash: "sha256",
      padding: constants.RSA_PKCS1_OAEP_PADDING,
    },
    Buffer.from(plaintext),
  );
  const jwks = await call(port, "GET", "/issuer/jwks");
  // Refusals are logged too, and carry what the caller sent as little.
  await call(port, "POST", "/v1/token", { form: { ...exchangeForm(token), planted: "planted parameter" } });
  await call(port, "POST", "/v1/token", { form: exchangeForm(`${token}x`) });
  await call(port, "POST", "/issuer/v1/token", {
    bearer: "planted-wrong-credential",
    json: { planted: "planted body" },
  });
  await call(port, "GET", `${VERSION}/publicKey?planted=planted-query`, { bearer: `${bearer}x` });
  assert.equal(await first.stop("SIGTERM"), 0);

  const second = start(
    t,
    TRUST_MAIN,
    await writeConfig(folder, (document) => (document.port = Number(port))),
  );
  await second.logged("ready");
  assert.deepEqual(await call(port, "GET", "/issuer/jwks"), jwks);
  assert.deepEqual(await call(port, "GET", `${VERSION}/publicKey`, { bearer }), publicKey);
  assert.equal((await call(port, "POST", "/v1/token", { form: exchangeForm(token) })).status, 200);
  const decrypted = await call(port, "POST", `${VERSION}:asymmetricDecrypt`, {
    bearer,
    json: { ciphertext: ciphertext.toString("base64") },
  });
  assert.equal(Buffer.from(decrypted.body.plaintext, "base64").toString(), plaintext);

  const third = start(t, TRUST_MAIN, join(folder, "trust.json"));
  assert.equal(await third.exited, 1);
  assert.equal(
    third.output.stderr,
    `polaris trust services: error: port ${String(port)} of 127.0.0.1 is in use or not allowed\n`,
  );
  assert.equal((await call(port, "GET", "/healthz")).status, 200);
  assert.equal(await second.stop("SIGINT"), 0);

  const log = first.output.stdout + second.output.stdout + third.output.stdout;
  const operations = log
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  for (const line of operations)
    assert.deepEqual(Object.keys(line).slice(0, 4), ["time", "level", "service", "event"]);
  assert.ok(operations.some((line) => line.operation === "kms.AsymmetricDecrypt" && line.status === 200));
  assert.ok(
    operations.some((line) => line.outcome === "invalid_request" && line.reason === "unknown parameter"),
  );
  const secrets = [
    ...Object.values(credentials),
    "planted",
    token,
    bearer,
    token.split(".")[2]!,
    bearer.split(".")[2]!,
    ciphertext.toString("base64"),
    Buffer.from(plaintext).toString("base64"),
    await readFile(join(folder, "trust/access-token-secret"), "utf8"),
    "PRIVATE KEY",
    "PUBLIC KEY",
  ];
  for (const secret of secrets) assert.equal(log.includes(secret.trim()), false);
  assert.equal(first.output.stderr + second.output.stderr, "");
});

test("everything in the state folder is for one user", async (t) => {
  const folder = await temporaryFolder(t);
  const config = parseTrustConfig(configDocument(join(folder, "trust")));
  const services = await startTrustServices(config, {
    log: createLog("trust", Date.now, () => undefined),
    now: Date.now,
    generateKey: sharedRsaKey,
  });
  t.after(() => services.close());
  await services.ready;
  const entries = await readdir(join(folder, "trust"), { recursive: true, withFileTypes: true });
  const modes = await Promise.all(
    entries.map(async (entry) => {
      const { mode } = await stat(join(entry.parentPath, entry.name));
      return [entry.name, entry.isDirectory() ? "folder" : "file", (mode & 0o777).toString(8)];
    }),
  );
  assert.deepEqual(
    modes.toSorted((a, b) => a.join().localeCompare(b.join())),
    [
      ["1.pem", "file", "600"],
      ["1.pem", "file", "600"],
      ["access-token-secret", "file", "600"],
      ["hello-key", "folder", "700"],
      ["hello-ring", "folder", "700"],
      ["issuer-signing-key.pem", "file", "600"],
      ["key.json", "file", "600"],
      ["key.json", "file", "600"],
      ["kms", "folder", "700"],
      ["other-key", "folder", "700"],
    ],
  );
});

test("before the keys exist nothing is served, and the health check says so", async (t) => {
  const folder = await temporaryFolder(t);
  const generation = Promise.withResolvers<KeyObject>();
  const services = await startTrustServices(parseTrustConfig(configDocument(join(folder, "trust"))), {
    log: createLog("trust", Date.now, () => undefined),
    now: Date.now,
    generateKey: () => generation.promise,
  });
  t.after(() => services.close());
  for (const path of ["/healthz", "/issuer/jwks"]) {
    const answer = await call(services.port, "GET", path);
    assert.deepEqual([answer.status, answer.body.error.status], [503, "UNAVAILABLE"]);
  }
  generation.resolve(await sharedRsaKey());
  await services.ready;
  assert.deepEqual(await call(services.port, "GET", "/healthz"), { status: 200, body: { status: "ok" } });
});

test("broken state stops the start with one clear line, and nothing is replaced", async (t) => {
  const folder = await temporaryFolder(t);
  const state = join(folder, "trust");
  const startHere = async (): Promise<void> => {
    const services = await startTrustServices(parseTrustConfig(configDocument(state)), {
      log: createLog("trust", Date.now, () => undefined),
      now: Date.now,
      generateKey: sharedRsaKey,
    });
    try {
      await services.ready;
    } finally {
      await services.close();
    }
  };
  await startHere();
  const rows = [
    ["issuer-signing-key.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"],
    ["issuer-signing-key.pem", ""],
    ["access-token-secret", "00"],
    ["kms/hello-ring/hello-key/1.pem", "garbage"],
    ["kms/hello-ring/hello-key/key.json", "{"],
  ] as const;
  for (const [file, content] of rows) {
    await t.test(`${file}: ${JSON.stringify(content)}`, async () => {
      const path = join(state, file);
      const good = await readFile(path, "utf8");
      await writeFile(path, content);
      await assert.rejects(startHere(), (error: PolarisError) => {
        assert.equal(error.code, "STATE_CORRUPT");
        assert.ok(error.message.includes(path), error.message);
        assert.ok(!error.message.includes("\n"));
        return true;
      });
      assert.equal(await readFile(path, "utf8"), content);
      await writeFile(path, good);
    });
  }
  await startHere();
  await writeFile(join(state, "access-token-secret"), "00");
  const part = start(t, TRUST_MAIN, await writeConfig(folder));
  assert.equal(await part.exited, 1);
  assert.match(
    part.output.stderr,
    /^polaris trust services: error: [^\n]+ does not hold a secret \([^\n]+\)\n$/,
  );
});

test("a missing or wrong configuration is one clear line", async (t) => {
  const folder = await temporaryFolder(t);
  const missing = start(t, TRUST_MAIN, join(folder, "none.json"));
  assert.equal(await missing.exited, 1);
  assert.equal(missing.output.stderr, `polaris trust services: error: cannot read ${folder}/none.json\n`);
  const wrong = start(
    t,
    TRUST_MAIN,
    await writeConfig(folder, (document) => Object.assign(document, { tls: true })),
  );
  assert.equal(await wrong.exited, 1);
  assert.match(wrong.output.stderr, /^polaris trust services: error: .*Unrecognized key: "tls"\n$/);
});

test("the token agent keeps the token file and answers on its socket; its log has no token", async (t) => {
  const folder = await temporaryFolder(t);
  const trust = start(t, TRUST_MAIN, await writeConfig(folder));
  const { port } = await trust.logged("ready");
  const credentialFile = join(folder, "credential");
  await writeFile(credentialFile, `${credentials.machine}\n`, { mode: 0o600 });
  const sockets = join(folder, "s");
  await mkdir(sockets, { mode: 0o700 });
  const tokenFile = join(folder, "token", "attestation-token");
  const configPath = join(folder, "token-agent.json");
  await writeFile(
    configPath,
    JSON.stringify({
      version: 1,
      issuerUrl: `http://127.0.0.1:${String(port)}/issuer`,
      credentialFile,
      stsAudience: audienceOf("attested"),
      tokenFile,
      socketPath: join(sockets, "agent.sock"),
    }),
  );
  const agent = start(t, TOKEN_AGENT_MAIN, configPath);
  await agent.logged("token file written");
  const exchanged = await call(port, "POST", "/v1/token", {
    form: exchangeForm(await readFile(tokenFile, "utf8")),
  });
  assert.equal(exchanged.status, 200);

  const nonce = "0f".repeat(32);
  const socket = connect(join(sockets, "agent.sock"));
  socket.end(`${nonce}\n`);
  let answer = "";
  for await (const chunk of socket) answer += String(chunk);
  const [word, token] = answer.trimEnd().split(" ") as [string, string];
  assert.equal(word, "token");
  const claims = JSON.parse(Buffer.from(token.split(".")[1]!, "base64url").toString());
  assert.deepEqual([claims.aud, claims.eat_nonce], ["polaris-attestation-v1", nonce]);
  const refused = await call(port, "POST", "/v1/token", { form: exchangeForm(token) });
  assert.equal(refused.body.error, "invalid_grant");

  const second = start(t, TOKEN_AGENT_MAIN, configPath);
  assert.equal(await second.exited, 1);
  assert.equal(
    second.output.stderr,
    `polaris token agent: error: somebody else listens on ${join(sockets, "agent.sock")}\n`,
  );
  assert.equal(await agent.stop("SIGKILL"), null);
  // What a killed agent leaves behind does not stop the next one.
  const third = start(t, TOKEN_AGENT_MAIN, configPath);
  await third.logged("token file written");
  assert.equal(await third.stop("SIGTERM"), 0);
  assert.deepEqual(await readdir(sockets), []);
  const log = agent.output.stdout + second.output.stdout + third.output.stdout;
  for (const secret of [credentials.machine, token, token.split(".")[2]!, nonce]) {
    assert.equal(log.includes(secret), false);
  }
  assert.equal(await trust.stop("SIGTERM"), 0);
});
