import { X509Certificate, createPrivateKey, createPublicKey, generateKeyPair } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import type { TlsOptions } from "node:tls";
import { promisify } from "node:util";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { TlsSettings } from "./proxy-settings.ts";
import { NO_EXPIRATION, createSelfSignedCertificate } from "./self-signed-certificate.ts";

/** What the proxy shows to TLS clients. */
export interface TlsIdentity {
  /** The certificate and, from files, those that vouch for it, in PEM. */
  readonly certificatePem: string;
  /** PKCS #8 in PEM. */
  readonly privateKeyPem: string;
  /** SubjectPublicKeyInfo of the certificate's key in DER. */
  readonly publicKeySpki: Uint8Array;
  /** True if the key was born in this process, so that evidence may speak for it. */
  readonly bound: boolean;
  readonly notAfter: Date;
}

/**
 * Makes or reads the identity of the TLS server.
 *
 * `attested`: an EC P-256 key that was never outside this process, and a certificate that only it vouches for. `files`: a
 * certificate chain, the server's own first, and its key; whoever wrote them may have the key, so nothing is bound to it.
 *
 * @throws {PolarisError} TLS_FILES_INVALID naming the file, and never what is in it
 */
export async function loadTlsIdentity(
  settings: Exclude<TlsSettings, { mode: "off" }>,
  nowMs: number = Date.now(),
): Promise<TlsIdentity> {
  return settings.mode === "attested" ? await createIdentity(nowMs) : await readIdentity(settings, nowMs);
}

/** How the server speaks TLS. */
export function tlsServerOptions(
  identity: Pick<TlsIdentity, "certificatePem" | "privateKeyPem">,
): Required<Pick<TlsOptions, "cert" | "key" | "minVersion" | "ALPNProtocols">> {
  return {
    cert: identity.certificatePem,
    key: identity.privateKeyPem,
    minVersion: "TLSv1.2",
    ALPNProtocols: ["h2", "http/1.1"],
  };
}

async function createIdentity(nowMs: number): Promise<TlsIdentity> {
  const keys = await promisify(generateKeyPair)("ec", { namedCurve: "P-256" });
  return {
    certificatePem: createSelfSignedCertificate(keys, nowMs),
    privateKeyPem: exportPrivateKey(keys.privateKey),
    publicKeySpki: exportPublicKey(keys.publicKey),
    bound: true,
    notAfter: NO_EXPIRATION,
  };
}

async function readIdentity(
  { certificateFile, keyFile }: Extract<TlsSettings, { mode: "files" }>,
  nowMs: number,
): Promise<TlsIdentity> {
  const [chainPem, keyPem] = await Promise.all([readText(certificateFile), readText(keyFile)]);
  const blocks = chainPem.match(CERTIFICATE_BLOCK) ?? [];
  const certificate = parseChain(certificateFile, blocks);
  const privateKey = parseKey(keyFile, keyPem);
  if (!certificate.checkPrivateKey(privateKey)) {
    throw invalid(`the key in ${keyFile} is not that of the first certificate in ${certificateFile}`, {
      hint: "put the server's own certificate first, those of its issuers behind it",
    });
  }
  const identity: TlsIdentity = {
    certificatePem: `${blocks.join("\n")}\n`,
    privateKeyPem: exportPrivateKey(privateKey),
    publicKeySpki: exportPublicKey(createPublicKey(privateKey)),
    bound: false,
    notAfter: certificate.validToDate,
  };
  try {
    createSecureContext(tlsServerOptions(identity));
  } catch (cause) {
    throw invalid(`TLS does not take the certificate in ${certificateFile} with the key in ${keyFile}`, {
      cause,
    });
  }
  checkValidity(certificateFile, certificate, nowMs);
  return identity;
}

async function readText(file: string): Promise<string> {
  return await readFile(file, "utf8").catch((cause: unknown) => {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "unknown reason";
    throw invalid(`cannot read ${file} (${code})`, { cause });
  });
}

const CERTIFICATE_BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The first certificate of a chain; all of them have to be readable. */
function parseChain(file: string, blocks: readonly string[]): X509Certificate {
  let chain: X509Certificate[];
  try {
    chain = blocks.map((block) => new X509Certificate(block));
  } catch (cause) {
    throw invalid(`${file} holds a certificate that cannot be read`, { cause });
  }
  const [own] = chain;
  if (own === undefined) throw invalid(`${file} holds no certificate in PEM`);
  return own;
}

function parseKey(file: string, pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    if (pem.includes("ENCRYPTED")) {
      throw invalid(`the key in ${file} is encrypted, expected one without a passphrase`, { cause });
    }
    throw invalid(`${file} holds no private key in PEM`, { cause });
  }
}

function checkValidity(file: string, { validFromDate, validToDate }: X509Certificate, nowMs: number): void {
  if (nowMs < validFromDate.getTime()) {
    throw invalid(`the certificate in ${file} is not valid before ${validFromDate.toISOString()}`);
  }
  if (nowMs > validToDate.getTime()) {
    throw invalid(`the certificate in ${file} expired at ${validToDate.toISOString()}`);
  }
}

function exportPrivateKey(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" });
}

function exportPublicKey(key: KeyObject): Uint8Array {
  return new Uint8Array(key.export({ type: "spki", format: "der" }));
}

function invalid(message: string, options: { hint?: string; cause?: unknown } = {}): PolarisError {
  return new PolarisError("TLS_FILES_INVALID", message, options);
}
