import assert from "node:assert/strict";
import { test } from "node:test";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { openAnswer, responseKey, sealText } from "../testing/sealing.ts";
import type { AnswerHead, AnswerSink, Exchange, Means } from "./wire-format.ts";
import { createWireV1 } from "./wire-v1.ts";

const optional = createWireV1({
  encryption: { requests: "optional", responses: "optional" },
  headerNames: { url: "polaris-url", secure: "polaris-secure", responseKey: "polaris-response-public-key" },
  limits: { maxBodyBytes: 1000 },
});

/** An answer needs none but the memory. */
const means: Means = {
  unwrap: () => Promise.reject(new Error("unwrapped")),
  readBody: () => Promise.reject(new Error("read")),
  take: () => undefined,
};

/** What the client gets of an answer that the workload gives in pieces. */
interface Reply {
  readonly interim: number[];
  head: AnswerHead | undefined;
  body: string;
  trailers: readonly string[] | undefined;
}

function pass(
  exchange: Exchange,
  { status = 200, hasBody = true, fieldLines = [] }: Partial<AnswerHead>,
  pieces: readonly string[] = [],
  ownMeans: Partial<Means> = {},
): Reply {
  const reply: Reply = { interim: [], head: undefined, body: "", trailers: undefined };
  const client: AnswerSink = {
    interim: (interimStatus) => void reply.interim.push(interimStatus),
    head: (head) => void (reply.head = head),
    data(chunk) {
      reply.body += chunk.toString("latin1");
      return true;
    },
    end: (trailers) => void (reply.trailers = trailers),
  };
  const sink = exchange.seal(client, { ...means, ...ownMeans });
  sink.interim(103, ["link", "x"]);
  sink.head({ status, hasBody, fieldLines });
  for (const piece of pieces) sink.data(Buffer.from(piece), () => undefined);
  sink.end(["x-trailer", "1"]);
  return reply;
}

const sealed = optional.admit({ "polaris-response-public-key": responseKey });
const noStore = ["cache-control", "no-store"];

test("a sealed response opens by the original's rules, also an empty one, in pieces or not", () => {
  for (const pieces of [[], ["n\u00e4\u00efve"], ["n\u00e4", "", "\u00efve"]]) {
    const reply = pass(sealed, { fieldLines: ["content-type", "text/plain", "content-length", "1"] }, pieces);
    assert.match(reply.body, /^[A-Za-z0-9+/]+=*$/);
    const opened = openAnswer(reply);
    assert.equal(opened, pieces.join(""));
    assert.deepEqual(reply.head, {
      status: 200,
      hasBody: true,
      fieldLines: ["content-type", "text/plain", "content-length", String(reply.body.length), ...noStore],
    });
  }
});

test("nothing of a sealed answer goes out before its end, and no interim answers or trailers at all", () => {
  let calls = 0;
  const count = (): true => {
    calls += 1;
    return true;
  };
  const sink = sealed.seal({ interim: count, head: count, data: count, end: count }, means);
  sink.interim(103, ["link", "planted"]);
  sink.head({ status: 200, hasBody: true, fieldLines: [] });
  sink.data(Buffer.from("planted"), count);
  assert.equal(calls, 0);
  const reply = pass(sealed, {}, ["x"]);
  assert.deepEqual([reply.interim, reply.trailers], [[], []]);
});

test("what has no body stays without one, and its length is not told", () => {
  const reply = pass(sealed, {
    status: 304,
    hasBody: false,
    fieldLines: ["content-length", "17", "etag", "e"],
  });
  assert.deepEqual(reply.head, { status: 304, hasBody: false, fieldLines: ["etag", "e", ...noStore] });
  assert.deepEqual([reply.body, reply.trailers], ["", []]);
});

test("no cache may keep what came for a sealed URL, or a sealed answer", async () => {
  const head = { fieldLines: ["Cache-Control", "public, max-age=600", "Expires", "never", "x", "1"] };
  const clearAnswer = pass(optional.admit({ "polaris-secure": await sealText("{}") }), head, ["a", "b"]);
  assert.deepEqual(clearAnswer.head?.fieldLines, ["x", "1", ...noStore]);
  assert.equal(clearAnswer.body, "ab");
  assert.deepEqual(pass(sealed, head, []).head?.fieldLines.slice(0, 2), ["x", "1"]);
  assert.deepEqual(pass(sealed, head, []).head?.fieldLines.slice(-2), noStore);

  const untouched = pass(optional.admit({}), head, ["a", "b"]);
  assert.deepEqual(untouched, {
    interim: [103],
    head: { status: 200, hasBody: true, ...head },
    body: "ab",
    trailers: ["x-trailer", "1"],
  });
});

test("a coded body cannot be sealed", () => {
  const coded = { fieldLines: ["Content-Encoding", "gzip"] };
  assert.throws(() => pass(sealed, coded), { code: "WORKLOAD_RESPONSE_INVALID" });
  const identity = pass(sealed, { fieldLines: ["Content-Encoding", "identity"] });
  assert.deepEqual(identity.head?.fieldLines.slice(2), noStore);
});

test("an answer is sealed up to the limit, and refused above it", () => {
  const atLimit = pass(sealed, {}, ["x".repeat(600), "x".repeat(400)]);
  assert.equal(openAnswer(atLimit).length, 1000);
  assert.throws(() => pass(sealed, {}, ["x".repeat(600), "x".repeat(401)]), {
    code: "WORKLOAD_RESPONSE_INVALID",
    message: "the workload's answer is longer than 1000 bytes, which is as much as can be sealed",
  });
});

test("every byte of an answer that is held is counted", () => {
  const taken: number[] = [];
  pass(sealed, {}, ["abc", "de"], { take: (byteCount) => void taken.push(byteCount) });
  assert.deepEqual(taken, [3, 2]);
  const full = new PolarisError("OVERLOADED", "full");
  const take = (): never => {
    throw full;
  };
  assert.throws(() => pass(sealed, {}, ["abc"], { take }), full);
});
