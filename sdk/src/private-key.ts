import { decodeBase64 } from "./base64.ts";
import { toDataKeyUnwrap, type DataKeyUnwrap } from "./data-at-rest.ts";
import { dataOpenFailed } from "./data-format.ts";
import { PolarisError } from "./errors.ts";
import { encodeHex } from "./hex.ts";
import { KEY_WRAP_ALGORITHM } from "./public-key.ts";

/**
 * Opens data with a private key that a person keeps.
 *
 * @param pem  one `PRIVATE KEY` block (PKCS #8, not encrypted) of an RSA key
 * @returns unwraps for data that names this key, and no other
 * @throws {PolarisError} USAGE_INVALID for anything else, without a word of what it holds
 */
export async function importDataPrivateKey(pem: string): Promise<DataKeyUnwrap> {
  const pkcs8 = parsePem(pem);
  const importKey = (extractable: boolean): Promise<CryptoKey> =>
    crypto.subtle.importKey("pkcs8", pkcs8, KEY_WRAP_ALGORITHM, extractable, ["decrypt"]);
  try {
    const ownKeyId = await computeKeyId(await importKey(true));
    const privateKey = await importKey(false);
    const unwrap = toDataKeyUnwrap(
      async (wrapped) =>
        new Uint8Array(
          await crypto.subtle.decrypt(KEY_WRAP_ALGORITHM, privateKey, wrapped as Uint8Array<ArrayBuffer>),
        ),
    );
    return async (request) => {
      if (request.keyId !== ownKeyId) throw dataOpenFailed();
      return await unwrap(request);
    };
  } catch {
    // No cause: what a library says of a key may quote it.
    throw new PolarisError("USAGE_INVALID", "private key is not an RSA key in PKCS #8");
  } finally {
    pkcs8.fill(0);
  }
}

/** The name of the public half, which is in the private key too. */
async function computeKeyId(privateKey: CryptoKey): Promise<string> {
  const { kty, n, e } = await crypto.subtle.exportKey("jwk", privateKey);
  const publicKey = await crypto.subtle.importKey(
    "jwk",
    { kty: kty ?? "", n: n ?? "", e: e ?? "" },
    KEY_WRAP_ALGORITHM,
    true,
    ["encrypt"],
  );
  const spki = await crypto.subtle.exportKey("spki", publicKey);
  return `sha256:${encodeHex(new Uint8Array(await crypto.subtle.digest("SHA-256", spki)))}`;
}

function parsePem(pem: string): Uint8Array<ArrayBuffer> {
  const block = /^\s*-----BEGIN PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END PRIVATE KEY-----\s*$/.exec(
    pem,
  )?.[1];
  const pkcs8 = block === undefined ? undefined : decodeBase64(block.replaceAll(/\s/g, ""));
  if (pkcs8 !== undefined) return pkcs8;
  const isEncrypted = pem.includes("-----BEGIN ENCRYPTED PRIVATE KEY-----");
  throw new PolarisError(
    "USAGE_INVALID",
    isEncrypted
      ? "private key is encrypted, expected one without a passphrase"
      : "private key is not a PEM block of type PRIVATE KEY",
  );
}
