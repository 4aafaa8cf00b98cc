import { randomBytes, sign } from "node:crypto";
import type { KeyObject } from "node:crypto";

/** Clients may be behind by as much: the certificate is valid from before its birth. */
const CLOCK_SKEW_MS = 60 * 60 * 1000;

/** "No well-defined expiration date" (RFC 5280 §4.1.2.5): the key ends with the process, and clients pin it. */
export const NO_EXPIRATION = new Date("9999-12-31T23:59:59Z");

/** Object identifiers in DER, without tag and length. */
const OID = {
  ecdsaWithSha256: "2a8648ce3d040302",
  commonName: "550403",
  subjectAltName: "551d11",
  basicConstraints: "551d13",
  extendedKeyUsage: "551d25",
  serverAuth: "2b06010505070301",
} as const;

/**
 * Makes a self-signed X.509 v3 certificate for a TLS server (RFC 5280) in one fixed shape: CN `polaris`, for `localhost`
 * and the loopback addresses, no CA, no end. Names mean little here: who pins the key needs none.
 *
 * @param keys  an EC P-256 pair; the signature is ECDSA with SHA-256
 * @returns PEM
 */
export function createSelfSignedCertificate(
  keys: { readonly privateKey: KeyObject; readonly publicKey: KeyObject },
  nowMs: number,
): string {
  const algorithm = sequence(oid(OID.ecdsaWithSha256));
  const name = sequence(der(0x31, sequence(oid(OID.commonName), der(0x0c, Buffer.from("polaris")))));
  const toBeSigned = sequence(
    der(0xa0, der(0x02, Buffer.of(2))), // version 3
    der(0x02, randomSerial()),
    algorithm,
    name,
    sequence(time(new Date(nowMs - CLOCK_SKEW_MS)), time(NO_EXPIRATION)),
    name,
    keys.publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(...extensions())),
  );
  const signature = der(0x03, Buffer.of(0), sign("sha256", toBeSigned, keys.privateKey));
  const lines = sequence(toBeSigned, algorithm, signature)
    .toString("base64")
    .match(/.{1,64}/g);
  return ["-----BEGIN CERTIFICATE-----", ...(lines ?? []), "-----END CERTIFICATE-----", ""].join("\n");
}

function extensions(): Buffer[] {
  const names = [
    der(0x82, Buffer.from("localhost")),
    der(0x87, Buffer.of(127, 0, 0, 1)),
    der(0x87, Buffer.concat([Buffer.alloc(15), Buffer.of(1)])),
  ];
  return [
    sequence(oid(OID.basicConstraints), der(0x01, Buffer.of(0xff)), der(0x04, sequence())), // critical; cA false is the default
    sequence(oid(OID.extendedKeyUsage), der(0x04, sequence(oid(OID.serverAuth)))),
    sequence(oid(OID.subjectAltName), der(0x04, sequence(...names))),
  ];
}

/** 16 bytes that are a positive INTEGER without a leading zero (RFC 5280 §4.1.2.2). */
function randomSerial(): Buffer {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes;
}

/** UTCTime through 2049, GeneralizedTime from then on (RFC 5280 §4.1.2.5). */
function time(date: Date): Buffer {
  const text = `${date.toISOString().slice(0, 19).replaceAll(/[-:T]/g, "")}Z`;
  return date.getUTCFullYear() < 2050 ? der(0x17, Buffer.from(text.slice(2))) : der(0x18, Buffer.from(text));
}

function oid(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, "hex"));
}

function sequence(...parts: Buffer[]): Buffer {
  return der(0x30, ...parts);
}

/** Tag, length and content (X.690 §8.1); nothing here is longer than 65535 bytes. */
function der(tag: number, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const octets =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.of(tag, ...octets), content]);
}
