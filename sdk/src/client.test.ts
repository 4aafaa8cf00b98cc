import assert from "node:assert/strict";
import {
  constants,
  createCipheriv,
  createDecipheriv,
  createPublicKey,
  generateKeyPairSync,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
} from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { test, type TestContext } from "node:test";
import { type ClientOptions, createClient } from "./client.ts";
import { createEphemeralKeyHandler } from "./key-handler.ts";
import { importPublicKey } from "./public-key.ts";
import { createAttester, NOW } from "./testing/attester.ts";

const proxyKeys = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  publicKeyEncoding: { type: "spki", format: "pem" },
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
});
const proxyKey = await importPublicKey(proxyKeys.publicKey);
const keyHandler = createEphemeralKeyHandler({ modulusLength: 2048 });
const attester = await createAttester();

const OAEP = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" };

/** Wire v1 with node:crypto, as the proxy does it. */
function open(sealed: Buffer): Buffer {
  const headerEnd = 4 + sealed.readUInt32BE(0);
  const header = JSON.parse(sealed.toString("utf8", 4, headerEnd)) as Record<string, string>;
  const unwrap = (text: string): Buffer =>
    privateDecrypt({ key: proxyKeys.privateKey, ...OAEP }, Buffer.from(text, "base64"));
  const decipher = createDecipheriv(
    "aes-256-gcm",
    unwrap(header["wrappedKey"]!),
    unwrap(header["wrappedIV"]!),
  );
  decipher.setAuthTag(Buffer.from(header["authTag"]!, "base64"));
  return Buffer.concat([decipher.update(sealed.subarray(headerEnd)), decipher.final()]);
}

function seal(plaintext: Buffer, publicKeyPem: string): Buffer {
  const [contentKey, iv] = [randomBytes(32), randomBytes(16)];
  const cipher = createCipheriv("aes-256-gcm", contentKey, iv);
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  const wrap = (value: Buffer): string =>
    publicEncrypt({ key: createPublicKey(publicKeyPem), ...OAEP }, value).toString("base64");
  const header = JSON.stringify({
    wrappedKey: wrap(contentKey),
    wrappedIV: wrap(iv),
    authTag: cipher.getAuthTag().toString("base64"),
  });
  const length = Buffer.alloc(4);
  length.writeUInt32BE(header.length);
  return Buffer.concat([length, Buffer.from(header), ciphertext]);
}

/** What arrived, as it was on the wire, and what was inside. */
interface Arrival {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: string[];
  readonly headers: IncomingMessage["headers"];
  readonly rawBody: Buffer;
  readonly target: string;
  readonly innerHeaders: Record<string, string>;
  readonly body: Buffer;
}

interface Reply {
  readonly status?: number;
  readonly headers?: Record<string, string | string[]>;
  readonly body?: string | Buffer;
  /** Sent as it is instead of a sealed {@link body}. */
  readonly rawBody?: string;
}

interface FakeProxy {
  readonly url: string;
  readonly arrivals: Arrival[];
  readonly systemRequests: string[];
  last(): Arrival;
}

/** A real server that speaks wire v1; `attest` answers for the attestation document. */
async function startProxy(
  t: TestContext,
  reply: (arrival: Arrival, res: ServerResponse) => Reply | undefined = () => ({ body: "ok" }),
  attest?: (nonce: Buffer) => Promise<unknown>,
): Promise<FakeProxy> {
  const arrivals: Arrival[] = [];
  const systemRequests: string[] = [];

  async function handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const url = new URL(req.url!, "http://proxy");
    if (url.pathname.includes("/polaris-container/")) {
      systemRequests.push(url.pathname);
      const nonce = Buffer.from(url.searchParams.get("nonce") ?? "", "base64url");
      const answer = url.pathname.endsWith("/publicKey")
        ? { publicKey: proxyKey.pem }
        : await attest?.(nonce);
      res.writeHead(answer === undefined ? 404 : 200).end(JSON.stringify(answer));
      return;
    }
    const { method, rawHeaders, headers } = req;
    const rawBody = await buffer(req);
    const secure = headers["polaris-secure"] as string | undefined;
    const sealed = secure !== undefined;
    const arrival: Arrival = {
      method: method!,
      url: req.url!,
      rawHeaders,
      headers,
      rawBody,
      target: sealed ? open(Buffer.from(headers["polaris-url"] as string, "base64")).toString() : req.url!,
      innerHeaders: sealed ? (JSON.parse(open(Buffer.from(secure, "base64")).toString()) as never) : {},
      body: sealed && rawBody.length > 0 ? open(rawBody) : rawBody,
    };
    arrivals.push(arrival);
    const answer = reply(arrival, res);
    if (answer === undefined) return;
    const responseKey = headers["polaris-response-public-key"] as string | undefined;
    const body = Buffer.from(answer.body ?? "");
    res.writeHead(answer.status ?? 200, answer.headers);
    if (answer.rawBody !== undefined || responseKey === undefined) res.end(answer.rawBody ?? body);
    else res.end(seal(body, Buffer.from(responseKey, "base64").toString()).toString("base64"));
  }

  const server = createServer({ maxHeaderSize: 65536 }, (req, res) => {
    handle(req, res).catch((error: unknown) => res.destroy(error as Error));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close().closeAllConnections());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, arrivals, systemRequests, last: () => arrivals.at(-1)! };
}

function client(url: string, options: Partial<ClientOptions> = {}) {
  return createClient({ url, publicKey: proxyKey.pem, keyHandler, ...options });
}

test("seals target, headers and body and opens the response", async (t) => {
  const proxy = await startProxy(t, () => ({
    status: 201,
    headers: { "content-type": "application/json" },
    body: '{"answer":42}',
  }));
  const response = await client(proxy.url).fetch("/echo?q=1#fragment", {
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer planted" },
    body: '{"hello":"world"}',
  });
  assert.ok(response instanceof Response);
  assert.equal(response.status, 201);
  assert.deepEqual(await response.json(), { answer: 42 });

  const { method, target, innerHeaders, body } = proxy.last();
  assert.equal(method, "POST");
  assert.equal(target, "/echo?q=1");
  assert.equal(innerHeaders["content-type"], "application/json");
  assert.equal(innerHeaders["authorization"], "Bearer planted");
  assert.equal(body.toString(), '{"hello":"world"}');
});

test("shows nothing of the request outside but its method", async (t) => {
  const proxy = await startProxy(t);
  const response = await client(proxy.url).fetch("/planted-path?planted=query#planted-fragment", {
    method: "PUT",
    headers: {
      authorization: "Bearer planted-token",
      cookie: "session=planted-cookie",
      "x-custom": "planted-custom",
      accept: "text/planted",
      "accept-language": "planted-language",
      "user-agent": "planted-agent",
      referer: "http://planted-referer/",
      "content-type": "text/planted-type",
    },
    body: "planted-body",
  });
  assert.equal(await response.text(), "ok");

  const arrival = proxy.last();
  assert.equal(arrival.url, "/");
  const outside = `${arrival.method} ${arrival.url} ${arrival.rawHeaders.join(" ")} ${arrival.rawBody.toString("latin1")}`;
  assert.doesNotMatch(outside, /planted/i);
  const names = arrival.rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase());
  assert.deepEqual(names.sort(), [
    // fetch adds these to every request, always with the same values
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "host",
    "polaris-key-id",
    "polaris-response-public-key",
    "polaris-secure",
    "polaris-url",
    "pragma",
    "sec-fetch-mode",
    "user-agent",
  ]);
  assert.equal(arrival.headers["content-type"], "application/octet-stream");
  assert.equal(arrival.headers["accept"], "*/*");
  assert.equal(arrival.headers["user-agent"], "node");
  assert.equal(arrival.headers["polaris-key-id"], proxyKey.keyId);
  assert.equal(arrival.innerHeaders["cookie"], "session=planted-cookie");
  assert.equal(arrival.innerHeaders["x-custom"], "planted-custom");
  assert.equal(arrival.innerHeaders["content-type"], "text/planted-type");
});

test("seals the target also for the root, and no body where there is none", async (t) => {
  const proxy = await startProxy(t);
  const { fetch } = client(proxy.url);
  for (const init of [{}, { method: "POST" }, { method: "POST", body: "" }, { method: "DELETE" }]) {
    await fetch(proxy.url, init);
    const { target, rawBody, headers } = proxy.last();
    assert.equal(target, "/");
    assert.equal(rawBody.length, 0);
    assert.equal(headers["content-type"], undefined);
  }
});

test("takes its input as fetch does: text, URL or Request, relative or absolute", async (t) => {
  const proxy = await startProxy(t);
  const { fetch } = client(proxy.url);
  const request = new Request(`${proxy.url}/request?x=%20y`, {
    method: "PATCH",
    headers: { "x-a": "1" },
    body: "from the request",
  });
  await fetch("/a/../b?c");
  await fetch("relative");
  await fetch(new URL("/url", proxy.url));
  await fetch(request);
  await fetch(new Request(`${proxy.url}/changed`, { headers: { "x-a": "1" } }), {
    method: "POST",
    headers: { "x-b": "2" },
    body: "x",
  });
  assert.deepEqual(
    proxy.arrivals.map(({ method, target }) => `${method} ${target}`),
    ["GET /b?c", "GET /relative", "GET /url", "PATCH /request?x=%20y", "POST /changed"],
  );
  const [, , , fromRequest, changed] = proxy.arrivals;
  assert.equal(fromRequest!.body.toString(), "from the request");
  assert.equal(fromRequest!.innerHeaders["x-a"], "1");
  assert.equal(changed!.innerHeaders["x-a"], undefined);
  assert.equal(changed!.innerHeaders["x-b"], "2");
});

test("refuses a request to another origin, and what cannot be a request", async (t) => {
  const proxy = await startProxy(t);
  const { fetch, origin } = client(`${proxy.url}/mounted/here`);
  assert.equal(origin, proxy.url);
  const others = [
    "https://127.0.0.1/",
    "//other.example/x",
    "data:,x",
    new URL("http://other.example"),
    new Request("http://other.example"),
  ];
  for (const input of others) await assert.rejects(fetch(input), { code: "REQUEST_INVALID" });
  const bodyOfGet = { method: "GET", body: "x" };
  await assert.rejects(fetch("/", bodyOfGet), TypeError);
  await assert.rejects(fetch("/", { method: "TRACE" }), TypeError);
  assert.equal(proxy.arrivals.length, 0);
});

test("seals every kind of body with the content type that fetch gives it", async (t) => {
  const proxy = await startProxy(t);
  const { fetch } = client(proxy.url);
  const form = new FormData();
  form.set("field", "grüße");
  const stream = (): ReadableStream<Uint8Array<ArrayBuffer>> =>
    new ReadableStream({
      start(controller) {
        controller.enqueue(Uint8Array.of(1, 2));
        controller.enqueue(Uint8Array.of(3));
        controller.close();
      },
    });
  const cases: [RequestInit["body"], string | Buffer | RegExp, RegExp | undefined][] = [
    ["grüße", "grüße", /^text\/plain;charset=UTF-8$/],
    [Uint8Array.of(0, 255, 128), Buffer.from([0, 255, 128]), undefined],
    [Uint8Array.of(9, 0, 255, 9).subarray(1, 3), Buffer.from([0, 255]), undefined],
    [Uint8Array.of(7).buffer, Buffer.from([7]), undefined],
    [new Blob(["blob"], { type: "text/x-blob" }), "blob", /^text\/x-blob$/],
    [new URLSearchParams({ a: "1 2" }), "a=1+2", /^application\/x-www-form-urlencoded;charset=UTF-8$/],
    [form, /name="field"\r\n\r\ngrüße\r\n/, /^multipart\/form-data; boundary=/],
    [stream(), Buffer.from([1, 2, 3]), undefined],
  ];
  for (const [body, expected, contentType] of cases) {
    await fetch("/", { method: "POST", body: body! });
    const { body: arrived, innerHeaders, headers } = proxy.last();
    if (expected instanceof RegExp) assert.match(arrived.toString(), expected);
    else assert.deepEqual(arrived, Buffer.from(expected as Buffer));
    if (contentType === undefined) assert.equal(innerHeaders["content-type"], undefined);
    else assert.match(innerHeaders["content-type"]!, contentType);
    assert.equal(headers["content-type"], "application/octet-stream");
  }
});

test("carries 5 MiB in both directions unchanged", async (t) => {
  const proxy = await startProxy(t, ({ body }) => ({ body }));
  const body = randomBytes(5 * 1024 * 1024);
  const response = await client(proxy.url).fetch("/", { method: "POST", body });
  assert.ok(body.equals(Buffer.from(await response.arrayBuffer())));
});

test("keeps status, reason and headers of the response, but not those of the sealed body", async (t) => {
  const proxy = await startProxy(t, () => ({
    status: 404,
    headers: {
      "content-type": "text/plain; charset=utf-8",
      "set-cookie": ["a=1; Path=/", "b=2; Path=/"],
      "x-many": ["one", "two"],
    },
    body: "not here",
  }));
  const response = await client(proxy.url).fetch("/");
  assert.equal(response.status, 404);
  assert.equal(response.statusText, "Not Found");
  assert.equal(response.ok, false);
  assert.deepEqual(response.headers.getSetCookie(), ["a=1; Path=/", "b=2; Path=/"]);
  assert.equal(response.headers.get("x-many"), "one, two");
  assert.equal(response.headers.get("content-type"), "text/plain; charset=utf-8");
  assert.equal(response.headers.get("content-length"), null);
  assert.equal(response.headers.get("transfer-encoding"), null);
  assert.equal(await response.text(), "not here");
});

test("opens nothing where there is never a body: HEAD, 204, 205 and 304", async (t) => {
  const proxy = await startProxy(t, ({ target }) => ({
    status: Number(target.slice(1)),
    headers: { "x-kept": "yes" },
    rawBody: "",
  }));
  const { fetch } = client(proxy.url);
  const responses = [
    await fetch("/200", { method: "HEAD" }),
    await fetch("/204"),
    await fetch("/205"),
    await fetch("/304"),
  ];
  for (const response of responses) {
    assert.equal(response.body, null);
    assert.equal(response.headers.get("x-kept"), "yes");
  }
  assert.deepEqual(
    responses.map((response) => response.status),
    [200, 204, 205, 304],
  );
});

test("opens an empty sealed body", async (t) => {
  const proxy = await startProxy(t, () => ({ body: "" }));
  const response = await client(proxy.url).fetch("/");
  assert.equal((await response.arrayBuffer()).byteLength, 0);
});

test("returns a redirect instead of following it", async (t) => {
  const other = await startProxy(t);
  const proxy = await startProxy(t, () => ({
    status: 302,
    headers: { location: `${other.url}/elsewhere` },
    body: "moved",
  }));
  const response = await client(proxy.url).fetch("/", { redirect: "follow" });
  assert.equal(response.status, 302);
  assert.equal(response.headers.get("location"), `${other.url}/elsewhere`);
  assert.equal(await response.text(), "moved");
  assert.equal(other.arrivals.length, 0);
});

test("refuses a response that is not sealed", async (t) => {
  const envelope = seal(Buffer.from("x"), proxyKey.pem);
  const problem = { "content-type": "application/problem+json", "polaris-error": "WORKLOAD_TIMEOUT" };
  const cases: Record<string, Reply> = {
    plaintext: { rawBody: "plaintext" },
    nothing: { rawBody: "" },
    "base64 of something else": { rawBody: "AAAA" },
    "an envelope without base64": { rawBody: envelope.toString("latin1") },
    "a line break after the envelope": { rawBody: `${envelope.toString("base64")}\n` },
    "a plain error of somebody else": { status: 502, rawBody: "<html>Bad Gateway</html>" },
    "an error without the proxy's header": {
      status: 502,
      headers: { "content-type": problem["content-type"] },
      rawBody: "{}",
    },
    "an error of another media type": {
      status: 502,
      headers: { ...problem, "content-type": "application/json" },
      rawBody: "{}",
    },
    "a success that claims to be an error": { status: 200, headers: problem, rawBody: "{}" },
  };
  let reply: Reply = {};
  const proxy = await startProxy(t, () => reply);
  const { fetch } = client(proxy.url);
  for (const [name, next] of Object.entries(cases)) {
    await t.test(name, async () => {
      reply = next;
      await assert.rejects(fetch("/"), {
        code: "RESPONSE_NOT_SEALED",
        details: { status: next.status ?? 200 },
      });
    });
  }
});

test("refuses a response that is sealed to another key", async (t) => {
  const rawBody = seal(Buffer.from("x"), proxyKey.pem).toString("base64");
  const proxy = await startProxy(t, () => ({ rawBody }));
  await assert.rejects(client(proxy.url).fetch("/"), {
    code: "ENVELOPE_OPEN_FAILED",
    message: "cannot open envelope",
  });
});

test("returns an error of the proxy itself as it is", async (t) => {
  const rawBody = '{"code":"WORKLOAD_TIMEOUT"}';
  const proxy = await startProxy(t, () => ({
    status: 504,
    headers: {
      "content-type": "Application/Problem+JSON; charset=utf-8",
      "polaris-error": "WORKLOAD_TIMEOUT",
    },
    rawBody,
  }));
  const response = await client(proxy.url).fetch("/");
  assert.equal(response.status, 504);
  assert.equal(response.headers.get("polaris-error"), "WORKLOAD_TIMEOUT");
  assert.equal(await response.text(), rawBody);
});

test("seals the response key a second time inside, so that an exchanged one can be noticed", async (t) => {
  const proxy = await startProxy(t);
  await client(proxy.url).fetch("/");
  const { headers, innerHeaders } = proxy.last();
  const outer = headers["polaris-response-public-key"] as string;
  assert.equal(Buffer.from(outer, "base64").toString(), await keyHandler.publicKeyPem());
  assert.equal(innerHeaders["polaris-response-public-key"], outer);
});

test("has one RSA-4096 key pair of its own for all responses", async (t) => {
  const proxy = await startProxy(t);
  const { fetch } = createClient({ url: proxy.url, publicKey: proxyKey.pem });
  const [first, second] = await Promise.all([fetch("/1"), fetch("/2")]);
  assert.deepEqual([await first.text(), await second.text()], ["ok", "ok"]);
  const [one, two] = proxy.arrivals.map(
    (arrival) => arrival.headers["polaris-response-public-key"] as string,
  );
  assert.equal(one, two);
  const key = createPublicKey(Buffer.from(one!, "base64").toString());
  assert.equal(key.asymmetricKeyDetails?.modulusLength, 4096);
});

test("speaks to a proxy at another path and with other header names", async (t) => {
  const names = { url: "x-url", secure: "x-secure", responseKey: "x-response-key" };
  const proxy = await startProxy(t, () => ({ rawBody: "-" }));
  const { fetch } = client(proxy.url, {
    basePath: "/gateway/proxy/",
    headerNames: names,
    responses: "clear",
  });
  await fetch("/target");
  const { url, headers } = proxy.last();
  assert.equal(url, "/gateway/proxy/");
  assert.equal(open(Buffer.from(headers["x-url"] as string, "base64")).toString(), "/target");
  assert.equal(open(Buffer.from(headers["x-secure"] as string, "base64")).toString(), "{}");
  assert.equal(headers["polaris-url"], undefined);
  assert.equal(headers["x-response-key"], undefined);

  const sealedResponse = client(proxy.url, { basePath: "/gateway", headerNames: names });
  await assert.rejects(sealedResponse.fetch("/target"), { code: "RESPONSE_NOT_SEALED" });
  const arrival = proxy.last();
  assert.equal(arrival.url, "/gateway/");
  assert.equal(typeof arrival.headers["x-response-key"], "string");
  assert.equal(arrival.headers["polaris-response-public-key"], undefined);
});

test("sends in the clear only where that is asked for, response by response and request by request", async (t) => {
  const proxy = await startProxy(t);
  const init = { method: "POST", headers: { "x-custom": "1" }, body: "hello" };
  const sealedResponse = await client(proxy.url, { requests: "clear" }).fetch("/path?q#f", init);
  assert.equal(await sealedResponse.text(), "ok");
  const { url, headers, rawBody } = proxy.last();
  assert.equal(url, "/path?q");
  assert.equal(headers["x-custom"], "1");
  assert.equal(headers["polaris-secure"], undefined);
  assert.equal(headers["polaris-key-id"], undefined);
  assert.equal(typeof headers["polaris-response-public-key"], "string");
  assert.equal(rawBody.toString(), "hello");

  const clear = { requests: "clear", responses: "clear", basePath: "/base" } as const;
  assert.equal(await (await client(proxy.url, clear).fetch("/path", init)).text(), "ok");
  assert.equal(proxy.last().url, "/base/path");
  assert.equal(proxy.last().headers["polaris-response-public-key"], undefined);

  const misspelt = client(proxy.url, { requests: "Clear" as "clear", responses: "Clear" as "clear" });
  await misspelt.fetch("/secret", init);
  assert.equal(proxy.last().url, "/");
});

test("rejects with the signal's reason, before and while it waits", async (t) => {
  const controller = new AbortController();
  const proxy = await startProxy(t, () => {
    controller.abort(new Error("changed my mind"));
    return undefined;
  });
  const { fetch } = client(proxy.url);
  const reason = { message: "changed my mind" };
  await assert.rejects(fetch("/", { signal: controller.signal }), reason);
  assert.equal(proxy.arrivals.length, 1);
  await assert.rejects(fetch("/", { signal: controller.signal }), reason);
  assert.equal(proxy.arrivals.length, 1);
});

test("says ENDPOINT_UNREACHABLE if nobody answers or the answer breaks off", async (t) => {
  await assert.rejects(client("http://127.0.0.1:1").fetch("/"), { code: "ENDPOINT_UNREACHABLE" });
  const proxy = await startProxy(t, (_, res) => {
    res.writeHead(200, { "content-length": "1000" });
    res.write("AAAA", () => res.destroy());
    return undefined;
  });
  await assert.rejects(client(proxy.url).fetch("/"), { code: "ENDPOINT_UNREACHABLE" });
});

test("wants exactly one reason to trust the key", () => {
  const url = "http://127.0.0.1:1";
  const reasons: object[] = [
    {},
    { publicKey: proxyKey.pem, insecureSkipVerification: true },
    { publicKey: proxyKey.pem, expect: attester.expectations() },
    { insecureSkipVerification: false },
    { expect: undefined },
  ];
  for (const reason of reasons) {
    assert.throws(() => createClient({ url, ...reason } as ClientOptions), { code: "EXPECTATIONS_MISSING" });
  }
});

test("refuses a URL that is not an endpoint's, with a base path too", () => {
  for (const options of [
    { url: "http://user:planted@127.0.0.1" },
    { url: "http://h", basePath: "ftp://h" },
  ]) {
    assert.throws(() => createClient({ publicKey: proxyKey.pem, ...options }), { code: "USAGE_INVALID" });
  }
});

test("takes the endpoint's own word for the key only if told so, and asks once", async (t) => {
  const proxy = await startProxy(t);
  const insecure = createClient({ url: proxy.url, insecureSkipVerification: true, keyHandler });
  await Promise.all([insecure.fetch("/"), insecure.fetch("/")]);
  await insecure.fetch("/");
  assert.deepEqual(proxy.systemRequests, ["/polaris-container/publicKey"]);
  assert.equal(insecure.verification(), undefined);
});

test("verifies the endpoint once, before the first request, with a nonce of its own", async (t) => {
  const nonces: Buffer[] = [];
  const proxy = await startProxy(
    t,
    () => ({ body: "ok" }),
    async (nonce) => {
      nonces.push(nonce);
      return await attester.attest({ key: proxyKey, nonce });
    },
  );
  const options = {
    url: proxy.url,
    expect: attester.expectations(),
    keyHandler,
    nowUnixSeconds: () => NOW,
  };
  const first = createClient(options);
  assert.equal(first.verification(), undefined);
  const responses = await Promise.all([first.fetch("/1"), first.fetch("/2"), first.fetch("/3")]);
  assert.deepEqual(await Promise.all(responses.map((response) => response.text())), ["ok", "ok", "ok"]);
  assert.equal(nonces.length, 1);
  assert.equal(nonces[0]!.length, 32);
  assert.equal(first.verification()?.trusted, true);
  assert.equal(first.verification()?.publicKey?.keyId, proxyKey.keyId);

  await createClient(options).fetch("/");
  assert.equal(nonces.length, 2);
  assert.notDeepEqual(nonces[0], nonces[1]);
});

for (const requests of ["sealed", "clear"] as const) {
  test(`sends nothing to an endpoint that fails its verification (requests ${requests})`, async (t) => {
    const proxy = await startProxy(
      t,
      () => ({ body: "ok" }),
      (nonce) => attester.attest({ key: proxyKey, nonce, claims: { secboot: false, hwmodel: "OTHER" } }),
    );
    const refusing = createClient({
      url: proxy.url,
      expect: attester.expectations(),
      requests,
      keyHandler,
      nowUnixSeconds: () => NOW,
    });
    await assert.rejects(refusing.fetch("/secret", { method: "POST", body: "secret" }), {
      code: "VERIFICATION_FAILED",
      message: "endpoint is not the expected one: tee, secure-boot",
      details: { failed: ["tee", "secure-boot"] },
    });
    assert.equal(proxy.arrivals.length, 0);
    assert.equal(refusing.verification()?.trusted, false);
  });
}

test("does not seal to a key that somebody put in between", async (t) => {
  const mallory = await importPublicKey(
    await createEphemeralKeyHandler({ modulusLength: 2048 }).publicKeyPem(),
  );
  const proxy = await startProxy(
    t,
    () => ({ body: "ok" }),
    (nonce) =>
      attester.attest({
        key: proxyKey,
        nonce,
        document: { publicKey: mallory.pem, keyId: mallory.keyId },
      }),
  );
  const { fetch } = createClient({
    url: proxy.url,
    expect: attester.expectations(),
    keyHandler,
    nowUnixSeconds: () => NOW,
  });
  await assert.rejects(fetch("/"), { code: "VERIFICATION_FAILED", details: { failed: ["key-binding"] } });
  assert.equal(proxy.arrivals.length, 0);
});

test("verifies again after a failure, but not after a success", async (t) => {
  let attempts = 0;
  const proxy = await startProxy(
    t,
    () => ({ body: "ok" }),
    async (nonce) => {
      attempts++;
      return attempts === 1 ? undefined : await attester.attest({ key: proxyKey, nonce });
    },
  );
  const { fetch } = createClient({
    url: proxy.url,
    expect: attester.expectations(),
    keyHandler,
    nowUnixSeconds: () => NOW,
  });
  const outcomes = await Promise.allSettled([fetch("/"), fetch("/")]);
  assert.deepEqual(
    outcomes.map((outcome) => outcome.status === "rejected" && (outcome.reason as { code: string }).code),
    ["EVIDENCE_MALFORMED", "EVIDENCE_MALFORMED"],
  );
  assert.equal(attempts, 1);
  await fetch("/");
  await fetch("/");
  assert.equal(attempts, 2);
});

test("lets one caller give up while the others wait for the verification", async (t) => {
  const asked = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const proxy = await startProxy(
    t,
    () => ({ body: "ok" }),
    async (nonce) => {
      asked.resolve();
      await release.promise;
      return await attester.attest({ key: proxyKey, nonce });
    },
  );
  const { fetch } = createClient({
    url: proxy.url,
    expect: attester.expectations(),
    keyHandler,
    nowUnixSeconds: () => NOW,
  });
  const controller = new AbortController();
  const impatient = fetch("/", { signal: controller.signal });
  const patient = fetch("/");
  await asked.promise;
  controller.abort(new Error("too slow"));
  await assert.rejects(impatient, { message: "too slow" });
  release.resolve();
  assert.equal(await (await patient).text(), "ok");
  assert.equal(proxy.arrivals.length, 1);
});
