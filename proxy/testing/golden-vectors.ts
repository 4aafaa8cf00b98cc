/** The messages and exchanges of the original SDK and proxy (test/vectors/polaris-v1.json), and their throw-away keys. */
import { constants, createDecipheriv, createPrivateKey, privateDecrypt } from "node:crypto";
import { readFileSync } from "node:fs";
import { createMemoryKeyProvider } from "../src/keys/ephemeral.ts";
import type { KeyProvider } from "../src/keys/key-provider.ts";

interface GoldenVectors {
  readonly containerPrivateKeyPem: string;
  readonly containerPublicKeyPem: string;
  readonly clientPrivateKeyPem: string;
  readonly clientPublicKeyPem: string;
  readonly messages: readonly { name: string; plaintextHex: string; messageBase64: string }[];
  readonly exchanges: readonly {
    name: string;
    requestRawBase64: string;
    responseRawBase64: string;
    workload?: { method: string; url: string; bodyUtf8: string };
    response: { status: number; bodyUtf8: string };
  }[];
}

export const GOLDEN_VECTORS = JSON.parse(
  readFileSync(new URL("../../test/vectors/polaris-v1.json", import.meta.url), "utf8"),
) as GoldenVectors;

/** A provider that holds the key which the golden requests are sealed to. */
export async function createContainerKeyProvider(maxQueuedUnwraps = 256): Promise<KeyProvider> {
  const der = createPrivateKey(GOLDEN_VECTORS.containerPrivateKeyPem).export({
    type: "pkcs8",
    format: "der",
  });
  return createMemoryKeyProvider(new Uint8Array(der), maxQueuedUnwraps);
}

/**
 * Opens base64 text of an envelope by the rules of the original and nothing of ours: JSON header by name, RSA-OAEP with
 * SHA-256 for key and vector, AES-256-GCM.
 */
export function openAsOriginal(base64: string, privateKeyPem: string): Buffer {
  const message = Buffer.from(base64, "base64");
  const bodyStart = 4 + message.readUInt32BE(0);
  const header = JSON.parse(message.toString("utf8", 4, bodyStart)) as Record<string, string>;
  const unwrap = (name: string): Buffer =>
    privateDecrypt(
      { key: privateKeyPem, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" },
      Buffer.from(header[name] ?? "", "base64"),
    );
  const decipher = createDecipheriv("aes-256-gcm", unwrap("wrappedKey"), unwrap("wrappedIV"));
  decipher.setAuthTag(Buffer.from(header["authTag"] ?? "", "base64"));
  return Buffer.concat([decipher.update(message.subarray(bodyStart)), decipher.final()]);
}
