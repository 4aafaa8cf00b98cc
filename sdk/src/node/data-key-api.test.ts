import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { text } from "node:stream/consumers";
import { PolarisError } from "../errors.ts";
import { createDataKeyUnwrap } from "./data-key-api.ts";

const QUESTION = { keyId: `sha256:${"ab".repeat(32)}`, wrappedKey: new Uint8Array(512).fill(7) };
const DATA_KEY = Buffer.alloc(32, 9);

async function makeSocketPath(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-keys-"));
  context.after(() => rm(folder, { recursive: true, force: true }));
  return join(folder, "api.sock");
}

/** A real server on a Unix socket in the place of the proxy's. */
async function serve(
  context: TestContext,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const socketPath = await makeSocketPath(context);
  const server = createServer(answer).listen(socketPath);
  await once(server, "listening");
  context.after(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  });
  return socketPath;
}

async function failureOf(promise: Promise<unknown>): Promise<PolarisError> {
  const error = await promise.then(
    () => assert.fail("resolved"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof PolarisError, String(error));
  return error;
}

test("asks with the key's name and the wrap, and gives the key of the answer", async (context) => {
  const seen: unknown[] = [];
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body: unknown = JSON.parse(await text(request));
    seen.push([request.method, request.url, request.headers["content-type"], body]);
    response.end(JSON.stringify({ dataKey: DATA_KEY.toString("base64") }));
  };
  const socketPath = await serve(context, (request, response) => void answer(request, response));
  const unwrap = createDataKeyUnwrap({ socketPath });
  assert.deepEqual(Buffer.from(await unwrap(QUESTION)), DATA_KEY);
  assert.deepEqual(seen, [
    [
      "POST",
      "/v1/data-keys:unwrap",
      "application/json",
      { keyId: QUESTION.keyId, wrappedKey: Buffer.from(QUESTION.wrappedKey).toString("base64") },
    ],
  ]);
});

test("keeps no more than eight questions open at a time, and answers all", async (context) => {
  let open = 0;
  let most = 0;
  const socketPath = await serve(context, (request, response) => {
    most = Math.max(most, (open += 1));
    request.resume().on("end", () => {
      setImmediate(() => {
        open -= 1;
        response.end(JSON.stringify({ dataKey: DATA_KEY.toString("base64") }));
      });
    });
  });
  const unwrap = createDataKeyUnwrap({ socketPath });
  const keys = await Promise.all(Array.from({ length: 40 }, () => unwrap(QUESTION)));
  assert.equal(keys.length, 40);
  assert.ok(most <= 8, `${most} at a time`);
});

test("tells a wrap that is not for this key from a key that cannot be asked", async (context) => {
  let code = "";
  const socketPath = await serve(context, (_request, response) => {
    response.writeHead(code === "OVERLOADED" ? 503 : 400, { "polaris-error": code }).end("{}");
  });
  const unwrap = createDataKeyUnwrap({ socketPath });
  code = "DATA_OPEN_FAILED";
  const refused = await failureOf(unwrap(QUESTION));
  assert.deepEqual([refused.code, refused.message], ["DATA_OPEN_FAILED", "cannot open data"]);
  code = "OVERLOADED";
  const away = await failureOf(unwrap(QUESTION));
  assert.deepEqual(
    [away.code, away.message, away.details],
    ["DATA_KEY_UNAVAILABLE", "the key API refused: OVERLOADED", { status: 503, code: "OVERLOADED" }],
  );
});

test("takes nothing but a key of 32 bytes for an answer", async (context) => {
  let body = "";
  const socketPath = await serve(context, (_request, response) => void response.end(body));
  const unwrap = createDataKeyUnwrap({ socketPath });
  for (body of [
    "",
    "null",
    "[]",
    "{}",
    '{"dataKey":7}',
    '{"dataKey":"AAAA"}',
    JSON.stringify({ dataKey: Buffer.alloc(33).toString("base64") }),
    JSON.stringify({ dataKey: DATA_KEY.toString("base64url") }),
    "x".repeat(100_000),
  ]) {
    const { code, message } = await failureOf(unwrap(QUESTION));
    assert.deepEqual(
      [code, message],
      ["DATA_KEY_UNAVAILABLE", "the key API gave an answer out of protocol"],
      body,
    );
  }
});

test("says where nobody answers, and that nothing came in time", async (context) => {
  const absent = await makeSocketPath(context);
  const missing = await failureOf(createDataKeyUnwrap({ socketPath: absent })(QUESTION));
  assert.deepEqual(
    [missing.code, missing.message],
    ["DATA_KEY_UNAVAILABLE", `the key API at ${absent} cannot be reached`],
  );
  const silent = await serve(context, () => undefined);
  const late = await failureOf(createDataKeyUnwrap({ socketPath: silent, timeoutMs: 50 })(QUESTION));
  assert.deepEqual(
    [late.code, late.message],
    ["DATA_KEY_UNAVAILABLE", `the key API at ${silent} has not answered within 50 ms`],
  );
});

test("ends with the reason of the signal once nobody waits", async (context) => {
  const asked = Promise.withResolvers<void>();
  const socketPath = await serve(context, () => asked.resolve());
  const end = new AbortController();
  const pending = createDataKeyUnwrap({ socketPath })({ ...QUESTION, signal: end.signal });
  await asked.promise;
  const reason = new Error("enough");
  end.abort(reason);
  await assert.rejects(pending, reason);
});
