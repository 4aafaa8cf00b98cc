/** Somebody between client and endpoint who has a TLS key of their own and the endpoint's real evidence. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { buffer } from "node:stream/consumers";
import { test, type TestContext } from "node:test";
import {
  type AttestationExpectations,
  type Client,
  type ClientOptions,
  createClient,
  createEphemeralKeyHandler,
  createPinnedFetch,
  failedChecks,
  hashPublicKey,
  importPublicKey,
  type PolarisError,
  verifyAttestation,
} from "@polaris-cvm/sdk";
import { loadTlsIdentity, type TlsIdentity, tlsServerOptions } from "../../proxy/src/tls-identity.ts";
import { type Attestation, createAttester, NOW } from "../../sdk/src/testing/attester.ts";
import { startTlsRelay } from "../tls-relay.ts";

const attester = await createAttester();
const keyHandler = createEphemeralKeyHandler({ modulusLength: 2048 });
const key = await importPublicKey(await keyHandler.publicKeyPem());
const [identity, reborn, mallory] = await Promise.all([
  loadTlsIdentity({ mode: "attested" }),
  loadTlsIdentity({ mode: "attested" }),
  loadTlsIdentity({ mode: "attested" }),
]);
const tlsKey = await hashPublicKey(identity.publicKeySpki);
const expectations: AttestationExpectations = { ...attester.expectations(), tls: "attested" };

async function listen(t: TestContext, server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

function handle(handler: Handler): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    handler(request, response).catch((error: unknown) => response.destroy(error as Error));
  };
}

/** The nonce of a request for evidence. */
function readNonce({ url = "" }: IncomingMessage): Buffer | undefined {
  const text = new URL(url, "https://endpoint").searchParams.get("nonce");
  return text === null ? undefined : Buffer.from(text, "base64url");
}

interface Endpoint {
  readonly port: number;
  /** The bodies of all requests but those for evidence. */
  readonly bodies: string[];
  /** Nonces of the requests for evidence, in hex. */
  readonly nonces: string[];
  /** Comes back at the same port with another TLS key, and with what else is new in its evidence. */
  readonly restart: (next: TlsIdentity, attestation?: Partial<Attestation>) => void;
}

/** A server with the attested identity and real evidence, or with what a test changes in it. */
async function startEndpoint(t: TestContext, attestation: Partial<Attestation> = {}): Promise<Endpoint> {
  const bodies: string[] = [];
  const nonces: string[] = [];
  let [shown, changes] = [identity, attestation];
  const answer = handle(async (request, response) => {
    const nonce = readNonce(request);
    // Each request needs a connection, and so a look at the key, of its own.
    response.setHeader("connection", "close");
    if (nonce === undefined) {
      bodies.push((await buffer(request)).toString());
      response.end("answer");
      return;
    }
    nonces.push(nonce.toString("hex"));
    const tlsSpki = shown.publicKeySpki;
    const document = await attester.attest({ key, nonce, tlsSpki, ...changes });
    response.end(JSON.stringify(document));
  });
  const server = createServer(tlsServerOptions(identity), answer);
  t.after(() => server.closeAllConnections());
  const restart: Endpoint["restart"] = (next, nextAttestation = {}) => {
    [shown, changes] = [next, nextAttestation];
    server.setSecureContext(tlsServerOptions(next));
    server.closeAllConnections();
  };
  return { port: await listen(t, server), bodies, nonces, restart };
}

function clientFor(url: string, options: Pick<ClientOptions, "requests" | "fetch"> = {}): Client {
  return createClient({
    url,
    expect: expectations,
    responses: "clear",
    keyHandler,
    nowUnixSeconds: () => NOW,
    ...options,
  });
}

const verify = (url: string) => verifyAttestation({ url, expectations, nowUnixSeconds: NOW });

const SECRET = { method: "POST", body: "secret" } as const;

test("a relay that passes TLS through is none of the client's business", async (t) => {
  const { port, bodies } = await startEndpoint(t);
  const relay = await startTlsRelay(t, port, mallory);
  for (const url of [`https://127.0.0.1:${port}`, `https://localhost:${port}`, relay.url]) {
    assert.deepEqual(failedChecks(await verify(url)), []);
    const client = clientFor(url);
    assert.equal(await (await client.fetch("/one", SECRET)).text(), "answer");
    assert.equal(await (await client.fetch("/two", SECRET)).text(), "answer");
  }
  assert.equal(bodies.length, 6);
  assert.deepEqual(
    (await verify(relay.url)).checks.find(({ id }) => id === "tls-key"),
    { id: "tls-key", ok: true, expected: tlsKey, actual: tlsKey },
  );
});

test("a man in the middle who forwards everything, the evidence included, is found by their key", async (t) => {
  const { port, bodies } = await startEndpoint(t);
  const relay = await startTlsRelay(t, port, mallory, { attacks: true });
  const report = await verify(relay.url);
  assert.deepEqual(failedChecks(report), ["tls-key"]);
  assert.deepEqual([report.trusted, report.publicKey], [false, undefined]);
  const malloryKey = await hashPublicKey(mallory.publicKeySpki);
  assert.deepEqual(
    report.checks.find(({ id }) => id === "tls-key"),
    { id: "tls-key", ok: false, expected: tlsKey, actual: malloryKey },
  );

  for (const requests of ["sealed", "clear"] as const) {
    const client = clientFor(relay.url, { requests });
    for (let attempt = 0; attempt < 2; attempt++) {
      await assert.rejects(client.fetch("/secret", SECRET), {
        code: "VERIFICATION_FAILED",
        details: { failed: ["tls-key"] },
      });
    }
  }
  assert.deepEqual(bodies, []);
  assert.match(
    relay.read(),
    /^(?:GET \/polaris-container\/attestation\?nonce=[^ ]+ HTTP\/1\.1\r\n[^]+?\r\n\r\n){5}$/,
  );
  assert.doesNotMatch(relay.read(), /polaris-secure|secret|POST/);
});

test("a man in the middle who comes after the verification gets not one byte of a request", async (t) => {
  const { port, bodies } = await startEndpoint(t);
  for (const requests of ["sealed", "clear"] as const) {
    const relay = await startTlsRelay(t, port, mallory);
    const client = clientFor(relay.url, { requests });
    assert.equal(await (await client.fetch("/first", SECRET)).text(), "answer");
    relay.attack();
    for (let attempt = 0; attempt < 2; attempt++) {
      await assert.rejects(client.fetch("/second", SECRET), {
        code: "VERIFICATION_FAILED",
        details: { failed: ["tls-key"] },
      });
    }
    assert.equal(client.verification()?.trusted, false);
    // They are asked for evidence, and for nothing else.
    assert.match(relay.read(), /^(?:GET \/polaris-container\/attestation\?nonce=[^]+?\r\n\r\n){2}$/);
    assert.doesNotMatch(relay.read(), /polaris-secure|secret|POST/);
  }
  assert.equal(bodies.length, 2);
});

test("a proxy that comes back with another TLS key and the same key to seal to is verified anew, once", async (t) => {
  for (const requests of ["sealed", "clear"] as const) {
    const { port, bodies, nonces, restart } = await startEndpoint(t);
    const client = clientFor(`https://127.0.0.1:${port}`, { requests });
    await client.fetch("/before", SECRET);
    restart(reborn);
    const answers = await Promise.all(["/1", "/2", "/3"].map((path) => client.fetch(path, SECRET)));
    for (const answer of answers) assert.equal(await answer.text(), "answer");
    assert.equal(nonces.length, 2);
    const check = client.verification()?.checks.find(({ id }) => id === "tls-key");
    assert.equal(check?.actual, await hashPublicKey(reborn.publicKeySpki));
    // Again and again, each time with a nonce of its own.
    restart(identity);
    assert.equal(await (await client.fetch("/after", SECRET)).text(), "answer");
    assert.deepEqual([bodies.length, nonces.length, new Set(nonces).size], [5, 3, 3]);
  }
});

test("a proxy that comes back with another key to seal to is refused until it has the old one again", async (t) => {
  const { port, bodies, restart } = await startEndpoint(t);
  const client = clientFor(`https://127.0.0.1:${port}`);
  await client.fetch("/before", SECRET);
  const other = await importPublicKey(
    await createEphemeralKeyHandler({ modulusLength: 2048 }).publicKeyPem(),
  );
  restart(reborn, { key: other });
  for (let attempt = 0; attempt < 2; attempt++) {
    await assert.rejects(client.fetch("/secret", SECRET), {
      code: "VERIFICATION_FAILED",
      message: `endpoint came back with the key ${other.keyId}, expected ${key.keyId}`,
      details: { failed: ["public-key"], expected: key.keyId, actual: other.keyId },
    });
  }
  assert.equal(bodies.length, 1);
  restart(reborn);
  assert.equal(await (await client.fetch("/after", SECRET)).text(), "answer");
});

test("a man in the middle after a restart is refused, and the proxy itself is taken again once they are gone", async (t) => {
  const { port, bodies, restart } = await startEndpoint(t);
  const direct = await startTlsRelay(t, port, mallory);
  const client = clientFor(direct.url);
  await client.fetch("/before", SECRET);
  restart(reborn);
  direct.attack();
  const refused = await Promise.allSettled([
    client.fetch("/secret", SECRET),
    client.fetch("/secret", SECRET),
  ]);
  for (const outcome of refused) {
    assert.equal(
      outcome.status === "rejected" && (outcome.reason as PolarisError).code,
      "VERIFICATION_FAILED",
    );
  }
  assert.equal(bodies.length, 1);
  assert.doesNotMatch(direct.read(), /polaris-secure|secret|POST/);
  direct.passOn();
  assert.equal(await (await client.fetch("/after", SECRET)).text(), "answer");
});

test("a fetch that is given stays with its TLS key, and so does the client", async (t) => {
  const { port, bodies, nonces, restart } = await startEndpoint(t);
  const client = clientFor(`https://127.0.0.1:${port}`, { fetch: await createPinnedFetch() });
  await client.fetch("/before", SECRET);
  restart(reborn);
  await assert.rejects(client.fetch("/after", SECRET), {
    code: "TLS_KEY_MISMATCH",
    details: { expected: tlsKey, actual: await hashPublicKey(reborn.publicKeySpki) },
  });
  assert.deepEqual([bodies.length, nonces.length], [1, 1]);
});

test("a fetch that goes on after verifyAttestation is held to the same key", async (t) => {
  const { port } = await startEndpoint(t);
  const relay = await startTlsRelay(t, port, mallory);
  const fetch = await createPinnedFetch();
  const report = await verifyAttestation({ url: relay.url, expectations, fetch, nowUnixSeconds: NOW });
  assert.equal(report.trusted, true);
  assert.equal(fetch.tlsPublicKeySha256(), tlsKey);
  assert.equal(await (await fetch(relay.url, SECRET)).text(), "answer");
  relay.attack();
  await assert.rejects(fetch(relay.url, SECRET), { code: "TLS_KEY_MISMATCH" });
  assert.equal(relay.read(), "");
});

test("a man in the middle who changes the document is found by its binding", async (t) => {
  const { port } = await startEndpoint(t);
  const origin = `https://127.0.0.1:${port}`;
  const changes: [change: object, failed: string[]][] = [
    [{ tlsPublicKeySha256: null }, ["key-binding", "tls-key"]],
    [{ tlsPublicKeySha256: await hashPublicKey(mallory.publicKeySpki) }, ["key-binding"]],
  ];
  for (const [change, failed] of changes) {
    const answer = handle(async (request, response) => {
      const fetch = await createPinnedFetch();
      const document = (await (await fetch(origin + request.url)).json()) as object;
      response.end(JSON.stringify({ ...document, ...change }));
    });
    const server = createServer(tlsServerOptions(mallory), answer);
    t.after(() => server.closeAllConnections());
    const url = `https://127.0.0.1:${await listen(t, server)}`;
    assert.deepEqual(failedChecks(await verify(url)), failed);
    await assert.rejects(clientFor(url).fetch("/secret", SECRET), { details: { failed } });
  }
});

test("evidence that is not bound to the TLS key does not speak for it, whatever the document says", async (t) => {
  const document = { tlsPublicKeySha256: tlsKey };
  const unbound = await startEndpoint(t, { document, tlsSpki: undefined });
  assert.deepEqual(failedChecks(await verify(`https://127.0.0.1:${unbound.port}`)), ["key-binding"]);
  const silent = await startEndpoint(t, { tlsSpki: undefined });
  const url = `https://127.0.0.1:${silent.port}`;
  assert.deepEqual(failedChecks(await verify(url)), ["tls-key"]);
  await assert.rejects(clientFor(url).fetch("/secret", SECRET), { code: "VERIFICATION_FAILED" });
  assert.deepEqual([...unbound.bodies, ...silent.bodies], []);
});

test("without TLS there is no attested TLS key", async (t) => {
  const answer = handle(async (request, response) => {
    const nonce = readNonce(request) ?? new Uint8Array();
    const document = await attester.attest({ key, nonce, tlsSpki: identity.publicKeySpki });
    response.end(JSON.stringify(document));
  });
  const server = createHttpServer(answer);
  t.after(() => server.closeAllConnections());
  const url = `http://127.0.0.1:${await listen(t, server)}`;
  const report = await verify(url);
  assert.deepEqual(failedChecks(report), ["tls-key"]);
  assert.equal(report.checks.find(({ id }) => id === "tls-key")?.actual, "none: the endpoint is http");
  // Also with a fetch that knows a key: of some other connection.
  const fetch = Object.assign((...args: Parameters<typeof globalThis.fetch>) => globalThis.fetch(...args), {
    tlsPublicKeySha256: () => tlsKey,
  });
  const other = await verifyAttestation({ url, expectations, fetch, nowUnixSeconds: NOW });
  assert.deepEqual(failedChecks(other), ["tls-key"]);
  await assert.rejects(clientFor(url).fetch("/secret", SECRET), { details: { failed: ["tls-key"] } });
});

test("a fetch that does not tell the connection's key is not used where that key counts", async (t) => {
  const { port } = await startEndpoint(t);
  const relay = await startTlsRelay(t, port, mallory, { attacks: true });
  let calls = 0;
  const fetch: typeof globalThis.fetch = () => {
    calls++;
    return Promise.reject(new Error("must not be called"));
  };
  const refusal = {
    code: "EXPECTATIONS_MISSING",
    message: `the TLS key of ${relay.url} has to be the attested one, and the fetch that was given does not tell which it is`,
  };
  await assert.rejects(
    verifyAttestation({ url: relay.url, expectations, fetch, nowUnixSeconds: NOW }),
    refusal,
  );
  await assert.rejects(clientFor(relay.url, { fetch }).fetch("/secret", SECRET), refusal);
  assert.deepEqual([calls, relay.read()], [0, ""]);
});

test("an endpoint whose certificate came from files is unbound, and no evidence speaks for its key", async (t) => {
  const { port } = await startEndpoint(t, { tlsSpki: undefined });
  const pinned = await createPinnedFetch();
  const unbound = { ...expectations, tls: "unbound" } as const;
  const url = `https://127.0.0.1:${port}`;
  const report = await verifyAttestation({ url, expectations: unbound, fetch: pinned, nowUnixSeconds: NOW });
  assert.deepEqual(failedChecks(report), []);
  // The global fetch asks the authorities, and none knows this certificate.
  await assert.rejects(verifyAttestation({ url, expectations: unbound }), {
    code: "ENDPOINT_UNREACHABLE",
    message: `cannot reach ${url} (DEPTH_ZERO_SELF_SIGNED_CERT)`,
    hint: /NODE_EXTRA_CA_CERTS/,
  });
});
