import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { type EnvelopeParts, formatEnvelope, parseEnvelope } from "./envelope-format.ts";

const B64 = { wrappedKey: "AAEC", wrappedIV: "AwQ=", authTag: "AAECAwQFBgcICQoLDA0ODw==" };

/** Wire bytes around any header text. */
function envelope(header: string | Buffer, ciphertext = "cipher", headerLength?: number): Buffer {
  const bytes = Buffer.from(header);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(headerLength ?? bytes.length);
  return Buffer.concat([length, bytes, Buffer.from(ciphertext)]);
}

test("lays out a message byte for byte as wire v1 has it", () => {
  const bytes = formatEnvelope({
    wrappedKey: Uint8Array.of(0, 1, 2),
    wrappedIv: Uint8Array.of(3, 4),
    authTag: Uint8Array.from({ length: 16 }, (_, index) => index),
    ciphertext: Buffer.from("cipher"),
  });
  const header = '{"wrappedKey":"AAEC","wrappedIV":"AwQ=","authTag":"AAECAwQFBgcICQoLDA0ODw=="}';
  assert.equal(Buffer.from(bytes).toString("latin1"), `\0\0\0\x4d${header}cipher`);
});

test("reads back what it lays out", () => {
  const wrapped = fc.uint8Array({ minLength: 1, maxLength: 1024 });
  fc.assert(
    fc.property(
      wrapped,
      wrapped,
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
      fc.uint8Array(),
      (wrappedKey, wrappedIv, authTag, ciphertext) => {
        const parts: EnvelopeParts = { wrappedKey, wrappedIv, authTag, ciphertext };
        assert.deepEqual(parseEnvelope(formatEnvelope(parts)), parts);
      },
    ),
  );
});

test("reads the header by name, in any order, from a view into a larger buffer", () => {
  const { wrappedKey, wrappedIV, authTag } = B64;
  const bytes = envelope(JSON.stringify({ authTag, wrappedIV, wrappedKey }, null, 2));
  const view = Buffer.concat([Buffer.alloc(3, 0xff), bytes, Buffer.alloc(3)]).subarray(3, 3 + bytes.length);
  const parts = parseEnvelope(view);
  assert.deepEqual(parts.wrappedKey, Uint8Array.of(0, 1, 2));
  assert.deepEqual(parts.wrappedIv, Uint8Array.of(3, 4));
  assert.equal(Buffer.from(parts.ciphertext).toString(), "cipher");
});

test("refuses every other layout and says what is wrong", async (t) => {
  const json = (members: object): Buffer => envelope(JSON.stringify(members));
  const over = "A".repeat(1368); // 1026 bytes
  const cases: Record<string, [Uint8Array, RegExp]> = {
    "no bytes": [new Uint8Array(), /^envelope is 0 bytes long$/],
    "three bytes": [new Uint8Array(3), /^envelope is 3 bytes long$/],
    "an endless header": [envelope("", "", 0xffffffff), /announces a header of 4294967295 bytes/],
    "a header just over the bound": [envelope(" ".repeat(4097)), /announces a header of 4097 bytes/],
    "a header that is longer than the message": [envelope("{}", "", 3), /ends within its header$/],
    "an empty header": [envelope(""), /header that is not JSON$/],
    "a cut header": [envelope(JSON.stringify(B64).slice(0, -1)), /header that is not JSON$/],
    "a header that is not UTF-8": [envelope(Buffer.from('{"a":"\xff"}', "latin1")), /not JSON$/],
    "a byte order mark": [envelope(`\ufeff${JSON.stringify(B64)}`), /not JSON$/],
    "a number": [envelope("1"), /not a JSON object$/],
    null: [envelope("null"), /not a JSON object$/],
    "a list": [envelope("[]"), /not a JSON object$/],
    "an unknown member": [json({ ...B64, aad: "" }), /unknown header member$/],
    "an unknown member named __proto__": [
      envelope(`${JSON.stringify(B64).slice(0, -1)},"__proto__":{}}`),
      /unknown header member$/,
    ],
    "no key": [json({ ...B64, wrappedKey: undefined }), /no base64 text as wrappedKey$/],
    "a number as vector": [json({ ...B64, wrappedIV: 1 }), /no base64 text as wrappedIV$/],
    "an empty vector": [json({ ...B64, wrappedIV: "" }), /wrappedIV of 0 bytes, expected 1 to 1024$/],
    "a key that no RSA makes": [json({ ...B64, wrappedKey: over }), /wrappedKey of 1026 bytes/],
    base64url: [json({ ...B64, wrappedKey: "AAE_" }), /no base64 text as wrappedKey$/],
    "unpadded base64": [json({ ...B64, wrappedIV: "AwQ" }), /no base64 text as wrappedIV$/],
    "stray bits": [json({ ...B64, wrappedIV: "AwR=" }), /no base64 text as wrappedIV$/],
    "a short tag": [json({ ...B64, authTag: "AAECAwQFBgcICQoL" }), /authTag of 12 bytes, expected 16 to 16$/],
  };
  for (const [name, [bytes, message]] of Object.entries(cases)) {
    await t.test(name, () => {
      assert.throws(() => parseEnvelope(bytes), { code: "ENVELOPE_MALFORMED", message });
    });
  }
});
