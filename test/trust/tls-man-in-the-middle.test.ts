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
  verifyAttestation,
} from "@polaris-cvm/sdk";
import { loadTlsIdentity, tlsServerOptions } from "../../proxy/src/tls-identity.ts";
import { type Attestation, createAttester, NOW } from "../../sdk/src/testing/attester.ts";
import { startTlsRelay } from "../tls-relay.ts";

const attester = await createAttester();
const keyHandler = createEphemeralKeyHandler({ modulusLength: 2048 });
const key = await importPublicKey(await keyHandler.publicKeyPem());
const [identity, mallory] = await Promise.all([
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
}

/** A server with the attested identity and real evidence, or with what a test changes in it. */
async function startEndpoint(t: TestContext, attestation: Partial<Attestation> = {}): Promise<Endpoint> {
  const bodies: string[] = [];
  const answer = handle(async (request, response) => {
    const nonce = readNonce(request);
    // Each request needs a connection, and so a look at the key, of its own.
    response.setHeader("connection", "close");
    if (nonce === undefined) {
      bodies.push((await buffer(request)).toString());
      response.end("answer");
      return;
    }
    const tlsSpki = identity.publicKeySpki;
    const document = await attester.attest({ key, nonce, tlsSpki, ...attestation });
    response.end(JSON.stringify(document));
  });
  const server = createServer(tlsServerOptions(identity), answer);
  t.after(() => server.closeAllConnections());
  return { port: await listen(t, server), bodies };
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
    const { host } = new URL(relay.url);
    const malloryKey = await hashPublicKey(mallory.publicKeySpki);
    for (let attempt = 0; attempt < 2; attempt++) {
      await assert.rejects(client.fetch("/second", SECRET), {
        code: "TLS_KEY_MISMATCH",
        message: `${host} shows the TLS key ${malloryKey}, expected ${tlsKey}`,
        details: { expected: tlsKey, actual: malloryKey },
      });
    }
    assert.equal(relay.read(), "");
  }
  assert.equal(bodies.length, 2);
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
  });
});
