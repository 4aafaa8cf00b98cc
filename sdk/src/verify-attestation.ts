import {
  ATTESTATION_AUDIENCE,
  type AttestationDocument,
  computeDocumentBinding,
  createNonce,
  fetchAttestationJson,
  type KeyOrigin,
  parseAttestationDocument,
} from "./attestation-document.ts";
import { type ClaimPolicy, validateClaims } from "./attestation-policy.ts";
import {
  type AttestationClaims,
  type JSONWebKeySet,
  validateTokenUse,
  verifyTokenSignature,
} from "./attestation-token.ts";
import { encodeBase64Url } from "./base64.ts";
import { type Check, CHECK_IDS, type CheckId } from "./check.ts";
import { type ConnectionKey, checkTlsKey, type TlsExpectation } from "./connection-key.ts";
import { parseEndpoint } from "./endpoint.ts";
import { isPolarisError } from "./errors.ts";
import { encodeHex } from "./hex.ts";
import { chooseFetch, readConnectionKey } from "./pinned-fetch.ts";
import { importPublicKey, type RecipientKey } from "./public-key.ts";
import type { SystemRequestOptions } from "./system-request.ts";

/** What a relying party demands of an endpoint. Nothing here may come from that endpoint. */
export interface AttestationExpectations {
  /** `<name>/<stack>`. */
  readonly stack: string;
  /** The `iss` of the token, to the letter. */
  readonly issuer: string;
  /** The issuer's public keys. */
  readonly jwks: JSONWebKeySet;
  readonly claims: ClaimPolicy;
  /** `sha256:<64 lowercase hex>`; absent if the key is born anew in each start of the proxy. */
  readonly publicKeyFingerprint?: string;
  readonly tls: TlsExpectation;
  /** Lets the token of a simulated machine pass; it proves nothing about hardware. */
  readonly acceptSimulated: boolean;
}

export interface VerificationReport {
  /** True if every check holds. */
  readonly trusted: boolean;
  /** True if the token's signature holds and it says of itself that no hardware stands behind it. */
  readonly simulated: boolean;
  /** Every check of {@link CHECK_IDS}, in that order, also those that could not be made. */
  readonly checks: readonly Check[];
  /** The key to seal to; only if {@link trusted}. */
  readonly publicKey?: RecipientKey;
  /** What the endpoint says about the key; the evidence does not cover it. Only if {@link trusted}. */
  readonly keyOrigin?: KeyOrigin;
}

export type VerifyAttestationOptions = {
  readonly expectations: AttestationExpectations;
  /** Default: the clock. */
  readonly nowUnixSeconds?: number;
} & (
  | ({
      /** The endpoint to ask. */
      readonly url: string | URL;
      /** Default: a fresh one. */
      readonly nonce?: Uint8Array;
    } & SystemRequestOptions)
  | {
      /** Parsed JSON of a document that was asked for with {@link nonce}. */
      readonly document: unknown;
      readonly nonce: Uint8Array;
      /** `sha256:<64 lowercase hex>` of the SPKI that the connection showed which the document came over. */
      readonly tlsPublicKeySha256?: string;
    }
);

/**
 * Verifies an endpoint's evidence and validates it against what is expected. Bad evidence is a report, not an error.
 *
 * Where the TLS key is to be attested, it is that of the connection which the evidence came over. To send over connections
 * with that key and no other, give a `fetch` of {@link createPinnedFetch} and go on with it.
 *
 * @throws {PolarisError} if there is no evidence to look at: ATTESTATION_UNAVAILABLE, EVIDENCE_MALFORMED for an answer that
 *   is not JSON, ENDPOINT_UNREACHABLE, TIMEOUT, USAGE_INVALID for another URL than an endpoint's
 * @throws {PolarisError} EXPECTATIONS_MISSING if the TLS key is to be attested and nobody here can see it: in a browser, or
 *   through a `fetch` that does not tell it
 * @throws the signal's reason once it is aborted
 */
export async function verifyAttestation(options: VerifyAttestationOptions): Promise<VerificationReport> {
  const { expectations } = options;
  const nonce = options.nonce ?? createNonce();
  const nowUnixSeconds = options.nowUnixSeconds ?? Date.now() / 1000;

  const { json, connectionKey } = await readEvidence(options, nonce);
  let document: AttestationDocument;
  let key: RecipientKey;
  try {
    document = parseAttestationDocument(json);
    key = await importPublicKey(document.publicKey);
  } catch (error) {
    if (!isPolarisError(error) || !UNREADABLE.includes(error.code)) throw error;
    return report([failedCheck("document", "a readable document", error.message)], "no readable document");
  }

  const found: Check[] = [
    { id: "document", ok: true, expected: "a readable document", actual: `version ${document.version}` },
    checkNonce(document, nonce),
    checkPublicKey(document, key, expectations.publicKeyFingerprint),
    checkTlsKey(document.tlsPublicKeySha256, connectionKey, expectations.tls),
    {
      id: "stack",
      ok: document.stack === expectations.stack,
      expected: expectations.stack,
      actual: document.stack,
    },
  ];
  const claims = await verifySignature(document, expectations.jwks, found);
  if (claims === undefined) return report(found, "the token is not verified");

  const simulated = /SIMULATED/.test(`${claims.hwmodel} ${claims.swname}`);
  found.push(
    ...validateTokenUse(claims, {
      issuer: expectations.issuer,
      audience: ATTESTATION_AUDIENCE,
      nowUnixSeconds,
    }),
    await checkKeyBinding(document, key, claims),
    ...validateClaims(claims, expectations.claims).map((check) =>
      check.id === "tee" && simulated && !expectations.acceptSimulated ? refuseSimulated(check) : check,
    ),
  );
  const { trusted, checks } = report(found, "not evaluated");
  return {
    trusted,
    simulated,
    checks,
    ...(trusted ? { publicKey: key, keyOrigin: document.keyOrigin } : {}),
  };
}

/** The document, and the key of the connection that it came over. */
async function readEvidence(
  options: VerifyAttestationOptions,
  nonce: Uint8Array,
): Promise<{ json: unknown; connectionKey: ConnectionKey }> {
  if ("document" in options) {
    const { document, tlsPublicKeySha256: sha256 } = options;
    const connectionKey =
      sha256 === undefined ? { unknown: "nobody said which the connection showed" } : { sha256 };
    return { json: document, connectionKey };
  }
  const endpoint = parseEndpoint(options.url);
  const fetch = await chooseFetch(endpoint, options.expectations.tls, options.fetch);
  const json = await fetchAttestationJson(endpoint, nonce, { ...options, fetch });
  return { json, connectionKey: readConnectionKey(endpoint, fetch) };
}

/** What makes a document unreadable. */
const UNREADABLE: readonly string[] = ["EVIDENCE_MALFORMED", "PUBLIC_KEY_INVALID"];

function report(found: readonly Check[], reason: string): VerificationReport {
  const checks = CHECK_IDS.map(
    (id) =>
      found.find((check) => check.id === id) ?? failedCheck(id, "to be checked", `not checked: ${reason}`),
  );
  return { trusted: checks.every((check) => check.ok), simulated: false, checks };
}

function failedCheck(id: CheckId, expected: string, actual: string): Check {
  return { id, ok: false, expected, actual };
}

function checkNonce(document: AttestationDocument, nonce: Uint8Array): Check {
  const expected = encodeBase64Url(nonce);
  return { id: "nonce", ok: document.nonce === expected, expected, actual: document.nonce };
}

function checkPublicKey(
  document: AttestationDocument,
  key: RecipientKey,
  fingerprint: string | undefined,
): Check {
  const { kind } = document.keyOrigin;
  const named = document.keyId === key.keyId;
  const actual = `${kind} key ${key.keyId}${named ? "" : `, named ${document.keyId}`}`;
  return fingerprint === undefined
    ? {
        id: "public-key",
        ok: named && kind === "ephemeral",
        expected: "ephemeral key: born in this start, bound by evidence",
        actual,
      }
    : { id: "public-key", ok: named && key.keyId === fingerprint, expected: fingerprint, actual };
}

/** The claims of a verified token; adds the check `token-signature`. */
async function verifySignature(
  document: AttestationDocument,
  jwks: JSONWebKeySet,
  found: Check[],
): Promise<AttestationClaims | undefined> {
  const expected = "signed by the issuer's key with RS256";
  try {
    const claims = await verifyTokenSignature(document.evidence[0].token, jwks);
    found.push({ id: "token-signature", ok: true, expected, actual: "verified" });
    return claims;
  } catch (error) {
    if (!isPolarisError(error)) throw error;
    found.push(failedCheck("token-signature", expected, error.message));
    return undefined;
  }
}

/** All but the key is the document's own here: whether it is what is expected is for the checks of that name. */
async function checkKeyBinding(
  document: AttestationDocument,
  key: RecipientKey,
  claims: AttestationClaims,
): Promise<Check> {
  const expected = encodeHex(await computeDocumentBinding(document, key.spki));
  const actual = claims.nonces.join(", ");
  return {
    id: "key-binding",
    ok: actual === expected && document.binding === expected,
    expected,
    actual: document.binding === actual ? actual : `${actual}, document says ${document.binding}`,
  };
}

function refuseSimulated(check: Check): Check {
  return { ...check, ok: false, expected: "real hardware", actual: `${check.actual} (simulated)` };
}

/** The ids of the checks that do not hold. */
export function failedChecks(report: VerificationReport): CheckId[] {
  return report.checks.filter((check) => !check.ok).map((check) => check.id);
}
