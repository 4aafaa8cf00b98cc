import { createHash, createPrivateKey, createPublicKey, generateKeyPair, type KeyObject } from "node:crypto";
import { promisify } from "node:util";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { exportJWK, type JWK } from "jose";
import { readFileIfPresent, writeFileDurably } from "./durable-file.ts";

/** RS256 key of an issuer, with the public half as it is published. */
export interface SigningKey {
  readonly privateKey: KeyObject;
  readonly publicJwk: JWK & { readonly kid: string };
}

const MODULUS_BITS = 2048;

/** A new signing key, generated off the event loop. */
export async function generateSigningKey(): Promise<SigningKey> {
  const { privateKey } = await promisify(generateKeyPair)("rsa", { modulusLength: MODULUS_BITS });
  return describeSigningKey(privateKey);
}

/**
 * The key in the file (PKCS #8, PEM); a new one is made only if there is no file.
 *
 * @throws {PolarisError} STATE_CORRUPT if the file holds anything else
 */
export async function loadSigningKey(path: string): Promise<SigningKey> {
  const pem = await readFileIfPresent(path);
  if (pem !== undefined) return describeSigningKey(parsePrivateKey(pem, MODULUS_BITS, path));
  const key = await generateSigningKey();
  await writeFileDurably(path, key.privateKey.export({ type: "pkcs8", format: "pem" }));
  return key;
}

/**
 * An RSA private key from a file's content.
 *
 * @throws {PolarisError} STATE_CORRUPT
 */
export function parsePrivateKey(pem: string, modulusBits: number, path: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: pem, format: "pem" });
  } catch (cause) {
    throw new PolarisError("STATE_CORRUPT", `${path} does not hold a private key`, { hint: RESTORE, cause });
  }
  const bits = key.asymmetricKeyDetails?.modulusLength;
  if (key.asymmetricKeyType !== "rsa" || bits !== modulusBits) {
    throw new PolarisError("STATE_CORRUPT", `${path} holds another kind of key than RSA-${modulusBits}`, {
      hint: RESTORE,
    });
  }
  return key;
}

/** What to do about a broken key file: a new key in its place would be another identity. */
export const RESTORE = "restore the file from a backup, or remove the trust folder to start with new keys";

async function describeSigningKey(privateKey: KeyObject): Promise<SigningKey> {
  const publicKey = createPublicKey(privateKey);
  const spki = publicKey.export({ type: "spki", format: "der" });
  const kid = createHash("sha256").update(spki).digest("hex").slice(0, 40);
  return { privateKey, publicJwk: { ...(await exportJWK(publicKey)), kid, use: "sig", alg: "RS256" } };
}
