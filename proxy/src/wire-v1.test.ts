import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { after, test } from "node:test";
import { encodeBase64, formatEnvelope, importPublicKey, parseEnvelope, sealEnvelope } from "@polaris-cvm/sdk";
import type { EnvelopeParts } from "@polaris-cvm/sdk";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { GOLDEN_VECTORS, createContainerKeyProvider } from "../testing/golden-vectors.ts";
import { openParts } from "./envelope-crypto.ts";
import { ENCRYPTION_MODES } from "./environment.ts";
import type { EncryptionMode } from "./environment.ts";
import type { ReceivedRequest } from "./received-request.ts";
import type { ClearRequest, Means } from "./wire-format.ts";
import { createWireV1 } from "./wire-v1.ts";

const NEVER = new AbortController().signal;
const keys = await createContainerKeyProvider();
after(() => keys.close());
const means: Means = {
  unwrap: (wrapped, keyId) => keys.unwrap(wrapped, keyId, NEVER),
  readBody: (body) => buffer(body),
  take: () => undefined,
};
const unwrap = (wrapped: Uint8Array): Promise<Uint8Array> => means.unwrap(wrapped, undefined);
const recipient = await importPublicKey(GOLDEN_VECTORS.containerPublicKeyPem);
const seal = (text: string): Promise<Uint8Array> => sealEnvelope(Buffer.from(text), recipient);
const sealHeader = async (text: string): Promise<string> => encodeBase64(await seal(text));

const headerNames = {
  url: "polaris-url",
  secure: "polaris-secure",
  responseKey: "polaris-response-public-key",
};
const limits = { maxBodyBytes: 1000 };
const bothOptional = { requests: "optional", responses: "optional" } as const;
const optional = createWireV1({ encryption: bothOptional, headerNames, limits });
const responseKey = Buffer.from(GOLDEN_VECTORS.clientPublicKeyPem).toString("base64");

function received(overrides: Partial<ReceivedRequest> = {}): ReceivedRequest {
  return {
    method: "GET",
    target: "/outer",
    headers: {},
    fieldLines: ["x-clear", "1"],
    body: undefined,
    peerAddress: "192.0.2.1",
    ...overrides,
  };
}

function open(
  headers: IncomingHttpHeaders,
  body?: Uint8Array,
  ownMeans: Partial<Means> = {},
): Promise<ClearRequest> {
  const stream = body === undefined ? undefined : Readable.from([Buffer.from(body)]);
  const request = received({ headers, ...(stream !== undefined && { body: stream }) });
  return optional.admit(headers).open(request, { ...means, ...ownMeans });
}

for (const { name, plaintextHex, messageBase64 } of GOLDEN_VECTORS.messages) {
  test(`opens the golden message "${name}"`, async () => {
    const parts = parseEnvelope(Buffer.from(messageBase64, "base64"));
    assert.equal((await openParts(parts, unwrap)).toString("hex"), plaintextHex);
  });
}

test("URL, headers and body come out of their envelopes, and nothing in the clear gets in", async () => {
  const headers = {
    "polaris-url": await sealHeader("/inner?q=1#fragment"),
    "polaris-secure": await sealHeader('{"authorization":"Bearer t"}'),
  };
  const body = Readable.from([Buffer.from(await seal("body"))]);
  const opened = await optional.admit(headers).open(received({ method: "POST", headers, body }), means);
  assert.deepEqual(opened, {
    method: "POST",
    target: "/inner?q=1",
    fieldLines: ["authorization", "Bearer t"],
    body: Buffer.from("body"),
  });
});

test("sealed headers without a URL mean the root, and an empty body means none", async () => {
  const opened = await open({ "polaris-secure": await sealHeader("{}") }, new Uint8Array());
  assert.equal(opened.target, "/");
  assert.equal(opened.body, undefined);
});

test("a request in the clear is taken as it came, its body unread, and only then the exchange is clear", async () => {
  const request = received({ body: Readable.from([Buffer.from("body")]) });
  const clear = optional.admit({});
  assert.equal(await clear.open(request, means), request);
  assert.equal(clear.isClear, true);
  for (const headers of [
    { "polaris-secure": await sealHeader("{}") },
    { "polaris-url": await sealHeader("/") },
    { "polaris-response-public-key": responseKey },
  ]) {
    assert.equal(optional.admit(headers).isClear, false);
  }
});

test("a body in the clear streams on where only the response is sealed", async () => {
  const headers = { "polaris-response-public-key": responseKey };
  const request = received({ headers, body: Readable.from([Buffer.from("body")]) });
  assert.equal((await optional.admit(headers).open(request, means)).body, request.body);
});

test("all unwraps of a request run at the same time, for the key that the client names", async () => {
  const { keyId } = await keys.publicKey(NEVER);
  const headers = {
    "polaris-url": await sealHeader("/"),
    "polaris-secure": await sealHeader("{}"),
    "polaris-key-id": keyId,
  };
  const named = new Set<string | undefined>();
  let running = 0;
  let most = 0;
  const { promise: allBegan, resolve: begin } = Promise.withResolvers<void>();
  await open(headers, await seal("body"), {
    async unwrap(wrapped, id) {
      named.add(id);
      most = Math.max(most, ++running);
      if (running === 6) begin();
      await allBegan;
      running--;
      return await means.unwrap(wrapped, id);
    },
  });
  assert.equal(most, 6);
  assert.deepEqual([...named], [keyId]);
});

const MODE_TABLE: readonly [EncryptionMode, isSealed: boolean, expected: string][] = [
  ["off", false, "taken"],
  ["off", true, "ENCRYPTION_OFF"],
  ["optional", false, "taken"],
  ["optional", true, "taken"],
  ["required", false, "ENCRYPTION_REQUIRED"],
  ["required", true, "taken"],
];

function outcome(action: () => unknown): string {
  try {
    action();
    return "taken";
  } catch (error) {
    assert.ok(error instanceof PolarisError);
    return error.code;
  }
}

test("each mode takes and refuses what it says, for requests and responses alike", async () => {
  assert.deepEqual(new Set(MODE_TABLE.map(([mode]) => mode)), new Set(ENCRYPTION_MODES));
  const secure = await sealHeader("{}");
  for (const [mode, isSealed, expected] of MODE_TABLE) {
    const requests = createWireV1({ encryption: { ...bothOptional, requests: mode }, headerNames, limits });
    assert.equal(
      outcome(() => requests.admit(isSealed ? { "polaris-secure": secure } : {})),
      expected,
    );
    assert.equal(
      outcome(() => requests.admit(isSealed ? { "polaris-url": secure } : {})),
      expected,
    );
    const responses = createWireV1({ encryption: { ...bothOptional, responses: mode }, headerNames, limits });
    const headers = isSealed ? { "polaris-response-public-key": responseKey } : {};
    assert.equal(
      outcome(() => responses.admit(headers)),
      expected,
    );
  }
});

function flipped(bytes: Uint8Array, index: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[index]! ^= 1;
  return copy;
}

test("one flipped bit anywhere, another key and cut-off values fail alike", async () => {
  const parts = parseEnvelope(await seal("a message"));
  const other = await importPublicKey(GOLDEN_VECTORS.clientPublicKeyPem);
  const shortKey = parseEnvelope(await sealEnvelope(Buffer.alloc(31), recipient));
  const altered: EnvelopeParts[] = [
    { ...parts, wrappedKey: flipped(parts.wrappedKey, 200) },
    { ...parts, wrappedIv: flipped(parts.wrappedIv, 200) },
    { ...parts, wrappedKey: parts.wrappedIv, wrappedIv: parts.wrappedKey },
    { ...parts, authTag: flipped(parts.authTag, 15) },
    { ...parts, ciphertext: flipped(parts.ciphertext, 0) },
    { ...parts, ciphertext: parts.ciphertext.subarray(1) },
    { ...parts, wrappedKey: parts.wrappedKey.subarray(1) },
    { ...parts, wrappedKey: shortKey.wrappedIv },
    parseEnvelope(await sealEnvelope(Buffer.from("a message"), other)),
  ];
  for (const message of altered) {
    await assert.rejects(openParts(message, unwrap), {
      code: "ENVELOPE_OPEN_FAILED",
      message: "cannot open envelope",
    });
  }
});

test("a key service that is away is not the client's fault", async () => {
  const parts = parseEnvelope(await seal("a message"));
  const away = new PolarisError("KEY_UNAVAILABLE", "away");
  await assert.rejects(
    openParts(parts, () => Promise.reject(away)),
    away,
  );
});

test("a layout that is wrong in any part costs no private operation", async () => {
  let unwraps = 0;
  const counting: Partial<Means> = {
    unwrap(wrapped, keyId) {
      unwraps++;
      return means.unwrap(wrapped, keyId);
    },
  };
  const headers = { "polaris-url": await sealHeader("/"), "polaris-secure": await sealHeader("{}") };
  await assert.rejects(open(headers, Buffer.from("not an envelope"), counting), {
    code: "ENVELOPE_MALFORMED",
  });
  await assert.rejects(open({ ...headers, "polaris-url": "%" }, undefined, counting), {
    code: "ENVELOPE_MALFORMED",
  });
  const truncated = Buffer.from(formatEnvelope(parseEnvelope(await seal("")))).subarray(0, 700);
  await assert.rejects(open(headers, truncated, counting), { code: "ENVELOPE_MALFORMED" });
  assert.equal(unwraps, 0);
});

test("a header that is no envelope is refused before the body is read", async () => {
  const readBody = () => Promise.reject(new Error("read"));
  await assert.rejects(open({ "polaris-secure": "AAAA" }, Buffer.from("body"), { readBody }), {
    code: "ENVELOPE_MALFORMED",
  });
});

test("sealed parts that are not UTF-8 are refused", async () => {
  const bytes = encodeBase64(await sealEnvelope(Uint8Array.of(0xff), recipient));
  await assert.rejects(open({ "polaris-url": bytes }), { code: "REQUEST_INVALID" });
  await assert.rejects(open({ "polaris-secure": bytes }), { code: "REQUEST_INVALID" });
});

test("a response key that differs from its sealed copy, or is gone, is noticed", async () => {
  const secure = await sealHeader(JSON.stringify({ "polaris-response-public-key": responseKey }));
  const swapped = Buffer.from(GOLDEN_VECTORS.containerPublicKeyPem).toString("base64");
  for (const outer of [{ "polaris-response-public-key": swapped }, {}]) {
    await assert.rejects(open({ "polaris-secure": secure, ...outer }), {
      code: "REQUEST_INVALID",
      message: "the response key is not the one in the sealed headers",
    });
  }
  await open({ "polaris-secure": secure, "polaris-response-public-key": responseKey });
});

test("a workload is asked for plain bodies where the response is sealed", async () => {
  const exchange = optional.admit({ "polaris-response-public-key": responseKey });
  const request = received({ fieldLines: ["Accept-Encoding", "gzip, br", "x", "1"] });
  const { fieldLines } = await exchange.open(request, means);
  assert.deepEqual(fieldLines, ["x", "1", "accept-encoding", "identity"]);
});

function pemOf(type: "rsa" | "rsa-pss" | "ec", bits: number, publicExponent = 0x10001): string {
  const { publicKey } =
    type === "ec"
      ? generateKeyPairSync("ec", { namedCurve: "P-256" })
      : generateKeyPairSync(type as "rsa", { modulusLength: bits, publicExponent });
  return publicKey.export({ type: "spki", format: "pem" });
}

test("a response key must be an RSA key in SPKI PEM of a sensible size", () => {
  const admit = (pem: string) => outcome(() => optional.admit({ "polaris-response-public-key": btoa(pem) }));
  assert.equal(admit(pemOf("rsa", 2048)), "taken");
  assert.equal(admit(pemOf("rsa", 2048).trim()), "taken");
  const pkcs1 = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const refused = [
    pemOf("rsa", 1024),
    pemOf("rsa-pss", 2048),
    pemOf("ec", 256),
    pkcs1.publicKey.export({ type: "pkcs1", format: "pem" }),
    pkcs1.privateKey.export({ type: "pkcs8", format: "pem" }),
    "",
    "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
  ];
  for (const pem of refused) assert.equal(admit(pem), "PUBLIC_KEY_INVALID");
  for (const text of ["not base64!", `${btoa(pemOf("rsa", 2048))}\n`]) {
    assert.equal(
      outcome(() => optional.admit({ "polaris-response-public-key": text })),
      "PUBLIC_KEY_INVALID",
    );
  }
});
