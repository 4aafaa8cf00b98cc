import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import type { TestContext } from "node:test";
import type { ErrorCode } from "@polaris-cvm/sdk/errors";
import {
  BLOB,
  connect,
  DESCRIPTOR,
  referenceTo,
  sendForEver,
  startRegistryOf,
} from "../../testing/hostile-exchange.ts";
import type { AnswerRequest } from "../../testing/hostile-registry.ts";
import { rejection } from "../../testing/planted-secrets.ts";

const signal = AbortSignal.timeout(60_000);

const BLOB_FAULTS: readonly {
  readonly name: string;
  readonly answer: AnswerRequest;
  readonly code: ErrorCode;
  readonly message: RegExp;
}[] = [
  {
    name: "of other bytes",
    answer: (_request, response) => void response.end(randomBytes(BLOB.length)),
    code: "IMAGE_DIGEST_MISMATCH",
    message: /expected digest sha256:\w+, got sha256:\w+$/,
  },
  {
    name: "that ends too early",
    answer: (_request, response) => void response.end(BLOB.subarray(0, 100_000)),
    code: "IMAGE_DIGEST_MISMATCH",
    message: /expected 200000 bytes, got only 100000$/,
  },
  {
    name: "that breaks off",
    answer: (_request, response) => {
      response.writeHead(200, { "content-length": String(BLOB.length) });
      response.write(BLOB.subarray(0, 100_000), () => response.destroy());
    },
    code: "REGISTRY_UNREACHABLE",
    message: /the connection failed/,
  },
  {
    name: "with one byte more",
    answer: (_request, response) => void response.end(Buffer.concat([BLOB, Buffer.of(0)])),
    code: "IMAGE_DIGEST_MISMATCH",
    message: /expected 200000 bytes, got more$/,
  },
  {
    name: "without an end",
    answer: (_request, response) => sendForEver(response),
    code: "IMAGE_DIGEST_MISMATCH",
    message: /got (more|sha256:\w+)$/,
  },
];

for (const { name, answer, code, message } of BLOB_FAULTS) {
  test(`a blob ${name} ends with ${code}`, { timeout: 10_000 }, async (t) => {
    const closed = Promise.withResolvers<void>();
    const server = await startRegistryOf(t, (request, response, seen) => {
      response.once("close", () => closed.resolve());
      return answer(request, response, seen);
    });
    let byteCount = 0;
    const read = async (): Promise<void> => {
      for await (const piece of connect(t).readBlob(referenceTo(server.host), DESCRIPTOR, signal)) {
        byteCount += piece.length;
      }
    };
    const error = await rejection(read());
    assert.equal(error.code, code);
    assert.match(error.message, message);
    assert.ok(
      error.code === "REGISTRY_UNREACHABLE" || error.message.startsWith(`blob ${DESCRIPTOR.digest} of `),
    );
    assert.ok(byteCount <= BLOB.length);
    await closed.promise;
  });
}

test("whoever stops reading a blob closes its connection", { timeout: 10_000 }, async (t) => {
  const closed = Promise.withResolvers<void>();
  const server = await startRegistryOf(t, (_request, response) => {
    response.once("close", () => closed.resolve());
    sendForEver(response);
  });
  const blob = { ...DESCRIPTOR, size: 1e12 };
  for await (const piece of connect(t).readBlob(referenceTo(server.host), blob, signal)) {
    assert.ok(piece.length > 0);
    break;
  }
  await closed.promise;
});

test("a server that stops in the middle of a blob is given up", async (t) => {
  const server = await startRegistryOf(
    t,
    (_request, response) => void response.write(BLOB.subarray(0, 1000)),
  );
  const client = connect(t, { timeouts: { idleMs: 300 } });
  const reading = Array.fromAsync(client.readBlob(referenceTo(server.host), DESCRIPTOR, signal));
  const error = await rejection(reading);
  assert.equal(error.code, "REGISTRY_UNREACHABLE");
  assert.match(error.message, /no answer in time \(UND_ERR_BODY_TIMEOUT\)$/);
});

/** Gives the piece that is asked for, and breaks off after so many bytes; from the answer after the last one on, nothing is cut. */
function cutAfter(byteCounts: readonly number[]): AnswerRequest {
  const cuts = byteCounts.values();
  return (request, response) => {
    const first = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
    const rest = BLOB.subarray(first);
    response.writeHead(first === 0 ? 200 : 206, {
      "content-length": String(rest.length),
      ...(first > 0 && { "content-range": `bytes ${first}-${BLOB.length - 1}/${BLOB.length}` }),
    });
    const cut = cuts.next();
    if (cut.done === true) return void response.end(rest);
    response.write(rest.subarray(0, cut.value), () => response.destroy());
  };
}

async function download(t: TestContext, host: string, delays = 3): Promise<Uint8Array> {
  const client = connect(t, { retryDelaysMs: Array.from({ length: delays }, () => 1) });
  return Buffer.concat(await Array.fromAsync(client.readBlob(referenceTo(host), DESCRIPTOR, signal)));
}

test("a download that breaks off twice goes on from where it was", async (t) => {
  const ranges: (string | undefined)[] = [];
  const answer = cutAfter([70_000, 50_000]);
  const server = await startRegistryOf(t, (request, response, seen) => {
    ranges.push(request.headers.range);
    return answer(request, response, seen);
  });
  assert.deepEqual(await download(t, server.host), BLOB);
  assert.deepEqual(ranges, [undefined, "bytes=70000-199999", "bytes=120000-199999"]);
});

test("a download of which only the end of the message is missing is whole", async (t) => {
  const server = await startRegistryOf(t, (_request, response) => {
    response.writeHead(200, { "transfer-encoding": "chunked" });
    response.write(BLOB, () => response.destroy());
  });
  assert.deepEqual(await download(t, server.host), BLOB);
  assert.equal(server.seen.length, 1);
});

test("a registry that does not know of ranges sends all of it again, and none of it comes twice", async (t) => {
  const server = await startRegistryOf(t, (_request, response) => {
    response.writeHead(200, { "content-length": String(BLOB.length) });
    if (server.seen.length > 2) return void response.end(BLOB);
    response.write(BLOB.subarray(0, 70_000 * server.seen.length), () => response.destroy());
  });
  assert.deepEqual(await download(t, server.host), BLOB);
  assert.equal(server.seen.length, 3);
});

test("a download that breaks off for ever is given up", async (t) => {
  const server = await startRegistryOf(t, cutAfter(Array.from({ length: 100 }, () => 1_000)));
  const error = await rejection(download(t, server.host));
  assert.equal(error.code, "REGISTRY_UNREACHABLE");
  assert.match(error.message, /the connection failed/);
  assert.equal(server.seen.length, 4);
});

test("a rest that does not fit to the beginning is found out", async (t) => {
  const answer = cutAfter([70_000]);
  const server = await startRegistryOf(t, (request, response, seen) => {
    if (server.seen.length === 1) return answer(request, response, seen);
    response.writeHead(206, { "content-range": `bytes 70000-199999/200000` });
    response.end(randomBytes(BLOB.length - 70_000));
  });
  assert.equal((await rejection(download(t, server.host))).code, "IMAGE_DIGEST_MISMATCH");
});

const WRONG_RANGES: readonly (string | undefined)[] = [
  undefined,
  "bytes 0-199999/200000",
  "bytes 69999-199999/200000",
  "bytes 70000-150000/200000",
  "bytes 70000-199999/999999",
  "bytes */200000",
  "pl4nt3d",
];

for (const range of WRONG_RANGES) {
  test(`a rest with the range ${range ?? "of nothing"} is refused`, { timeout: 10_000 }, async (t) => {
    const answer = cutAfter([70_000]);
    const closed = Promise.withResolvers<void>();
    const server = await startRegistryOf(t, (request, response, seen) => {
      if (server.seen.length === 1) return answer(request, response, seen);
      response.once("close", () => closed.resolve());
      response.writeHead(206, range === undefined ? {} : { "content-range": range });
      sendForEver(response);
    });
    const error = await rejection(download(t, server.host));
    assert.equal(error.code, "REGISTRY_FAILED");
    assert.match(error.message, /the rest of it: expected bytes 70000-199999\/200000 in Content-Range$/);
    assert.equal(server.seen.length, 2);
    await closed.promise;
  });
}

test("a registry that has no such range refuses it, and that is the end", async (t) => {
  const answer = cutAfter([70_000]);
  const server = await startRegistryOf(t, (request, response, seen) => {
    if (server.seen.length === 1) return answer(request, response, seen);
    response.writeHead(416).end();
  });
  const error = await rejection(download(t, server.host));
  assert.equal(error.code, "REGISTRY_FAILED");
  assert.match(error.message, /status 416/);
  assert.equal(server.seen.length, 2);
});
