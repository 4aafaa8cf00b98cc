import { decodeBase64Url, encodeBase64Url } from "./base64.ts";
import { PolarisError } from "./errors.ts";
import { encodeHex } from "./hex.ts";
import { readSystemJson, type SystemRequestOptions } from "./system-request.ts";

/** Audience of every token that is shown to clients; never the one that a cloud's token service accepts. */
export const ATTESTATION_AUDIENCE = "polaris-attestation-v1";

/** Length of a verifier's nonce, in bytes. */
export const NONCE_BYTES = 32;

/** The cipher suite of wire v1 as the document names it. */
export const ENVELOPE_ALGORITHM = "RSA-OAEP-256+A256GCM";

/** Separates these hashes from any other use of SHA-256 over similar bytes; ends with a zero byte. */
const BINDING_DOMAIN = "polaris-key-binding-v1\0";

/** Where the private key was born: in this start of the proxy, or in a key service that releases it to this machine. */
export type KeyOrigin =
  | { readonly kind: "ephemeral" }
  | { readonly kind: "google-kms"; readonly keyVersion: string };

/** What an endpoint says about itself; everything here is a claim until verify-attestation.ts has checked it. */
export interface AttestationDocument {
  readonly version: 1;
  /** `<name>/<stack>`, e.g. `hello/default`. */
  readonly stack: string;
  readonly algorithm: typeof ENVELOPE_ALGORITHM;
  /** SPKI in PEM. */
  readonly publicKey: string;
  /** `sha256:<64 lowercase hex>` of the SPKI DER. */
  readonly keyId: string;
  readonly keyOrigin: KeyOrigin;
  /** Base64url of the {@link NONCE_BYTES} bytes that the verifier sent. */
  readonly nonce: string;
  /** Lowercase hex of {@link computeBinding}; the token's `eat_nonce`. */
  readonly binding: string;
  /**
   * {@link hashPublicKey} of the TLS key, if it was born in this start of the proxy; null without TLS, and for a key that
   * came from files: no evidence speaks for that one.
   */
  readonly tlsPublicKeySha256: string | null;
  readonly evidence: readonly [{ readonly type: "oidc-token"; readonly token: string }];
  readonly issuedAtUnixSeconds: number;
}

/** What evidence is bound to: this stack, this verifier's nonce, this key, and the TLS key if there is one. */
export interface BindingInput {
  readonly stack: string;
  /** {@link NONCE_BYTES} bytes. */
  readonly nonce: Uint8Array;
  /** SPKI DER of the envelope key. */
  readonly spki: Uint8Array;
  /** SPKI DER of the TLS key that was born with the proxy. */
  readonly tlsSpki?: Uint8Array | undefined;
}

/**
 * The 32 bytes that evidence carries for a key:
 * `SHA-256("polaris-key-binding-v1\0" | u16 BE length of stack | stack | nonce | SHA-256(SPKI) | SHA-256(TLS SPKI))`,
 * with 32 zero bytes in the last place if there is no such TLS key. Each field has a fixed length or is preceded by it, so
 * that no two inputs give the same bytes.
 */
export async function computeBinding({
  stack,
  nonce,
  spki,
  tlsSpki,
}: BindingInput): Promise<Uint8Array<ArrayBuffer>> {
  return await bind(stack, nonce, spki, tlsSpki === undefined ? NO_TLS_KEY : await sha256(tlsSpki));
}

/**
 * The binding that a document's own words give: for a verifier, who has the TLS key's hash only.
 *
 * @param spki  SPKI DER of the document's `publicKey`
 */
export async function computeDocumentBinding(
  document: Pick<AttestationDocument, "stack" | "nonce" | "tlsPublicKeySha256">,
  spki: Uint8Array,
): Promise<Uint8Array<ArrayBuffer>> {
  const { stack, nonce, tlsPublicKeySha256 } = document;
  const tlsKeyHash = tlsPublicKeySha256 === null ? NO_TLS_KEY : parseKeyHash(tlsPublicKeySha256);
  return await bind(stack, decodeBase64Url(nonce) ?? new Uint8Array(), spki, tlsKeyHash);
}

/** `sha256:<64 lowercase hex>` of a public key's SPKI DER: how documents name keys. */
export async function hashPublicKey(spki: Uint8Array): Promise<string> {
  return `sha256:${encodeHex(await sha256(spki))}`;
}

/** In the place of a TLS key's hash: no SHA-256 that anybody knows an input of. */
const NO_TLS_KEY = new Uint8Array(32);

async function bind(
  stack: string,
  nonce: Uint8Array,
  spki: Uint8Array,
  tlsKeyHash: Uint8Array,
): Promise<Uint8Array<ArrayBuffer>> {
  const utf8 = new TextEncoder();
  const stackBytes = utf8.encode(stack);
  if (stackBytes.length > 0xffff) throw new TypeError("stack name is longer than 65535 bytes");
  if (nonce.length !== NONCE_BYTES) throw new TypeError(`nonce is not ${NONCE_BYTES} bytes long`);
  const bytes = new Uint8Array([
    ...utf8.encode(BINDING_DOMAIN),
    stackBytes.length >> 8,
    stackBytes.length & 255,
    ...stackBytes,
    ...nonce,
    ...(await sha256(spki)),
    ...tlsKeyHash,
  ]);
  return await sha256(bytes);
}

async function sha256(bytes: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new Uint8Array(bytes)));
}

/** The 32 bytes of {@link hashPublicKey}'s text. */
function parseKeyHash(text: string): Uint8Array {
  const hex = text.slice("sha256:".length);
  return Uint8Array.from({ length: 32 }, (_, at) => Number.parseInt(hex.slice(at * 2, at * 2 + 2), 16));
}

/** A fresh nonce for one verification. */
export function createNonce(): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
}

/**
 * Asks an endpoint for evidence over a nonce.
 *
 * @throws {PolarisError} EVIDENCE_MALFORMED, and as {@link fetchAttestationJson} does
 */
export async function fetchAttestationDocument(
  endpoint: string | URL,
  nonce: Uint8Array,
  options: SystemRequestOptions = {},
): Promise<AttestationDocument> {
  return parseAttestationDocument(await fetchAttestationJson(endpoint, nonce, options));
}

/**
 * Asks an endpoint for evidence over a nonce and returns the JSON of its answer, whatever is in it.
 *
 * @throws {PolarisError} ATTESTATION_UNAVAILABLE (the endpoint has no evidence now), EVIDENCE_MALFORMED for an answer that
 *   is not JSON, ENDPOINT_UNREACHABLE, TIMEOUT, USAGE_INVALID for another URL than an endpoint's
 */
export async function fetchAttestationJson(
  endpoint: string | URL,
  nonce: Uint8Array,
  options: SystemRequestOptions = {},
): Promise<unknown> {
  const document = {
    name: "an attestation document",
    path: `attestation?nonce=${encodeBase64Url(nonce)}`,
    unavailableCode: "ATTESTATION_UNAVAILABLE",
  } as const;
  return await readSystemJson(endpoint, document, options);
}

/**
 * Reads a document; an unknown or missing member is refused, so that both sides mean the same by it.
 *
 * @param json  the parsed JSON
 * @throws {PolarisError} EVIDENCE_MALFORMED
 */
export function parseAttestationDocument(json: unknown): AttestationDocument {
  const document = readObject("document", json, DOCUMENT_MEMBERS);
  expectThat(document["version"] === 1, "version is not 1");
  expectThat(document["algorithm"] === ENVELOPE_ALGORITHM, `algorithm is not ${ENVELOPE_ALGORITHM}`);
  const nonce = readText(document, "nonce", /^[A-Za-z0-9_-]{43}$/);
  expectThat(decodeBase64Url(nonce) !== undefined, "nonce is not base64url");
  const issuedAtUnixSeconds = document["issuedAtUnixSeconds"];
  expectThat(Number.isSafeInteger(issuedAtUnixSeconds), "issuedAtUnixSeconds is not an integer");
  return {
    version: 1,
    stack: readText(document, "stack", /^[A-Za-z0-9][\w.-]{0,62}\/[A-Za-z0-9][\w.-]{0,62}$/),
    algorithm: ENVELOPE_ALGORITHM,
    publicKey: readText(document, "publicKey", /^-----BEGIN PUBLIC KEY-----/),
    keyId: readText(document, "keyId", KEY_HASH),
    keyOrigin: readKeyOrigin(document["keyOrigin"]),
    nonce,
    binding: readText(document, "binding", /^[0-9a-f]{64}$/),
    tlsPublicKeySha256:
      document["tlsPublicKeySha256"] === null ? null : readText(document, "tlsPublicKeySha256", KEY_HASH),
    evidence: [readEvidence(document["evidence"])],
    issuedAtUnixSeconds: issuedAtUnixSeconds as number,
  };
}

const KEY_HASH = /^sha256:[0-9a-f]{64}$/;

const DOCUMENT_MEMBERS = [
  "version",
  "stack",
  "algorithm",
  "publicKey",
  "keyId",
  "keyOrigin",
  "nonce",
  "binding",
  "tlsPublicKeySha256",
  "evidence",
  "issuedAtUnixSeconds",
] as const satisfies (keyof AttestationDocument)[];

function readKeyOrigin(value: unknown): KeyOrigin {
  const kind = typeof value === "object" && value !== null && "kind" in value ? value.kind : undefined;
  switch (kind) {
    case "ephemeral":
      readObject("keyOrigin", value, ["kind"]);
      return { kind };
    case "google-kms": {
      const origin = readObject("keyOrigin", value, ["kind", "keyVersion"]);
      return { kind, keyVersion: readText(origin, "keyVersion", /^projects\/[\w/.:-]{1,1000}$/) };
    }
    default:
      throw malformed("keyOrigin.kind is not known");
  }
}

function readEvidence(value: unknown): AttestationDocument["evidence"][0] {
  expectThat(Array.isArray(value) && value.length === 1, "evidence is not a list of one");
  const evidence = readObject("evidence", (value as unknown[])[0], ["type", "token"]);
  expectThat(evidence["type"] === "oidc-token", "evidence is not of type oidc-token");
  return { type: "oidc-token", token: readText(evidence, "token", /^[A-Za-z0-9_.-]{1,65536}$/) };
}

/** An object with exactly these members. */
function readObject(what: string, value: unknown, members: readonly string[]): Record<string, unknown> {
  expectThat(
    typeof value === "object" && value !== null && !Array.isArray(value),
    `${what} is not an object`,
  );
  const object = value as Record<string, unknown>;
  for (const member of members) expectThat(Object.hasOwn(object, member), `${what} has no member ${member}`);
  expectThat(Object.keys(object).length === members.length, `${what} has an unknown member`);
  return object;
}

function readText(object: Record<string, unknown>, member: string, pattern: RegExp): string {
  const value = object[member];
  if (typeof value !== "string" || !pattern.test(value)) throw malformed(`${member} is not as expected`);
  return value;
}

function expectThat(holds: boolean, problem: string): void {
  if (!holds) throw malformed(problem);
}

function malformed(problem: string): PolarisError {
  return new PolarisError("EVIDENCE_MALFORMED", `attestation document: ${problem}`);
}
