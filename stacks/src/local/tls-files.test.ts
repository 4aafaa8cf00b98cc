import assert from "node:assert/strict";
import { chmod, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { after, before, test } from "node:test";
import { planStack } from "../plan.ts";
import { createTestAuthority } from "../testing/certificates.ts";
import { sampleConfig, sampleLock, samplePaths } from "../testing/sample-stack.ts";
import { checkTlsFiles, hashTlsFiles } from "./tls-files.ts";

const authority = createTestAuthority();
const endpoint = authority.issue();
const stranger = authority.issue();
const TRUSTED = [authority.certificatePem];

const planOf = (tls: string) => planStack(sampleConfig(`proxy: { tls: ${tls} }`), "staging", sampleLock);
const plan = planOf("{ certificate: endpoint.crt, key: endpoint.key }");

let projectDir: string;
before(async () => {
  projectDir = await mkdtemp(join(tmpdir(), "polaris-tls-files-"));
});
after(() => rm(projectDir, { recursive: true }));

/** Findings as `<key>: <problem>`. */
async function problemsOf(certificate: string, key: string, keyMode = 0o600): Promise<string[]> {
  await writeFile(join(projectDir, "endpoint.crt"), certificate);
  await rm(join(projectDir, "endpoint.key"), { force: true });
  await writeFile(join(projectDir, "endpoint.key"), key);
  await chmod(join(projectDir, "endpoint.key"), keyMode);
  const findings = await checkTlsFiles(plan, { ...samplePaths, projectDir }, { authorities: TRUSTED });
  for (const { check, where, problem, hint } of findings) {
    assert.equal(check, "tls-files");
    assert.match(where, /^proxy\.tls\.(certificate|key)$/);
    assert.doesNotMatch(`${problem}${hint}`, /-----BEGIN|\n/);
  }
  return findings.map(({ where, problem }) => `${where.replace("proxy.tls.", "")}: ${problem}`);
}

test("a certificate for the endpoint with its chain and its key is in nobody's way", async () => {
  const chain = endpoint.certificatePem + authority.certificatePem;
  assert.deepEqual(await problemsOf(chain, endpoint.keyPem), []);
  assert.deepEqual(await problemsOf(chain, endpoint.keyPem, 0o640), []);
});

test("nothing is looked at where no files are configured", async () => {
  const elsewhere = { ...samplePaths, projectDir: "/nonexistent" };
  for (const tls of ["off", "attested"]) {
    assert.deepEqual(await checkTlsFiles(planOf(tls), elsewhere), []);
    assert.equal(await hashTlsFiles(planOf(tls), elsewhere), undefined);
  }
});

test("files that are not there, or are no files, are found both at once", async () => {
  await rm(join(projectDir, "endpoint.crt"), { force: true });
  await rm(join(projectDir, "endpoint.key"), { force: true });
  await symlink("/dev/zero", join(projectDir, "endpoint.key"));
  const findings = await checkTlsFiles(plan, { ...samplePaths, projectDir });
  assert.deepEqual(
    findings.map(({ where, problem }) => `${where}: ${problem}`),
    ["proxy.tls.certificate: endpoint.crt is not there", "proxy.tls.key: endpoint.key is not a file"],
  );
});

test("a key that other users can open is found", async () => {
  for (const mode of [0o604, 0o602, 0o601]) {
    assert.deepEqual(await problemsOf(endpoint.certificatePem, endpoint.keyPem, mode), [
      "key: every user of this machine can open endpoint.key",
    ]);
  }
});

test("a key of another certificate, and an issuer before the endpoint's own, are found", async () => {
  const problem = ["key: endpoint.key is not the key of the certificate in endpoint.crt"];
  assert.deepEqual(await problemsOf(endpoint.certificatePem, stranger.keyPem), problem);
  const chain = authority.certificatePem + endpoint.certificatePem;
  assert.deepEqual(await problemsOf(chain, endpoint.keyPem), [
    "certificate: the certificate in endpoint.crt does not name the endpoint's host, 127.0.0.1",
    ...problem,
  ]);
});

test("a certificate for another host or another time is found", async () => {
  const elsewhere = authority.issue({ host: "shop.example" });
  assert.deepEqual(await problemsOf(elsewhere.certificatePem, elsewhere.keyPem), [
    "certificate: the certificate in endpoint.crt does not name the endpoint's host, 127.0.0.1",
  ]);
  const early = authority.issue({ notBefore: new Date("2020-01-01"), notAfter: new Date("2020-02-01") });
  assert.deepEqual(await problemsOf(early.certificatePem, early.keyPem), [
    "certificate: the certificate in endpoint.crt expired on 2020-02-01T00:00:00.000Z",
  ]);
  const late = authority.issue({ notBefore: new Date("2120-01-01"), notAfter: new Date("2120-02-01") });
  assert.deepEqual(await problemsOf(late.certificatePem, late.keyPem), [
    "certificate: the certificate in endpoint.crt is valid from 2120-01-01T00:00:00.000Z only",
  ]);
  assert.deepEqual(await problemsOf(endpoint.certificatePem + early.certificatePem, endpoint.keyPem), [
    "certificate: certificate 2 in endpoint.crt expired on 2020-02-01T00:00:00.000Z",
  ]);
});

test("a certificate that ends within two weeks is a warning, and nothing more", async () => {
  await problemsOf(endpoint.certificatePem, endpoint.keyPem);
  const end = new X509Certificate(endpoint.certificatePem).validToDate;
  const check = (msBefore: number) =>
    checkTlsFiles(
      plan,
      { ...samplePaths, projectDir },
      { authorities: TRUSTED, now: new Date(end.getTime() - msBefore) },
    );
  const twoWeeksMs = 14 * 24 * 60 * 60 * 1000;
  assert.deepEqual(await check(twoWeeksMs), []);
  assert.deepEqual(await check(twoWeeksMs - 1), [
    {
      check: "tls-files",
      where: "proxy.tls.certificate",
      problem: `the certificate in endpoint.crt ends on ${end.toISOString()}`,
      hint: "renew it, and deploy again",
      isWarning: true,
    },
  ]);
});

test("an authority that this process does not trust is a warning that names NODE_EXTRA_CA_CERTS", async () => {
  const other = createTestAuthority();
  const check = async (certificate: string, authorities?: readonly string[]) => {
    await problemsOf(certificate, endpoint.keyPem);
    return checkTlsFiles(
      plan,
      { ...samplePaths, projectDir },
      authorities === undefined ? {} : { authorities },
    );
  };
  const chain = endpoint.certificatePem + authority.certificatePem;
  assert.deepEqual(await check(chain, [other.certificatePem, ...TRUSTED]), []);
  assert.deepEqual(await check(endpoint.certificatePem, [endpoint.certificatePem]), []);
  // The other authority has the same name: only the signature tells.
  for (const authorities of [[other.certificatePem], [], undefined]) {
    const findings = await check(chain, authorities);
    assert.deepEqual(
      findings.map(({ where, isWarning }) => [where, isWarning]),
      [["proxy.tls.certificate", true]],
    );
    assert.match(
      findings[0]?.problem ?? "",
      /^this shell trusts nobody who signed the certificate in endpoint/,
    );
    assert.match(findings[0]?.hint ?? "", /^set NODE_EXTRA_CA_CERTS /);
  }
});

test("what is no certificate and what is no key is said without its text", async () => {
  const NO_KEY = "key: endpoint.key holds no private key in PEM that can be used without a passphrase";
  const encrypted = createPrivateKey(endpoint.keyPem).export({
    type: "pkcs8",
    format: "pem",
    cipher: "aes-256-cbc",
    passphrase: "planted",
  });
  const damaged = endpoint.certificatePem.replace(/\n[A-Za-z0-9+/]{64}\n/, "\n");
  assert.deepEqual(await problemsOf(endpoint.keyPem, endpoint.certificatePem), [
    "certificate: endpoint.crt holds no certificate in PEM",
    NO_KEY,
  ]);
  assert.deepEqual(await problemsOf(damaged, endpoint.keyPem), [
    "certificate: endpoint.crt holds a certificate that is damaged",
  ]);
  assert.deepEqual(await problemsOf(endpoint.certificatePem, encrypted), [NO_KEY]);
  assert.deepEqual(await problemsOf("x".repeat(1024 * 1024 + 1), endpoint.keyPem), [
    "certificate: endpoint.crt is longer than 1048576 bytes",
  ]);
});

test("the hash of the files follows either of them, and files that cannot be read have one too", async () => {
  const hashOf = async (certificate: string, key: string) => {
    await problemsOf(certificate, key);
    return hashTlsFiles(plan, { ...samplePaths, projectDir });
  };
  const hashes = [
    await hashOf(endpoint.certificatePem, endpoint.keyPem),
    await hashOf(stranger.certificatePem, endpoint.keyPem),
    await hashOf(endpoint.certificatePem, stranger.keyPem),
    await hashTlsFiles(plan, { ...samplePaths, projectDir: "/nonexistent" }),
  ];
  for (const hash of hashes) assert.match(hash ?? "", /^[0-9a-f]{64}$/);
  assert.equal(new Set(hashes).size, hashes.length);
  assert.equal(await hashOf(endpoint.certificatePem, endpoint.keyPem), hashes[0]);
});
