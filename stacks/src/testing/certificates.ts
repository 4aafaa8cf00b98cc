/** For tests: certificates of an authority that exists for one test only, made by another implementation than ours. */
import { generateKeyPairSync } from "node:crypto";
import forge from "node-forge";

export interface IssuedCertificate {
  /** The certificate in PEM, without the authority's. */
  readonly certificatePem: string;
  readonly keyPem: string;
}

export interface TestAuthority {
  readonly certificatePem: string;
  /** A certificate for the address 127.0.0.1, valid for a month from now, unless told otherwise. */
  issue(options?: {
    readonly host?: string;
    readonly notBefore?: Date;
    readonly notAfter?: Date;
  }): IssuedCertificate;
}

const DAY_MS = 24 * 60 * 60 * 1000;

export function createTestAuthority(): TestAuthority {
  const keys = makeKeys();
  const commonName = "test authority";
  const certificatePem = sign(keys, keys, {
    commonName,
    issuer: commonName,
    extensions: [{ name: "basicConstraints", cA: true, critical: true }],
    notBefore: new Date(Date.now() - DAY_MS),
    notAfter: new Date(Date.now() + 30 * DAY_MS),
  });
  return {
    certificatePem,
    issue({
      host = "127.0.0.1",
      notBefore = new Date(Date.now() - DAY_MS),
      notAfter = new Date(Date.now() + 30 * DAY_MS),
    } = {}) {
      const own = makeKeys();
      const altName = /^[\d.]+$/.test(host) ? { type: 7, ip: host } : { type: 2, value: host };
      const extensions = [{ name: "subjectAltName", altNames: [altName] }];
      const facts = { commonName: "test endpoint", issuer: commonName, extensions, notBefore, notAfter };
      return { certificatePem: sign(own, keys, facts), keyPem: own.privateKey };
    },
  };
}

interface Keys {
  readonly publicKey: string;
  readonly privateKey: string;
}

function makeKeys(): Keys {
  return generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
}

function sign(
  subject: Keys,
  issuer: Keys,
  facts: {
    readonly commonName: string;
    readonly issuer: string;
    readonly extensions: readonly object[];
    readonly notBefore: Date;
    readonly notAfter: Date;
  },
): string {
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(subject.publicKey);
  certificate.serialNumber = "01";
  certificate.validity.notBefore = facts.notBefore;
  certificate.validity.notAfter = facts.notAfter;
  certificate.setSubject([{ name: "commonName", value: facts.commonName }]);
  certificate.setIssuer([{ name: "commonName", value: facts.issuer }]);
  certificate.setExtensions([...facts.extensions]);
  certificate.sign(forge.pki.privateKeyFromPem(issuer.privateKey), forge.md.sha256.create());
  return forge.pki.certificateToPem(certificate).replaceAll("\r\n", "\n");
}
