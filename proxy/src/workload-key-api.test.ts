import assert from "node:assert/strict";
import { constants, publicEncrypt, randomBytes } from "node:crypto";
import { once } from "node:events";
import { lstat, mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { formatWrappedValue, importPublicKey, openData, parseEnvelope, sealData } from "@polaris-cvm/sdk";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { ErrorCode } from "@polaris-cvm/sdk/errors";
import { createDataKeyUnwrap } from "@polaris-cvm/sdk/node";
import { GOLDEN_VECTORS, createContainerKeyProvider } from "../testing/golden-vectors.ts";
import type { KeyProvider } from "./keys/key-provider.ts";
import { envelopeOpenFailed } from "./keys/key-provider.ts";
import { createLog } from "./log.ts";
import { createWorkloadKeyApi } from "./workload-key-api.ts";
import type { WorkloadKeyApi, WorkloadKeyApiLimits } from "./workload-key-api.ts";

const PUBLIC_KEY_PEM = GOLDEN_VECTORS.containerPublicKeyPem;
const recipient = await importPublicKey(PUBLIC_KEY_PEM);
const containerKeys = await createContainerKeyProvider();

interface RunningApi {
  readonly api: WorkloadKeyApi;
  readonly socketPath: string;
  readonly log: () => Record<string, unknown>[];
  readonly logText: () => string;
  /** Resolves when there are so many lines in the log. */
  readonly logged: (lineCount: number) => Promise<void>;
}

async function startApi(
  context: TestContext,
  options: { keys?: Pick<KeyProvider, "unwrap">; limits?: Partial<WorkloadKeyApiLimits> } = {},
): Promise<RunningApi> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-keys-"));
  const socketPath = join(folder, "private", "api.sock");
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const write = (line: string): void => {
    lines.push(line);
    for (const look of waiting) look();
  };
  const api = createWorkloadKeyApi({
    socketPath,
    access: "owner",
    keys: options.keys ?? containerKeys,
    log: createLog("debug", { write }),
    ...(options.limits !== undefined && { limits: options.limits }),
  });
  await api.listen();
  context.after(async () => {
    await api.close();
    await rm(folder, { recursive: true });
  });
  return {
    api,
    socketPath,
    log: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>),
    logText: () => lines.join(""),
    logged: (lineCount) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (lines.length >= lineCount) resolve();
        };
        waiting.add(look);
        look();
      }),
  };
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  // Bodies differ by outcome; tests assert the values that they name.
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly body: any;
}

interface CallOptions {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

function formatCall(
  body: string | Buffer,
  { method = "POST", path = "/v1/data-keys:unwrap", headers = {} }: CallOptions = {},
): Buffer {
  const fields = {
    host: "localhost",
    "content-type": "application/json",
    "content-length": String(Buffer.byteLength(body)),
    connection: "close",
    ...headers,
  };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}`);
  return Buffer.concat([
    Buffer.from([`${method} ${path} HTTP/1.1`, ...lines, "", ""].join("\r\n")),
    Buffer.from(body),
  ]);
}

async function readAnswer(socket: Socket): Promise<Answer> {
  const pieces: Buffer[] = [];
  for await (const piece of socket) pieces.push(piece as Buffer);
  const text = Buffer.concat(pieces).toString("utf8");
  const headEnd = text.indexOf("\r\n\r\n");
  const [statusLine = "", ...lines] = text.slice(0, headEnd).split("\r\n");
  return {
    status: Number(statusLine.split(" ")[1]),
    headers: Object.fromEntries(
      lines.map((line) => {
        const colon = line.indexOf(":");
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    ),
    body: JSON.parse(text.slice(headEnd + 4)),
  };
}

async function send(socketPath: string, bytes: Buffer): Promise<Answer> {
  const socket = connect(socketPath);
  socket.write(bytes);
  return await readAnswer(socket);
}

/** RSA-OAEP(SHA-256) by Node, of any value. */
function wrap(value: Uint8Array): Buffer {
  return publicEncrypt(
    { key: PUBLIC_KEY_PEM, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" },
    value,
  );
}

function question(wrappedKey: Uint8Array, keyId = recipient.keyId): string {
  return JSON.stringify({ keyId, wrappedKey: Buffer.from(wrappedKey).toString("base64") });
}

const WRAPPED = wrap(formatWrappedValue(randomBytes(32)));

/** A provider that is told when to answer. */
function heldKeys(): { keys: Pick<KeyProvider, "unwrap">; asked: AbortSignal[]; release: () => void } {
  const gate = Promise.withResolvers<void>();
  const asked: AbortSignal[] = [];
  return {
    asked,
    release: gate.resolve,
    keys: {
      async unwrap(_wrapped, _keyId, signal) {
        asked.push(signal);
        await gate.promise;
        return formatWrappedValue(new Uint8Array(32));
      },
    },
  };
}

test("a workload opens data that is sealed to the proxy's key", async (context) => {
  const { socketPath, log } = await startApi(context);
  const sealed = sealData(Buffer.from("the data"), recipient, { context: "records/1" });
  const opened = openData(sealed, createDataKeyUnwrap({ socketPath }), { context: "records/1" });
  assert.equal(await new Response(opened).text(), "the data");
  const lines = log().map(({ time: _time, requestId, durationMs, ...line }) => {
    assert.match(String(requestId), /^[0-9a-f-]{36}$/);
    assert.equal(typeof durationMs, "number");
    return line;
  });
  assert.deepEqual(lines, [{ level: "info", event: "data-key", status: 200 }]);
});

test("answers with the key alone, and nobody may keep the answer", async (context) => {
  const { socketPath } = await startApi(context);
  const dataKey = randomBytes(32);
  const { status, headers, body } = await send(
    socketPath,
    formatCall(question(wrap(formatWrappedValue(dataKey)))),
  );
  assert.deepEqual([status, body], [200, { dataKey: dataKey.toString("base64") }]);
  assert.equal(headers["cache-control"], "no-store");
  assert.equal(headers["content-type"], "application/json");
});

test("the socket and its folder are this user's alone", async (context) => {
  const { socketPath } = await startApi(context);
  assert.equal((await lstat(socketPath)).mode & 0o777, 0o600);
  assert.equal((await lstat(dirname(socketPath))).mode & 0o777, 0o700);
});

test("gives nothing of a request away, and says of all that it does not open the same", async (context) => {
  const { socketPath, log } = await startApi(context);
  const message = GOLDEN_VECTORS.messages[0]?.messageBase64 ?? "";
  const envelope = parseEnvelope(Buffer.from(message, "base64"));
  assert.deepEqual([envelope.wrappedKey.length, envelope.wrappedIv.length], [512, 512]);
  const flipped = Buffer.from(WRAPPED);
  flipped[100]! ^= 1;
  const nearly = Buffer.from(formatWrappedValue(new Uint8Array(32)));
  nearly[0]! ^= 1;
  const wraps: Record<string, Uint8Array> = {
    "the key of a request": envelope.wrappedKey,
    "the vector of a request": envelope.wrappedIv,
    "32 bytes": wrap(randomBytes(32)),
    "12 bytes": wrap(randomBytes(12)),
    "another prefix": wrap(nearly),
    "a short key": wrap(formatWrappedValue(new Uint8Array(32)).subarray(0, 47)),
    "a long key": wrap(Buffer.concat([formatWrappedValue(new Uint8Array(32)), Buffer.of(0)])),
    "nothing wrapped": wrap(new Uint8Array()),
    "a flipped bit": flipped,
    "too short for the key": WRAPPED.subarray(1),
    "too long for the key": Buffer.concat([WRAPPED, Buffer.of(0)]),
    zeros: new Uint8Array(512),
  };
  const questions = {
    ...Object.fromEntries(Object.entries(wraps).map(([name, wrapped]) => [name, question(wrapped)])),
    "a key that is not ours": question(WRAPPED, `sha256:${"ab".repeat(32)}`),
  };
  for (const [name, asked] of Object.entries(questions)) {
    const { status, headers, body } = await send(socketPath, formatCall(asked));
    const { requestId: _requestId, ...problem } = body;
    assert.deepEqual(
      { status, code: headers["polaris-error"], problem },
      {
        status: 400,
        code: "DATA_OPEN_FAILED",
        problem: {
          type: "about:blank",
          title: "Bad Request",
          status: 400,
          detail: "cannot open data",
          code: "DATA_OPEN_FAILED",
        },
      },
      name,
    );
  }
  assert.deepEqual(
    log().map(({ level, event, code }) => [level, event, code]),
    Object.keys(questions).map(() => ["warn", "data-key", "DATA_OPEN_FAILED"]),
  );
});

test("tells a key that cannot be used now from a wrap that is wrong, and a bug by nothing but an id", async (context) => {
  let failure: Error = envelopeOpenFailed();
  const keys = {
    async unwrap(): Promise<Uint8Array> {
      throw failure;
    },
  };
  const { socketPath, logText } = await startApi(context, { keys });
  const failWith = async (error: Error): Promise<unknown[]> => {
    failure = error;
    const { status, headers, body } = await send(socketPath, formatCall(question(WRAPPED)));
    assert.equal(headers["content-type"], "application/problem+json");
    assert.equal(headers["cache-control"], "no-store");
    return [status, body.code, headers["polaris-error"]];
  };
  const cases: readonly (readonly [ErrorCode, number, ErrorCode])[] = [
    ["ENVELOPE_OPEN_FAILED", 400, "DATA_OPEN_FAILED"],
    ["KEY_UNKNOWN", 400, "DATA_OPEN_FAILED"],
    ["KEY_UNAVAILABLE", 503, "KEY_UNAVAILABLE"],
    ["KEY_RELEASE_DENIED", 503, "KEY_RELEASE_DENIED"],
    ["OVERLOADED", 503, "OVERLOADED"],
  ];
  for (const [thrown, status, code] of cases) {
    assert.deepEqual(await failWith(new PolarisError(thrown, "planted-text")), [status, code, code], thrown);
  }
  assert.deepEqual(await failWith(new TypeError("planted-secret")), [500, "INTERNAL", "INTERNAL"]);
  assert.doesNotMatch(logText(), /planted-secret/);
});

test("takes one route, one method and strict JSON", async (context) => {
  const { socketPath, log } = await startApi(context);
  const good = question(WRAPPED);
  const members = JSON.parse(good) as Record<string, string>;
  const json = (changes: Record<string, unknown>): Buffer =>
    formatCall(JSON.stringify({ ...members, ...changes }));
  const cases: Record<string, [Buffer, ErrorCode]> = {
    "another path": [formatCall(good, { path: "/v1/data-keys" }), "ROUTE_NOT_FOUND"],
    "a query": [formatCall(good, { path: "/v1/data-keys:unwrap?x=1" }), "ROUTE_NOT_FOUND"],
    "a whole URL": [formatCall(good, { path: "http://localhost/v1/data-keys:unwrap" }), "ROUTE_NOT_FOUND"],
    "a route of the endpoint": [
      formatCall("", { method: "GET", path: "/polaris-container/health" }),
      "ROUTE_NOT_FOUND",
    ],
    "another method": [formatCall(good, { method: "PUT" }), "ROUTE_NOT_FOUND"],
    "a form": [
      formatCall(good, { headers: { "content-type": "application/x-www-form-urlencoded" } }),
      "REQUEST_INVALID",
    ],
    "no body": [formatCall(""), "REQUEST_INVALID"],
    "half of it": [formatCall(good.slice(0, 80)), "REQUEST_INVALID"],
    "more than it": [formatCall(`${good}{}`), "REQUEST_INVALID"],
    "a list": [formatCall(`[${good}]`), "REQUEST_INVALID"],
    null: [formatCall("null"), "REQUEST_INVALID"],
    "not UTF-8": [formatCall(Buffer.from(`${good.slice(0, -1)},"\xff":1}`, "latin1")), "REQUEST_INVALID"],
    "a byte order mark": [formatCall(`\ufeff${good}`), "REQUEST_INVALID"],
    "an unknown member": [json({ context: "" }), "REQUEST_INVALID"],
    "no name of a key": [json({ keyId: undefined }), "REQUEST_INVALID"],
    "a name in capitals": [json({ keyId: recipient.keyId.toUpperCase() }), "REQUEST_INVALID"],
    "a name with more behind it": [json({ keyId: `${recipient.keyId}\n` }), "REQUEST_INVALID"],
    "a number for a wrap": [json({ wrappedKey: 7 }), "REQUEST_INVALID"],
    "an empty wrap": [json({ wrappedKey: "" }), "REQUEST_INVALID"],
    base64url: [json({ wrappedKey: WRAPPED.toString("base64url") }), "REQUEST_INVALID"],
  };
  for (const [name, [bytes, code]] of Object.entries(cases)) {
    const { headers, body } = await send(socketPath, bytes);
    assert.deepEqual([body.code, headers["polaris-error"]], [code, code], name);
  }
  assert.deepEqual(
    log().map((line) => line["code"]),
    Object.values(cases).map(([, code]) => code),
  );
  assert.equal((await send(socketPath, formatCall(good))).status, 200);
});

test("refuses bytes that are no HTTP, and goes on", async (context) => {
  const { socketPath, log } = await startApi(context);
  const garbage = await send(socketPath, Buffer.from("\x16\x03\x01 hello\r\n\r\n"));
  assert.deepEqual([garbage.status, garbage.body.code], [400, "REQUEST_INVALID"]);
  const huge = formatCall(question(WRAPPED), { headers: { "x-large": "x".repeat(9000) } });
  assert.equal((await send(socketPath, huge)).status, 400);
  assert.equal((await send(socketPath, formatCall(question(WRAPPED)))).status, 200);
  assert.deepEqual(
    log().map(({ event, status }) => [event, status]),
    [
      ["data-key", 400],
      ["data-key", 400],
      ["data-key", 200],
    ],
  );
});

test("refuses a body above the limit, announced or not, and takes one at the limit", async (context) => {
  const { socketPath } = await startApi(context);
  const good = question(WRAPPED);
  const padded = (length: number): string => good + " ".repeat(length - good.length);
  assert.equal((await send(socketPath, formatCall(padded(16 * 1024)))).status, 200);
  const above = await send(socketPath, formatCall(padded(16 * 1024 + 1)));
  assert.deepEqual([above.status, above.body.code], [413, "BODY_TOO_LARGE"]);

  const head = formatCall("", { headers: { "transfer-encoding": "chunked" } })
    .toString()
    .replace("content-length: 0\r\n", "");
  const piece = `${(8192).toString(16)}\r\n${" ".repeat(8192)}\r\n`;
  const chunked = await send(socketPath, Buffer.from(`${head}${piece.repeat(20)}0\r\n\r\n`));
  assert.deepEqual([chunked.status, chunked.body.code], [413, "BODY_TOO_LARGE"]);
});

test("refuses one call more than it takes on at a time, says when to come back, and recovers", async (context) => {
  const { keys, asked, release } = heldKeys();
  const { socketPath } = await startApi(context, { keys, limits: { maxUnwraps: 2 } });
  const held = [1, 2].map(() => send(socketPath, formatCall(question(WRAPPED))));
  while (asked.length < 2) await new Promise(setImmediate);
  const refused = await send(socketPath, formatCall(question(WRAPPED)));
  assert.deepEqual(
    [refused.status, refused.body.code, refused.headers["retry-after"]],
    [503, "OVERLOADED", "1"],
  );
  assert.equal(asked.length, 2);
  release();
  for (const answer of await Promise.all(held)) assert.equal(answer.status, 200);
  assert.equal((await send(socketPath, formatCall(question(WRAPPED)))).status, 200);
});

test("waits neither for a body that does not come nor for a key that does not", async (context) => {
  const keys: Pick<KeyProvider, "unwrap"> = {
    async unwrap(_wrapped, _keyId, signal) {
      await once(signal, "abort");
      throw new PolarisError("KEY_UNAVAILABLE", "no key in time");
    },
  };
  const { socketPath } = await startApi(context, {
    keys,
    limits: { bodyTimeoutMs: 60, unwrapTimeoutMs: 60 },
  });
  const slow = connect(socketPath);
  slow.write(formatCall(question(WRAPPED)).subarray(0, -1));
  const late = await readAnswer(slow);
  assert.deepEqual([late.status, late.body.code], [408, "REQUEST_TIMEOUT"]);
  const away = await send(socketPath, formatCall(question(WRAPPED)));
  assert.deepEqual([away.status, away.body.code], [503, "KEY_UNAVAILABLE"]);
});

test("gives up a call whose caller goes away", async (context) => {
  const asked = Promise.withResolvers<AbortSignal>();
  const keys: Pick<KeyProvider, "unwrap"> = {
    async unwrap(_wrapped, _keyId, signal) {
      asked.resolve(signal);
      await once(signal, "abort");
      throw new PolarisError("KEY_UNAVAILABLE", "no key in time");
    },
  };
  const { socketPath, log, logged } = await startApi(context, { keys });
  const socket = connect(socketPath);
  socket.write(formatCall(question(WRAPPED)));
  const signal = await asked.promise;
  socket.destroy();
  if (!signal.aborted) await once(signal, "abort");
  await logged(1);
  assert.deepEqual(
    log().map(({ level, event, status }) => [level, event, status]),
    [["info", "data-key-given-up", undefined]],
  );
});

test("has neither a key nor a wrap in its log", async (context) => {
  const { socketPath, logText } = await startApi(context);
  const dataKey = randomBytes(32);
  const wrapped = wrap(formatWrappedValue(dataKey));
  await send(socketPath, formatCall(question(wrapped)));
  await send(socketPath, formatCall(question(wrapped.subarray(1))));
  await send(socketPath, formatCall(`planted ${question(wrapped)}`));
  assert.equal(logText().trimEnd().split("\n").length, 3);
  for (const planted of [dataKey, wrapped, wrapped.subarray(1)]) {
    assert.ok(!logText().includes(planted.toString("base64").slice(0, 20)));
    assert.ok(!logText().includes(planted.toString("hex").slice(0, 20)));
  }
  assert.doesNotMatch(logText(), /planted/);
});

test("finishes the call in flight when it is closed, and leaves no socket behind", async (context) => {
  const { keys, asked, release } = heldKeys();
  const { api, socketPath } = await startApi(context, { keys });
  const pending = send(socketPath, formatCall(question(WRAPPED)));
  while (asked.length < 1) await new Promise(setImmediate);
  const closed = api.close();
  release();
  assert.equal((await pending).status, 200);
  await closed;
  await assert.rejects(lstat(socketPath), { code: "ENOENT" });
});

test("cuts what does not end within its time when it is closed", async (context) => {
  const { keys, asked } = heldKeys();
  const { api, socketPath } = await startApi(context, { keys, limits: { closeTimeoutMs: 50 } });
  const socket = connect(socketPath);
  socket.on("error", () => undefined);
  socket.write(formatCall(question(WRAPPED)));
  while (asked.length < 1) await new Promise(setImmediate);
  await api.close();
  if (!socket.closed) await once(socket, "close");
});

test("does not listen where another one does", async (context) => {
  const { socketPath } = await startApi(context);
  const other = createWorkloadKeyApi({
    access: "owner",
    socketPath,
    keys: containerKeys,
    log: createLog("silent", { write: () => undefined }),
  });
  await assert.rejects(other.listen(), { code: "PORT_TAKEN" });
  await other.close();
  assert.equal((await send(socketPath, formatCall(question(WRAPPED)))).status, 200);
});
