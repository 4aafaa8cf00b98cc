import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { X509Certificate, generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { connect, createServer } from "node:tls";
import { promisify } from "node:util";
import { createSelfSignedCertificate } from "./self-signed-certificate.ts";

const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
const pem = createSelfSignedCertificate(keys, NOW_MS);

test("is a certificate of its own key, for localhost, from an hour ago and without an end", () => {
  const certificate = new X509Certificate(pem);
  assert.equal(certificate.subject, "CN=polaris");
  assert.equal(certificate.issuer, "CN=polaris");
  assert.equal(certificate.subjectAltName, "DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1");
  assert.equal(certificate.validFromDate.toISOString(), "2026-01-02T02:04:05.000Z");
  assert.equal(certificate.validToDate.toISOString(), "9999-12-31T23:59:59.000Z");
  assert.equal(certificate.ca, false);
  assert.deepEqual(certificate.keyUsage, ["1.3.6.1.5.5.7.3.1"]);
  assert.equal(certificate.checkPrivateKey(keys.privateKey), true);
  assert.equal(certificate.verify(keys.publicKey), true);
  assert.equal(certificate.checkIssued(certificate), true);
  assert.ok(certificate.publicKey.equals(keys.publicKey));
  assert.equal(certificate.toString(), pem);
});

test("has another serial number each time: 16 bytes, positive", () => {
  const serials = Array.from(
    { length: 50 },
    () => new X509Certificate(createSelfSignedCertificate(keys, NOW_MS)).serialNumber,
  );
  assert.equal(new Set(serials).size, 50);
  for (const serial of serials) assert.match(serial, /^[4-7][0-9A-F]{31}$/);
});

test("writes years in two digits up to 2049 and in four from 2050 on, as RFC 5280 says", () => {
  for (const [nowMs, encoded] of [
    [Date.UTC(2050, 0, 1, 0, 59, 59), "\x17\x0d491231235959Z"],
    [Date.UTC(2050, 0, 1, 1, 0, 0), "\x18\x0f20500101000000Z"],
  ] as const) {
    const certificate = new X509Certificate(createSelfSignedCertificate(keys, nowMs));
    assert.equal(certificate.validFromDate.getTime(), nowMs - 3_600_000);
    assert.ok(certificate.raw.toString("latin1").includes(`${encoded}\x18\x0f99991231235959Z`));
  }
});

test("passes a real handshake with every check on, by name and by address", async (t) => {
  const key = keys.privateKey.export({ type: "pkcs8", format: "pem" });
  const server = createServer({ cert: pem, key }, (socket) => socket.end("hello"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  for (const host of ["localhost", "127.0.0.1"]) {
    assert.equal(await text(connect({ host, port, ca: pem })), "hello");
  }
  const named = connect({ host: "127.0.0.1", port, ca: pem, servername: "elsewhere.example" });
  const [error] = (await once(named, "error")) as [NodeJS.ErrnoException];
  assert.equal(error.code, "ERR_TLS_CERT_ALTNAME_INVALID");
  const stranger = connect({ host: "127.0.0.1", port });
  const [untrusted] = (await once(stranger, "error")) as [NodeJS.ErrnoException];
  assert.equal(untrusted.code, "DEPTH_ZERO_SELF_SIGNED_CERT");
});

test("is what openssl reads and verifies, strictly", async (t) => {
  const run = promisify(execFile);
  const openssl = await run("openssl", ["version"]).catch(() => undefined);
  if (openssl === undefined) {
    t.skip("openssl is not installed");
    return;
  }
  const folder = await mkdtemp(join(tmpdir(), "polaris-certificate-"));
  t.after(() => rm(folder, { recursive: true }));
  const file = join(folder, "certificate.pem");
  await writeFile(file, createSelfSignedCertificate(keys, Date.now()));

  const { stdout } = await run("openssl", ["x509", "-in", file, "-noout", "-text"]);
  for (const line of [
    /Version: 3 \(0x2\)/,
    /Signature Algorithm: ecdsa-with-SHA256/,
    /ASN1 OID: prime256v1/,
    /Basic Constraints: critical\s+CA:FALSE/,
    /Extended Key Usage: *\s+TLS Web Server Authentication\n/,
    /Subject Alternative Name: *\s+DNS:localhost, IP Address:127\.0\.0\.1, IP Address:0:0:0:0:0:0:0:1\n/,
  ]) {
    assert.match(stdout, line);
  }
  const strict = ["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", file];
  for (const name of [
    ["-verify_hostname", "localhost"],
    ["-verify_ip", "::1"],
  ]) {
    assert.equal((await run("openssl", [...strict, ...name, file])).stdout, `${file}: OK\n`);
  }
});
