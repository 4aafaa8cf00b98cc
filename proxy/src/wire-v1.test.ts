import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { encodeBase64, formatEnvelope, importPublicKey, parseEnvelope, sealEnvelope } from "@polaris-cvm/sdk";
import type { EnvelopeParts } from "@polaris-cvm/sdk";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { GOLDEN_VECTORS, createContainerKeyProvider, openAsOriginal } from "../testing/golden-vectors.ts";
import { openParts } from "./envelope-crypto.ts";
import { ENCRYPTION_MODES } from "./environment.ts";
import type { EncryptionMode } from "./environment.ts";
import type { ClearRequest, Unwrap } from "./wire-format.ts";
import { createWireV1 } from "./wire-v1.ts";

const NEVER = new AbortController().signal;
const keys = await createContainerKeyProvider();
const unwrap: Unwrap = (wrapped) => keys.unwrap(wrapped, NEVER);
const recipient = await importPublicKey(GOLDEN_VECTORS.containerPublicKeyPem);
const seal = (text: string): Promise<Uint8Array> => sealEnvelope(Buffer.from(text), recipient);
const sealHeader = async (text: string): Promise<string> => encodeBase64(await seal(text));

const headerNames = {
  url: "polaris-url",
  secure: "polaris-secure",
  responseKey: "polaris-response-public-key",
};
const optional = createWireV1({ encryption: { requests: "optional", responses: "optional" }, headerNames });
const responseKey = Buffer.from(GOLDEN_VECTORS.clientPublicKeyPem).toString("base64");

function received(overrides: Partial<ClearRequest> = {}): ClearRequest {
  return {
    method: "GET",
    target: "/outer",
    fieldLines: ["x-clear", "1"],
    body: Buffer.alloc(0),
    ...overrides,
  };
}

for (const { name, plaintextHex, messageBase64 } of GOLDEN_VECTORS.messages) {
  test(`opens the golden message "${name}"`, async () => {
    const parts = parseEnvelope(Buffer.from(messageBase64, "base64"));
    assert.equal((await openParts(parts, unwrap)).toString("hex"), plaintextHex);
  });
}

test("URL, headers and body come out of their envelopes, and nothing in the clear gets in", async () => {
  const exchange = optional.admit({
    "polaris-url": await sealHeader("/inner?q=1#fragment"),
    "polaris-secure": await sealHeader('{"authorization":"Bearer t"}'),
  });
  const opened = await exchange.open(
    received({ method: "POST", body: Buffer.from(await seal("body")) }),
    unwrap,
  );
  assert.deepEqual(opened, {
    method: "POST",
    target: "/inner?q=1",
    fieldLines: ["authorization", "Bearer t"],
    body: Buffer.from("body"),
  });
});

test("sealed headers without a URL mean the root", async () => {
  const exchange = optional.admit({ "polaris-secure": await sealHeader("{}") });
  assert.equal((await exchange.open(received(), unwrap)).target, "/");
});

test("a request in the clear is taken as it came", async () => {
  const request = received();
  assert.equal(await optional.admit({}).open(request, unwrap), request);
});

test("all unwraps of a request run at the same time", async () => {
  const exchange = optional.admit({
    "polaris-url": await sealHeader("/"),
    "polaris-secure": await sealHeader("{}"),
  });
  let running = 0;
  let most = 0;
  const { promise: allBegan, resolve: begin } = Promise.withResolvers<void>();
  await exchange.open(received({ body: Buffer.from(await seal("body")) }), async (wrapped) => {
    most = Math.max(most, ++running);
    if (running === 6) begin();
    await allBegan;
    running--;
    return await unwrap(wrapped);
  });
  assert.equal(most, 6);
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
    const requests = createWireV1({ encryption: { requests: mode, responses: "optional" }, headerNames });
    assert.equal(
      outcome(() => requests.admit(isSealed ? { "polaris-secure": secure } : {})),
      expected,
    );
    assert.equal(
      outcome(() => requests.admit(isSealed ? { "polaris-url": secure } : {})),
      expected,
    );
    const responses = createWireV1({ encryption: { requests: "optional", responses: mode }, headerNames });
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
  const counting: Unwrap = (wrapped) => {
    unwraps++;
    return unwrap(wrapped);
  };
  const headers = { "polaris-url": await sealHeader("/"), "polaris-secure": await sealHeader("{}") };
  const body = Buffer.from("not an envelope");
  await assert.rejects(optional.admit(headers).open(received({ body }), counting), {
    code: "ENVELOPE_MALFORMED",
  });
  await assert.rejects(optional.admit({ ...headers, "polaris-url": "%" }).open(received(), counting), {
    code: "ENVELOPE_MALFORMED",
  });
  const truncated = Buffer.from(formatEnvelope(parseEnvelope(await seal("")))).subarray(0, 700);
  await assert.rejects(optional.admit(headers).open(received({ body: truncated }), counting), {
    code: "ENVELOPE_MALFORMED",
  });
  assert.equal(unwraps, 0);
});

test("sealed parts that are not UTF-8 are refused", async () => {
  const bytes = encodeBase64(await sealEnvelope(Uint8Array.of(0xff), recipient));
  await assert.rejects(optional.admit({ "polaris-url": bytes }).open(received(), unwrap), {
    code: "REQUEST_INVALID",
  });
});

test("a response key that differs from its sealed copy, or is gone, is noticed", async () => {
  const secure = await sealHeader(JSON.stringify({ "polaris-response-public-key": responseKey }));
  const swapped = Buffer.from(GOLDEN_VECTORS.containerPublicKeyPem).toString("base64");
  for (const outer of [{ "polaris-response-public-key": swapped }, {}]) {
    await assert.rejects(optional.admit({ "polaris-secure": secure, ...outer }).open(received(), unwrap), {
      code: "REQUEST_INVALID",
      message: "the response key is not the one in the sealed headers",
    });
  }
  const same = { "polaris-secure": secure, "polaris-response-public-key": responseKey };
  await optional.admit(same).open(received(), unwrap);
});

test("a workload is asked for plain bodies where the response is sealed", async () => {
  const exchange = optional.admit({ "polaris-response-public-key": responseKey });
  const { fieldLines } = await exchange.open(
    received({ fieldLines: ["Accept-Encoding", "gzip, br"] }),
    unwrap,
  );
  assert.deepEqual(fieldLines, ["accept-encoding", "identity"]);
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

const sealed = optional.admit({ "polaris-response-public-key": responseKey });

test("a sealed response opens by the original's rules, also an empty one", () => {
  for (const text of ["", "n\u00e4\u00efve"]) {
    const body = Buffer.from(text);
    const reply = sealed.seal({ status: 200, fieldLines: ["content-type", "text/plain"], body });
    assert.match(reply.body?.toString() ?? "", /^[A-Za-z0-9+/]+=*$/);
    const opened = openAsOriginal(reply.body?.toString() ?? "", GOLDEN_VECTORS.clientPrivateKeyPem);
    assert.deepEqual(opened, body);
    assert.deepEqual(reply.fieldLines, ["content-type", "text/plain", "cache-control", "no-store"]);
  }
});

test("what has no body stays without one, and its length is not told", () => {
  const reply = sealed.seal({
    status: 304,
    fieldLines: ["content-length", "17", "etag", "e"],
    body: undefined,
  });
  assert.deepEqual(reply, {
    status: 304,
    fieldLines: ["etag", "e", "cache-control", "no-store"],
    body: undefined,
  });
});

test("no cache may keep what came for a sealed URL, or a sealed answer", async () => {
  const fieldLines = ["Cache-Control", "public, max-age=600", "Expires", "never", "x", "1"];
  const answer = { status: 200, fieldLines, body: Buffer.alloc(0) };
  const clearAnswer = optional.admit({ "polaris-secure": await sealHeader("{}") }).seal(answer);
  assert.deepEqual(clearAnswer.fieldLines, ["x", "1", "cache-control", "no-store"]);
  assert.deepEqual(sealed.seal(answer).fieldLines, ["x", "1", "cache-control", "no-store"]);
  assert.deepEqual(optional.admit({}).seal(answer), answer);
});

test("a coded body cannot be sealed", () => {
  const answer = { status: 200, fieldLines: ["Content-Encoding", "gzip"], body: Buffer.alloc(0) };
  assert.throws(() => sealed.seal(answer), { code: "WORKLOAD_RESPONSE_INVALID" });
  const identity = { ...answer, fieldLines: ["Content-Encoding", "identity"] };
  assert.deepEqual(sealed.seal(identity).fieldLines, ["cache-control", "no-store"]);
});
