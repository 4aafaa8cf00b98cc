import { PolarisError, isPolarisError } from "@polaris-cvm/sdk/errors";
import type { Dispatcher } from "undici";
import type { GoogleFederatedKeySettings } from "../environment.ts";
import { crc32c } from "./crc32c.ts";
import { envelopeOpenFailed, readPublicKey } from "./key-provider.ts";
import type { ProviderPublicKey } from "./key-provider.ts";
import { refusal, requestService } from "./service-request.ts";
import type { ServiceAnswer } from "./service-request.ts";

const SERVICE = "the key service";

/** One version of a key in Cloud KMS. */
export interface KmsKeyVersion {
  /** Origin of the key service. */
  readonly kmsUrl: string;
  /** `projects/…/cryptoKeyVersions/<n>` */
  readonly name: string;
}

export function kmsKeyVersion(settings: GoogleFederatedKeySettings, version: number): KmsKeyVersion {
  const { kmsUrl, project, location, keyRing, key } = settings;
  const name = `projects/${project}/locations/${location}/keyRings/${keyRing}/cryptoKeys/${key}/cryptoKeyVersions/${version}`;
  return { kmsUrl, name };
}

/**
 * Fetches the public key of a version and checks that it came whole, is the one asked for, and is for RSA-OAEP-SHA256.
 *
 * @throws {PolarisError} KEY_UNAVAILABLE, KEY_RELEASE_DENIED; see {@link isVersionUnusable}
 */
export async function getPublicKey(
  { kmsUrl, name }: KmsKeyVersion,
  agent: Dispatcher,
  accessToken: string,
  signal: AbortSignal,
): Promise<ProviderPublicKey> {
  const url = `${kmsUrl}/v1/${name}/publicKey`;
  const answer = await requestService(agent, { service: SERVICE, method: "GET", url, accessToken }, signal);
  if (answer.status !== 200) throw refusalOfKeyService(answer, name);

  const { pem, pemCrc32c, algorithm } = answer.json;
  if (answer.json["name"] !== name) throw damaged("another key version than the one asked for");
  if (typeof pem !== "string" || !isChecksumOf(pemCrc32c, Buffer.from(pem))) {
    throw damaged("a public key that does not match its checksum");
  }
  if (typeof algorithm !== "string" || !/^RSA_DECRYPT_OAEP_\d+_SHA256$/.test(algorithm)) {
    throw damaged("a key that is not for RSA-OAEP with SHA-256");
  }
  try {
    return readPublicKey(pem, { kind: "google-kms", keyVersion: name });
  } catch (cause) {
    throw damaged("a public key that cannot be read", cause);
  }
}

/**
 * Unwraps one value. Cloud KMS gives and takes a CRC-32C with every byte string; a mismatch means that bytes changed on
 * the way: asking again is safe, using them is not (Cloud KMS, "Verifying end-to-end data integrity").
 *
 * @throws {PolarisError} KEY_UNAVAILABLE, KEY_RELEASE_DENIED, see {@link isVersionUnusable}; ENVELOPE_OPEN_FAILED if the
 *   key service says that the ciphertext is not one
 */
export async function asymmetricDecrypt(
  { kmsUrl, name }: KmsKeyVersion,
  agent: Dispatcher,
  accessToken: string,
  wrapped: Uint8Array,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const answer = await requestService(
    agent,
    {
      service: SERVICE,
      method: "POST",
      url: `${kmsUrl}/v1/${name}:asymmetricDecrypt`,
      accessToken,
      body: { ciphertext: toBase64(wrapped), ciphertextCrc32c: String(crc32c(wrapped)) },
    },
    signal,
  );
  if (answer.status === 400 && isWrongCiphertext(answer)) throw envelopeOpenFailed();
  if (answer.status !== 200) throw refusalOfKeyService(answer, name);

  const { plaintext, plaintextCrc32c, verifiedCiphertextCrc32c } = answer.json;
  if (verifiedCiphertextCrc32c !== true) throw damaged("that it has not checked the ciphertext");
  const value = typeof plaintext === "string" ? Buffer.from(plaintext, "base64") : undefined;
  if (value === undefined || !isChecksumOf(plaintextCrc32c, value)) {
    throw damaged("a value that does not match its checksum");
  }
  return value;
}

/** An int64 of protobuf's JSON is a decimal string. */
function isChecksumOf(checksum: unknown, bytes: Uint8Array): boolean {
  return checksum === String(crc32c(bytes));
}

/**
 * Status 400 has several meanings: INVALID_ARGUMENT is the ciphertext's fault, unless it arrived damaged (then the text
 * names the checksum); FAILED_PRECONDITION is a key version that is not enabled.
 */
function isWrongCiphertext({ json }: ServiceAnswer): boolean {
  const { status, message } = readError(json);
  return status === "INVALID_ARGUMENT" && !/crc32c|checksum/i.test(message);
}

function refusalOfKeyService(answer: ServiceAnswer, name: string): PolarisError {
  const isNotEnabled = answer.status === 400 && readError(answer.json).status === "FAILED_PRECONDITION";
  if (isNotEnabled || answer.status === 404) {
    const problem = isNotEnabled ? "is not enabled" : "is not there";
    return new PolarisError("KEY_UNAVAILABLE", `version ${name.split("/").at(-1)} of the key ${problem}`, {
      details: { status: answer.status, isUnusable: true },
    });
  }
  if (answer.status === 400) return damaged("that it cannot serve the request now");
  return refusal(SERVICE, answer);
}

/** True if the key service knows us and says that there is no such version, or that it is disabled or destroyed. */
export function isVersionUnusable(error: unknown): boolean {
  return isPolarisError(error) && error.details?.["isUnusable"] === true;
}

function readError(json: Readonly<Record<string, unknown>>): { status: string; message: string } {
  const error = (json["error"] ?? {}) as { status?: unknown; message?: unknown };
  return { status: String(error.status), message: String(error.message) };
}

function damaged(what: string, cause?: unknown): PolarisError {
  return new PolarisError("KEY_UNAVAILABLE", `${SERVICE} answered ${what}`, { cause });
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}
