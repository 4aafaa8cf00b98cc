import { createHash, createPrivateKey, X509Certificate } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { getCACertificates } from "node:tls";
import { errnoOf } from "../atomic-file.ts";
import type { Plan } from "../plan.ts";
import type { Finding } from "../target.ts";
import { LOCAL_HOST } from "./endpoints.ts";
import type { StackPaths } from "./stack-paths.ts";

/** A chain of certificates has some kilobytes; what is longer is something else. */
const MAX_FILE_BYTES = 1024 * 1024;

/** Permission bits of everybody who is neither the owner nor of the group. */
const OTHERS = 0o007;

/** How long before its end a certificate is worth a word, in milliseconds: two weeks, as the proxy's `--check` has it. */
const NEAR_END_MS = 14 * 24 * 60 * 60 * 1000;

interface SmallFile {
  readonly text: string;
  readonly mode: number;
}

/**
 * What is wrong with `proxy.tls.certificate` and `.key`: files that cannot be read, a key that others can read or that is
 * another certificate's, and what would make every client refuse the endpoint: a wrong time, another host. An end that is
 * near, and an authority that this process does not trust, are warnings: which ones other clients trust is their own.
 *
 * @param authorities  in PEM; those of this Node unless told otherwise, which NODE_EXTRA_CA_CERTS adds to
 */
export async function checkTlsFiles(
  plan: Plan,
  paths: StackPaths,
  { now = new Date(), authorities }: { now?: Date; authorities?: readonly string[] } = {},
): Promise<Finding[]> {
  const { tls } = plan.proxy;
  if (tls.mode !== "files") return [];
  const [certificateFile, keyFile] = await Promise.all([
    readSmallFile(resolve(paths.projectDir, tls.certificate)),
    readSmallFile(resolve(paths.projectDir, tls.key)),
  ]);
  const chain = typeof certificateFile === "string" ? certificateFile : parseCertificates(certificateFile);
  const key = typeof keyFile === "string" ? keyFile : parseKey(keyFile);
  return [
    ...(typeof chain === "string"
      ? [finding("certificate", `${tls.certificate} ${chain}`, "name a file with a certificate in PEM")]
      : [
          ...checkChain(tls.certificate, chain, now),
          ...checkAuthority(tls.certificate, chain, authorities ?? getCACertificates("default")),
        ]),
    ...(typeof key === "string"
      ? [finding("key", `${tls.key} ${key}`, "name a file with a private key in PEM, without a passphrase")]
      : []),
    ...(typeof keyFile !== "string" && (keyFile.mode & OTHERS) !== 0
      ? [finding("key", `every user of this machine can open ${tls.key}`, `chmod o= ${tls.key}`)]
      : []),
    ...(typeof chain === "string" || typeof key === "string" || chain[0]?.checkPrivateKey(key) !== false
      ? []
      : [
          finding(
            "key",
            `${tls.key} is not the key of the certificate in ${tls.certificate}`,
            "name the two files that were made together; the endpoint's own certificate is the first of its file",
          ),
        ]),
  ];
}

/** What the files hold: a change of it is another proxy. Files that cannot be read count as empty. */
export async function hashTlsFiles(plan: Plan, paths: StackPaths): Promise<string | undefined> {
  const { tls } = plan.proxy;
  if (tls.mode !== "files") return undefined;
  const hash = createHash("sha256");
  for (const path of [tls.certificate, tls.key]) {
    const file = await readSmallFile(resolve(paths.projectDir, path));
    hash.update(
      createHash("sha256")
        .update(typeof file === "string" ? "" : file.text)
        .digest(),
    );
  }
  return hash.digest("hex");
}

/** The file, or what is wrong with it. */
async function readSmallFile(path: string): Promise<SmallFile | string> {
  try {
    const facts = await stat(path);
    // What is no plain file may have no end.
    if (!facts.isFile()) return "is not a file";
    if (facts.size > MAX_FILE_BYTES) return `is longer than ${MAX_FILE_BYTES} bytes`;
    return { text: await readFile(path, "latin1"), mode: facts.mode };
  } catch (cause) {
    return errnoOf(cause) === "ENOENT"
      ? "is not there"
      : `cannot be read (${errnoOf(cause) ?? "unknown reason"})`;
  }
}

/** The chain in the order of the file, not empty; or what is wrong with it. */
function parseCertificates({ text }: SmallFile): X509Certificate[] | string {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) return "holds no certificate in PEM";
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch {
    return "holds a certificate that is damaged";
  }
}

/** The key, or what is wrong with it; never anything of its text. */
function parseKey({ text }: SmallFile): KeyObject | string {
  try {
    return createPrivateKey(text);
  } catch {
    return "holds no private key in PEM that can be used without a passphrase";
  }
}

function checkChain(path: string, chain: readonly X509Certificate[], now: Date): Finding[] {
  const renew = "get a certificate that is valid now, and deploy again";
  const findings = chain.flatMap(({ validFromDate, validToDate }, index) => {
    const which = index === 0 ? `the certificate in ${path}` : `certificate ${index + 1} in ${path}`;
    if (now > validToDate) {
      return [finding("certificate", `${which} expired on ${validToDate.toISOString()}`, renew)];
    }
    if (now < validFromDate) {
      return [finding("certificate", `${which} is valid from ${validFromDate.toISOString()} only`, renew)];
    }
    return validToDate.getTime() - now.getTime() < NEAR_END_MS
      ? [warning(`${which} ends on ${validToDate.toISOString()}`, "renew it, and deploy again")]
      : [];
  });
  if (chain[0]?.checkIP(LOCAL_HOST) === undefined) {
    findings.push(
      finding(
        "certificate",
        `the certificate in ${path} does not name the endpoint's host, ${LOCAL_HOST}`,
        `get one with the subject alternative name IP:${LOCAL_HOST}, or use proxy.tls: attested`,
      ),
    );
  }
  return findings;
}

function checkAuthority(
  path: string,
  chain: readonly X509Certificate[],
  authorities: readonly string[],
): Finding[] {
  const trusted = authorities.map((pem) => new X509Certificate(pem));
  if (isTrusted(chain, trusted)) return [];
  return [
    warning(
      `this shell trusts nobody who signed the certificate in ${path}: verify and request will refuse the endpoint`,
      "set NODE_EXTRA_CA_CERTS to a file with the authority's certificate, in the shell of every client",
    ),
  ];
}

/** Whether signatures lead from the first certificate, through the others, to a trusted one. */
function isTrusted(chain: readonly X509Certificate[], trusted: readonly X509Certificate[]): boolean {
  const isSignedBy = (one: X509Certificate, issuer: X509Certificate): boolean =>
    one.checkIssued(issuer) && one.verify(issuer.publicKey);
  let [current, ...others] = chain;
  while (current !== undefined) {
    const subject: X509Certificate = current;
    const ends = trusted.some((one) => one.raw.equals(subject.raw) || isSignedBy(subject, one));
    if (ends) return true;
    current = others.find((one) => isSignedBy(subject, one));
    others = others.filter((one) => one !== current);
  }
  return false;
}

function warning(problem: string, hint: string): Finding {
  return { ...finding("certificate", problem, hint), isWarning: true };
}

function finding(key: "certificate" | "key", problem: string, hint: string): Finding {
  return { check: "tls-files", where: `proxy.tls.${key}`, problem, hint };
}
