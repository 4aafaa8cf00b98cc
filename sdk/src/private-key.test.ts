import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { DATA_VECTORS } from "../../test/data-reference.ts";
import { openData, sealData } from "./data-at-rest.ts";
import { PolarisError } from "./errors.ts";
import { importDataPrivateKey } from "./private-key.ts";
import { importPublicKey } from "./public-key.ts";

test("opens data with a private key in PEM, whatever stands around it", async () => {
  const recipient = await importPublicKey(DATA_VECTORS.publicKeyPem);
  const unwrap = await importDataPrivateKey(`\n${DATA_VECTORS.privateKeyPem.replaceAll("\n", "\r\n")}\n`);
  const opened = openData(sealData(Buffer.from("hello"), recipient), unwrap);
  assert.equal(await new Response(opened).text(), "hello");
});

test("refuses everything else, and quotes nothing of it", async (t) => {
  const key = createPrivateKey(DATA_VECTORS.privateKeyPem);
  const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const pkcs8 = { format: "pem", type: "pkcs8" } as const;
  const damaged = DATA_VECTORS.privateKeyPem.replace(/\n.{64}\n/, "\n");
  const cases: Record<string, [string | Buffer, string]> = {
    nothing: ["", "private key is not a PEM block of type PRIVATE KEY"],
    "a public key": [DATA_VECTORS.publicKeyPem, "private key is not a PEM block of type PRIVATE KEY"],
    "PKCS #1": [
      key.export({ format: "pem", type: "pkcs1" }),
      "private key is not a PEM block of type PRIVATE KEY",
    ],
    "two keys": [DATA_VECTORS.privateKeyPem.repeat(2), "private key is not a PEM block of type PRIVATE KEY"],
    "an encrypted key": [
      key.export({ ...pkcs8, cipher: "aes-256-cbc", passphrase: "x" }),
      "private key is encrypted, expected one without a passphrase",
    ],
    "a key of a curve": [ec.export(pkcs8), "private key is not an RSA key in PKCS #8"],
    "a damaged key": [damaged, "private key is not an RSA key in PKCS #8"],
  };
  for (const [name, [pem, message]] of Object.entries(cases)) {
    await t.test(name, async () => {
      await assert.rejects(importDataPrivateKey(String(pem)), (error) => {
        assert.ok(error instanceof PolarisError);
        assert.deepEqual([error.code, error.message, error.cause], ["USAGE_INVALID", message, undefined]);
        return true;
      });
    });
  }
});
