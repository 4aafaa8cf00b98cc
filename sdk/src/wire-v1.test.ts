import assert from "node:assert/strict";
import { createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { decodeBase64 } from "./base64.ts";
import { openResponse } from "./client-response.ts";
import { type KeyUnwrap, openEnvelope } from "./envelope.ts";
import { formatEnvelope, parseEnvelope } from "./envelope-format.ts";
import { RESPONSE_KEY_HEADER, SECURE_HEADER, URL_HEADER } from "./headers.ts";
import { importPublicKey, KEY_WRAP_ALGORITHM } from "./public-key.ts";

/** Messages and raw exchanges of the original proxy and SDK, with their throw-away keys. */
const vectors = JSON.parse(
  readFileSync(new URL("../../test/vectors/polaris-v1.json", import.meta.url), "utf8"),
) as {
  containerPrivateKeyPem: string;
  containerPublicKeyPem: string;
  clientPrivateKeyPem: string;
  clientPublicKeyPem: string;
  messages: {
    name: string;
    plaintextHex: string;
    messageBase64: string;
    headerLength: number;
    aesKeyHex: string;
    ivHex: string;
    authTagHex: string;
    ciphertextHex: string;
  }[];
  exchanges: {
    name: string;
    requestRawBase64: string;
    responseRawBase64: string;
    workload?: { method: string; url: string; bodyUtf8: string };
    response: { status: number; bodyUtf8: string; contentType?: string };
  }[];
};

const unwrapAsContainer = await createUnwrap(vectors.containerPrivateKeyPem);
const unwrapAsClient = await createUnwrap(vectors.clientPrivateKeyPem);

test("has five messages and five exchanges to compare with", () => {
  assert.equal(vectors.messages.length, 5);
  assert.deepEqual(
    vectors.exchanges.map((exchange) => exchange.workload !== undefined),
    [true, true, true, false, false],
  );
});

for (const message of vectors.messages) {
  test(`opens the golden message "${message.name}" and lays it out again byte for byte`, async () => {
    const sealed = Buffer.from(message.messageBase64, "base64");
    const parts = parseEnvelope(sealed);
    assert.equal(sealed.readUInt32BE(0), message.headerLength);
    assert.equal(hex(parts.authTag), message.authTagHex);
    assert.equal(hex(parts.ciphertext), message.ciphertextHex);
    assert.equal(hex(await unwrapAsContainer(parts.wrappedKey)), message.aesKeyHex);
    assert.equal(hex(await unwrapAsContainer(parts.wrappedIv)), message.ivHex);
    assert.equal(hex(await openEnvelope(sealed, unwrapAsContainer)), message.plaintextHex);
    assert.equal(hex(formatEnvelope(parts)), hex(sealed));
  });
}

for (const { name, requestRawBase64, responseRawBase64, workload, response } of vectors.exchanges) {
  if (workload === undefined) {
    test(`returns no body of the original's error in the exchange "${name}": it is not sealed`, async () => {
      const raw = parseHttp(responseRawBase64);
      assert.equal(raw.startLine.split(" ")[1], String(response.status));
      assert.equal(raw.body.toString(), response.bodyUtf8);
      await assert.rejects(openResponse(toResponse(raw), "GET", unwrapAsClient), {
        code: "RESPONSE_NOT_SEALED",
        details: { status: response.status },
      });
    });
    continue;
  }

  test(`opens the request of the exchange "${name}"`, async () => {
    const { startLine, headers, body } = parseHttp(requestRawBase64);
    assert.equal(startLine, `${workload.method} / HTTP/1.1`);
    const open = async (base64: string | null): Promise<string> =>
      Buffer.from(await openEnvelope(decodeBase64(base64!)!, unwrapAsContainer)).toString();
    assert.equal(await open(headers.get(URL_HEADER)), workload.url);

    const inner = JSON.parse(await open(headers.get(SECURE_HEADER))) as Record<string, string>;
    assert.equal(inner["Accept"], "application/json, text/plain, */*");
    // The original seals the response key a second time, beside the headers: so do we.
    assert.equal(inner[RESPONSE_KEY_HEADER], headers.get(RESPONSE_KEY_HEADER));
    const responseKeyPem = Buffer.from(decodeBase64(inner[RESPONSE_KEY_HEADER])!).toString();
    const [responseKey, clientKey] = await Promise.all([
      importPublicKey(responseKeyPem),
      importPublicKey(vectors.clientPublicKeyPem),
    ]);
    assert.equal(responseKey.keyId, clientKey.keyId);

    if (workload.bodyUtf8 === "") assert.equal(body.length, 0);
    else assert.equal(Buffer.from(await openEnvelope(body, unwrapAsContainer)).toString(), workload.bodyUtf8);
  });

  test(`opens the response of the exchange "${name}"`, async () => {
    const opened = await openResponse(
      toResponse(parseHttp(responseRawBase64)),
      workload.method,
      unwrapAsClient,
    );
    assert.equal(opened.status, response.status);
    assert.equal(await opened.text(), response.bodyUtf8);
  });
}

async function createUnwrap(privateKeyPem: string): Promise<KeyUnwrap> {
  const pkcs8 = new Uint8Array(createPrivateKey(privateKeyPem).export({ type: "pkcs8", format: "der" }));
  const key = await crypto.subtle.importKey("pkcs8", pkcs8, KEY_WRAP_ALGORITHM, false, ["decrypt"]);
  return async (wrapped) =>
    new Uint8Array(await crypto.subtle.decrypt(KEY_WRAP_ALGORITHM, key, new Uint8Array(wrapped)));
}

interface RawHttp {
  readonly startLine: string;
  readonly headers: Headers;
  readonly body: Buffer;
}

function parseHttp(rawBase64: string): RawHttp {
  const raw = Buffer.from(rawBase64, "base64");
  const headEnd = raw.indexOf("\r\n\r\n");
  const [startLine, ...lines] = raw.toString("latin1", 0, headEnd).split("\r\n");
  const headers = new Headers(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    }),
  );
  return { startLine: startLine!, headers, body: raw.subarray(headEnd + 4) };
}

function toResponse({ startLine, headers, body }: RawHttp): Response {
  return new Response(new Uint8Array(body), { status: Number(startLine.split(" ")[1]), headers });
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
