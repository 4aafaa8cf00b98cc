import assert from "node:assert/strict";
import { X509Certificate, createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect, createServer } from "node:tls";
import type { ConnectionOptions } from "node:tls";
import forge from "node-forge";
import { createSelfSignedCertificate } from "./self-signed-certificate.ts";
import { loadTlsIdentity, tlsServerOptions } from "./tls-identity.ts";
import type { TlsIdentity } from "./tls-identity.ts";

const NOW_MS = Date.UTC(2026, 5, 1);
const PKCS8 = { type: "pkcs8", format: "pem" } as const;

/** An RSA pair as forge and node take it. */
function makePair(modulusLength = 2048): { publicPem: string; privatePem: string } {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", {
    modulusLength,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: PKCS8,
  });
  return { publicPem: publicKey, privatePem: privateKey };
}

const [authority, server, stranger] = [makePair(), makePair(), makePair()];

/** A certificate by another implementation than ours. */
function issue(
  { publicPem }: { publicPem: string },
  { commonName = "server", ca = false, to = "2026-12-31T00:00:00Z" } = {},
): string {
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(publicPem);
  certificate.serialNumber = "01";
  certificate.validity.notBefore = new Date("2026-01-01T00:00:00Z");
  certificate.validity.notAfter = new Date(to);
  certificate.setSubject([{ name: "commonName", value: commonName }]);
  certificate.setIssuer([{ name: "commonName", value: "authority" }]);
  certificate.setExtensions([
    { name: "basicConstraints", cA: ca },
    { name: "subjectAltName", altNames: [{ type: 2, value: "localhost" }] },
  ]);
  certificate.sign(forge.pki.privateKeyFromPem(authority.privatePem), forge.md.sha256.create());
  return forge.pki.certificateToPem(certificate).replaceAll("\r\n", "\n");
}

const authorityPem = issue(authority, { commonName: "authority", ca: true });
const serverPem = issue(server);

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "polaris-tls-"));
});
after(() => rm(folder, { recursive: true }));

async function save(name: string, text: string): Promise<string> {
  await writeFile(join(folder, name), text);
  return join(folder, name);
}

async function readFiles(certificate: string, key: string, nowMs = NOW_MS): Promise<TlsIdentity> {
  const certificateFile = await save("certificate.pem", certificate);
  const keyFile = await save("key.pem", key);
  return await loadTlsIdentity({ mode: "files", certificateFile, keyFile }, nowMs);
}

/** What a client finds out about a server with this identity. */
interface Handshake {
  readonly authorized: boolean;
  readonly protocol: string | null;
  readonly alpn: string | false | null;
  readonly certificate: X509Certificate | undefined;
}

async function handshake(identity: TlsIdentity, options: ConnectionOptions): Promise<Handshake> {
  const listening = createServer(tlsServerOptions(identity), (socket) => socket.end());
  listening.on("tlsClientError", () => undefined).listen(0, "127.0.0.1");
  await once(listening, "listening");
  const { port } = listening.address() as AddressInfo;
  const socket = connect({ host: "localhost", port, ...options });
  try {
    await once(socket, "secureConnect");
    return {
      authorized: socket.authorized,
      protocol: socket.getProtocol(),
      alpn: socket.alpnProtocol,
      certificate: socket.getPeerX509Certificate(),
    };
  } finally {
    socket.destroy();
    listening.close();
    await once(listening, "close");
  }
}

test("attested: a P-256 key and a certificate of its own, both born anew each time", async () => {
  const [first, second] = await Promise.all([
    loadTlsIdentity({ mode: "attested" }, NOW_MS),
    loadTlsIdentity({ mode: "attested" }, NOW_MS),
  ]);
  assert.notDeepEqual(first.publicKeySpki, second.publicKeySpki);
  assert.equal(first.bound, true);
  assert.equal(first.notAfter.toISOString(), "9999-12-31T23:59:59.000Z");
  const key = createPrivateKey(first.privateKeyPem);
  assert.deepEqual([key.asymmetricKeyType, key.asymmetricKeyDetails], ["ec", { namedCurve: "prime256v1" }]);
  const certificate = new X509Certificate(first.certificatePem);
  assert.equal(certificate.checkPrivateKey(key), true);
  assert.equal(certificate.validFromDate.getTime(), NOW_MS - 3_600_000);
  const spki = certificate.publicKey.export({ type: "spki", format: "der" });
  assert.deepEqual(Buffer.from(first.publicKeySpki), spki);
});

test("attested: publicKeySpki is the key that a client sees", async () => {
  const identity = await loadTlsIdentity({ mode: "attested" });
  const { authorized, certificate } = await handshake(identity, { ca: identity.certificatePem });
  assert.equal(authorized, true);
  const seen = certificate?.publicKey.export({ type: "spki", format: "der" });
  assert.deepEqual(seen, Buffer.from(identity.publicKeySpki));
});

test("speaks TLS 1.2 and 1.3, nothing older, and offers HTTP/2 before HTTP/1.1", async () => {
  const identity = await loadTlsIdentity({ mode: "attested" });
  const trusting: ConnectionOptions = { ca: identity.certificatePem, ALPNProtocols: ["http/1.1", "h2"] };
  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    const { protocol, alpn } = await handshake(identity, {
      ...trusting,
      minVersion: version,
      maxVersion: version,
    });
    assert.deepEqual([protocol, alpn], [version, "h2"]);
  }
  const old = {
    ...trusting,
    minVersion: "TLSv1",
    maxVersion: "TLSv1.1",
    ciphers: "ALL:@SECLEVEL=0",
  } as const;
  await assert.rejects(handshake(identity, old), { code: "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION" });
});

test("files: a chain that an authority vouches for, with nothing else that stands in the files", async () => {
  const identity = await readFiles(
    `subject=server\n${serverPem}\n${authorityPem}${stranger.privatePem}`,
    `${server.publicPem}${server.privatePem}`,
  );
  assert.equal(identity.bound, false);
  assert.equal(identity.notAfter.toISOString(), "2026-12-31T00:00:00.000Z");
  assert.equal(identity.certificatePem, `${serverPem.trim()}\n${authorityPem.trim()}\n`);
  const spki = createPublicKey(server.publicPem).export({ type: "spki", format: "der" });
  assert.deepEqual(Buffer.from(identity.publicKeySpki), spki);
});

test("files: passes a real handshake", async () => {
  const certificate = issue(server, { to: "2126-01-01T00:00:00Z" });
  const ca = issue(authority, { commonName: "authority", ca: true, to: "2126-01-01T00:00:00Z" });
  const identity = await readFiles(certificate, server.privatePem, Date.now());
  assert.equal((await handshake(identity, { ca })).authorized, true);
});

test("files: refuses what cannot serve, names the file, and shows nothing of its content", async (t) => {
  const key = createPrivateKey(server.privatePem);
  const encrypted = key.export({ ...PKCS8, cipher: "aes-256-cbc", passphrase: "planted" });
  const traditional = key.export({
    type: "pkcs1",
    format: "pem",
    cipher: "aes-256-cbc",
    passphrase: "planted",
  });
  const weak = makePair(1024);
  const agreementKey = generateKeyPairSync("x25519").privateKey.export(PKCS8);
  const future = createSelfSignedCertificate(
    { privateKey: key, publicKey: createPublicKey(key) },
    NOW_MS + 7_200_000,
  );
  const broken = serverPem.replace(/\n[A-Za-z0-9+/]{64}\n/, "\n");
  const CERTIFICATE = "<certificate.pem>";
  const KEY = "<key.pem>";
  const cases: readonly (readonly [why: string, certificate: string, key: string, message: string])[] = [
    ["an empty certificate file", "", server.privatePem, `${CERTIFICATE} holds no certificate in PEM`],
    [
      "a key for a certificate",
      server.privatePem,
      server.privatePem,
      `${CERTIFICATE} holds no certificate in PEM`,
    ],
    [
      "a broken certificate",
      broken,
      server.privatePem,
      `${CERTIFICATE} holds a certificate that cannot be read`,
    ],
    [
      "a broken issuer",
      `${serverPem}${broken}`,
      server.privatePem,
      `${CERTIFICATE} holds a certificate that cannot be read`,
    ],
    ["an empty key file", serverPem, "", `${KEY} holds no private key in PEM`],
    ["a public key", serverPem, server.publicPem, `${KEY} holds no private key in PEM`],
    ["half a key", serverPem, server.privatePem.slice(0, 800), `${KEY} holds no private key in PEM`],
    [
      "an encrypted key",
      serverPem,
      encrypted,
      `the key in ${KEY} is encrypted, expected one without a passphrase`,
    ],
    [
      "an encrypted key of the old form",
      serverPem,
      traditional,
      `the key in ${KEY} is encrypted, expected one without a passphrase`,
    ],
    [
      "another key",
      serverPem,
      stranger.privatePem,
      `the key in ${KEY} is not that of the first certificate in ${CERTIFICATE}`,
    ],
    [
      "a key of another kind",
      serverPem,
      agreementKey,
      `the key in ${KEY} is not that of the first certificate in ${CERTIFICATE}`,
    ],
    [
      "an issuer before the certificate",
      `${authorityPem}${serverPem}`,
      server.privatePem,
      `the key in ${KEY} is not that of the first certificate in ${CERTIFICATE}`,
    ],
    [
      "a key that TLS finds too short",
      issue(weak),
      weak.privatePem,
      `TLS does not take the certificate in ${CERTIFICATE} with the key in ${KEY}`,
    ],
    [
      "an expired certificate",
      issue(server, { to: "2026-05-31T00:00:00Z" }),
      server.privatePem,
      `the certificate in ${CERTIFICATE} expired at 2026-05-31T00:00:00.000Z`,
    ],
    [
      "a certificate that is not yet valid",
      future,
      server.privatePem,
      `the certificate in ${CERTIFICATE} is not valid before 2026-06-01T01:00:00.000Z`,
    ],
  ];
  for (const [why, certificate, keyText, message] of cases) {
    await t.test(why, async () => {
      await assert.rejects(readFiles(certificate, keyText), {
        code: "TLS_FILES_INVALID",
        message: message
          .replace(CERTIFICATE, join(folder, "certificate.pem"))
          .replace(KEY, join(folder, "key.pem")),
      });
    });
  }
});

test("files: refuses files that cannot be read, with the reason", async () => {
  const there = await save("there.pem", serverPem);
  for (const [certificateFile, keyFile, problem] of [
    [join(folder, "none.pem"), there, `${join(folder, "none.pem")} (ENOENT)`],
    [there, folder, `${folder} (EISDIR)`],
  ] as const) {
    await assert.rejects(loadTlsIdentity({ mode: "files", certificateFile, keyFile }), {
      code: "TLS_FILES_INVALID",
      message: `cannot read ${problem}`,
    });
  }
});
