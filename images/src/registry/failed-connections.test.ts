import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { createSelfSignedCertificate } from "../../../proxy/src/self-signed-certificate.ts";
import { connect, referenceTo, sendManifest, startRegistryOf } from "../../testing/hostile-exchange.ts";
import { startHostileRegistry } from "../../testing/hostile-registry.ts";
import { rejection } from "../../testing/planted-secrets.ts";
import type { RegistryClientOptions } from "./registry-client.ts";

const signal = AbortSignal.timeout(60_000);

test("nobody listening is said so, after all attempts", async (t) => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  const client = connect(t, { retryDelaysMs: [1, 1] });
  const error = await rejection(client.readManifest(referenceTo(`127.0.0.1:${port}`), signal));
  assert.equal(error.code, "REGISTRY_UNREACHABLE");
  assert.equal(error.message, `cannot reach 127.0.0.1:${port}: the connection failed (ECONNREFUSED)`);
});

test("a server that never answers is waited for once", async (t) => {
  const server = await startRegistryOf(t, () => {});
  const client = connect(t, { timeouts: { answerMs: 300 }, retryDelaysMs: [1, 1] });
  const error = await rejection(client.readManifest(referenceTo(server.host), signal));
  assert.equal(error.code, "REGISTRY_UNREACHABLE");
  assert.match(error.message, /no answer in time \(UND_ERR_HEADERS_TIMEOUT\)$/);
  assert.equal(server.seen.length, 1);
});

/** Names that no name service knows lead to this machine, and are no loopback names all the same. */
const lookup: NonNullable<RegistryClientOptions["lookup"]> = (_host, options, callback) => {
  if (options.all === true) callback(null, [{ address: "127.0.0.1", family: 4 }]);
  else callback(null, "127.0.0.1", 4);
};

const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
const CERTIFICATE = {
  cert: createSelfSignedCertificate(keys, Date.now()),
  key: keys.privateKey.export({ type: "pkcs8", format: "pem" }),
};

test("a registry elsewhere is spoken to with TLS only", async (t) => {
  const selfSigned = await startHostileRegistry(sendManifest, CERTIFICATE);
  t.after(() => selfSigned.stop());
  const plain = await startRegistryOf(t, sendManifest);
  const cases = [
    { port: selfSigned.port, authorities: undefined, reason: "DEPTH_ZERO_SELF_SIGNED_CERT" },
    // The right authority, and a certificate for another name.
    { port: selfSigned.port, authorities: CERTIFICATE.cert, reason: "ERR_TLS_CERT_ALTNAME_INVALID" },
    { port: plain.port, authorities: undefined, reason: "ERR_SSL_\\w+" },
  ];
  for (const { port, authorities, reason } of cases) {
    const client = connect(t, {
      lookup,
      retryDelaysMs: [1, 1],
      ...(authorities !== undefined && { certificateAuthorities: authorities }),
    });
    const error = await rejection(client.readManifest(referenceTo(`registry.test:${port}`), signal));
    assert.equal(error.code, "REGISTRY_UNREACHABLE");
    assert.match(
      error.message,
      new RegExp(`^cannot reach registry\\.test:${port}: the TLS connection failed \\(${reason}\\)$`),
    );
    assert.match(error.hint ?? "", /NODE_EXTRA_CA_CERTS/);
  }
  assert.deepEqual([...selfSigned.seen, ...plain.seen], []);
});

test("a name that nobody knows is said so", async (t) => {
  const unknown: NonNullable<RegistryClientOptions["lookup"]> = (host, _options, callback) =>
    callback(Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: "ENOTFOUND" }), "");
  const error = await rejection(
    connect(t, { lookup: unknown, retryDelaysMs: [10_000] }).readManifest(
      referenceTo("registry.test"),
      signal,
    ),
  );
  assert.equal(error.message, "cannot reach registry.test: no such host is known (ENOTFOUND)");
});
