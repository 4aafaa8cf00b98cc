/** The interceptors in real axios, before a real proxy. */
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import { type Client, type ClientOptions, createClient, createEphemeralKeyHandler } from "@polaris-cvm/sdk";
import { createAxiosRequestInterceptor, createAxiosResponseInterceptor } from "@polaris-cvm/sdk/axios";
import {
  type AxiosError,
  AxiosHeaders,
  type AxiosInstance,
  create as createAxios,
  type CreateAxiosDefaults,
  isAxiosError,
  isCancel,
} from "axios";
import { GOLDEN_VECTORS } from "../../proxy/testing/golden-vectors.ts";
import { startProxy, startWorkload } from "../../proxy/testing/running-proxy.ts";
import { NOW, startAttestedProxy } from "./attested-proxy.ts";
import { startTap } from "./tap.ts";

const keyHandler = createEphemeralKeyHandler({ modulusLength: 2048 });

function client(url: string, options: Partial<ClientOptions> = {}): Client {
  return createClient({ url, publicKey: GOLDEN_VECTORS.containerPublicKeyPem, keyHandler, ...options });
}

function sealingAxios(polarisSDK: Client, defaults?: CreateAxiosDefaults): AxiosInstance {
  const instance = createAxios(defaults);
  instance.interceptors.request.use(createAxiosRequestInterceptor({ polarisSDK }));
  instance.interceptors.response.use(createAxiosResponseInterceptor({ polarisSDK }));
  return instance;
}

/** The AxiosError that a request ends with. */
async function failure(request: Promise<unknown>): Promise<AxiosError> {
  const error: unknown = await request.then(
    () => assert.fail("the request was answered"),
    (reason: unknown) => reason,
  );
  assert.ok(isAxiosError(error), String(error));
  return error;
}

test("sends an object through the proxy and gives the answer's object", async () => {
  await using workload = await startWorkload((_request, response) => {
    response.writeHead(201, { "content-type": "application/json", "x-kept": "yes" }).end('{"answer":42}');
  });
  await using proxy = await startProxy(workload.url);
  const response = await sealingAxios(client(proxy.url)).post(`${proxy.url}/echo?q=1#part`, {
    hello: "grüße",
  });
  assert.equal(response.status, 201);
  assert.deepEqual(response.data, { answer: 42 });
  assert.equal(response.headers["x-kept"], "yes");
  const [seen] = workload.seen;
  assert.deepEqual([seen?.method, seen?.url, seen?.body], ["POST", "/echo?q=1", '{"hello":"grüße"}']);
  assert.equal(new Map(seen?.fields).get("content-type"), "application/json");
});

test("shows nothing of a request on the wire, whatever the other interceptors add and in whatever order", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  await using tap = await startTap(proxy.port);
  const instance = createAxios({ headers: { "x-default": "planted-default" } });
  const addHeader = (name: string): void => {
    instance.interceptors.request.use((config) => {
      config.headers.set(name, `planted-${name}`);
      return config;
    });
  };
  addHeader("x-before");
  const polarisSDK = client(tap.url);
  instance.interceptors.request.use(createAxiosRequestInterceptor({ polarisSDK }));
  addHeader("x-after");
  const { data } = await instance.put<string>(`${tap.url}/planted-path`, "planted-body", {
    params: { planted: "planted-query" },
    headers: { authorization: "Bearer planted-token", cookie: "session=planted-cookie" },
  });
  await instance.get(`${tap.url}/planted`, { auth: { username: "planted-user", password: "planted" } });

  assert.equal(data, "planted-body");
  const [first, second] = workload.seen.map(({ url, fields }) => ({ url, fields: new Map(fields) }));
  assert.equal(first?.url, "/planted-path?planted=planted-query");
  for (const name of ["x-default", "x-before", "x-after"])
    assert.equal(first?.fields.get(name), `planted-${name.replace("x-default", "default")}`);
  assert.equal(first?.fields.get("authorization"), "Bearer planted-token");
  assert.equal(first?.fields.get("cookie"), "session=planted-cookie");
  assert.equal(second?.fields.get("authorization"), `Basic ${btoa("planted-user:planted")}`);
  const sent = tap.sent();
  const requestLines = sent.match(/(GET|PUT) \S+ HTTP\/1\.1\r\n/g);
  assert.deepEqual(requestLines, ["PUT / HTTP/1.1\r\n", "GET / HTTP/1.1\r\n"]);
  const words = ["planted", "axios", "Basic", "Bearer", btoa("planted-user:planted")];
  const shown = words.filter((word) => sent.includes(word));
  assert.deepEqual(shown, []);
});

test("sends every kind of body as axios does without the interceptors", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  const instance = sealingAxios(client(proxy.url));
  const form = new FormData();
  form.set("field", "grüße");
  const bytes = new TextEncoder().encode("bytes");
  const urlencoded = /^application\/x-www-form-urlencoded/;
  const cases: [body: unknown, expected: string | RegExp, contentType: RegExp][] = [
    ["text", "text", urlencoded],
    [{ nested: { list: [1, null] } }, '{"nested":{"list":[1,null]}}', /^application\/json$/],
    [[1, 2], "[1,2]", /^application\/json$/],
    [new URLSearchParams({ a: "1 2", b: "&" }), "a=1+2&b=%26", urlencoded],
    [Buffer.from("buffer"), "buffer", urlencoded],
    [bytes, "bytes", urlencoded],
    [bytes.buffer, "bytes", urlencoded],
    [new Blob(["blob"], { type: "text/x-blob" }), "blob", urlencoded],
    [Readable.from(["str", Buffer.from("eam")], { objectMode: false }), "stream", urlencoded],
    [new Blob(["web stream"]).stream(), "web stream", urlencoded],
    [form, /name="field"\r\n\r\ngrüße\r\n/, /^multipart\/form-data; boundary=/],
    [undefined, "", /^$/],
  ];
  for (const [body, expected, contentType] of cases) {
    const { data } = await instance.post<string>(`${proxy.url}/`, body, { responseType: "text" });
    const seen = workload.seen.at(-1);
    if (typeof expected === "string") assert.deepEqual([seen?.body, data], [expected, expected]);
    else assert.match(seen?.body ?? "", expected);
    assert.match(new Map(seen?.fields).get("content-type") ?? "", contentType);
  }
  await instance.postForm(`${proxy.url}/`, { field: "of a plain object" });
  assert.match(workload.seen.at(-1)?.body ?? "", /name="field"\r\n\r\nof a plain object\r\n/);
});

test("refuses a body that fetch would send as the name of its class", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  class Opaque {
    readonly secret = "x";
  }
  const request = sealingAxios(client(proxy.url), { transformRequest: [(data: unknown) => data] }).post(
    `${proxy.url}/`,
    new Opaque(),
  );
  assert.equal((await failure(request)).code, "REQUEST_INVALID");
  assert.equal(workload.seen.length, 0);
});

test("builds the address as axios does: base, path and parameters, relative to the endpoint", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  const polarisSDK = client(proxy.url);
  await sealingAxios(polarisSDK).get("/relative");
  await sealingAxios(polarisSDK).get("relative");
  await sealingAxios(polarisSDK, { baseURL: "/api/" }).get("/relative?a=1", {
    params: { list: [1, 2], "b c": "d e", none: undefined },
  });
  await sealingAxios(polarisSDK, { baseURL: `${proxy.url}/api/v1` }).get("item", {
    params: { when: new Date(0) },
    paramsSerializer: (params) => `own=${Object.keys(params).join()}`,
  });
  await sealingAxios(polarisSDK, { baseURL: "http://other.example/" }).get(`${proxy.url}/absolute`);
  await sealingAxios(polarisSDK).request({});
  assert.deepEqual(
    workload.seen.map(({ url }) => url),
    [
      "/relative",
      "/relative",
      "/api/relative?a=1&list[]=1&list[]=2&b+c=d+e".replaceAll("[", "%5B").replaceAll("]", "%5D"),
      "/api/v1/item?own=when",
      "/absolute",
      "/",
    ],
  );
});

test("refuses requests to another origin than the client's", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  const polarisSDK = client(proxy.url);
  for (const url of [`${workload.url}/x`, "//other.example/x"]) {
    const error = await failure(sealingAxios(polarisSDK).post(url, { secret: "x" }));
    assert.equal(error.code, "REQUEST_INVALID", url);
  }
  const elsewhere = sealingAxios(polarisSDK, { baseURL: workload.url });
  assert.equal((await failure(elsewhere.get("/x"))).code, "REQUEST_INVALID");
  assert.equal(workload.seen.length, 0);
});

test("gives the opened answer as the response type says, and refuses a stream", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  const instance = sealingAxios(client(proxy.url));
  const post = async (responseType?: "json" | "text" | "arraybuffer" | "blob" | "stream"): Promise<unknown> =>
    (await instance.post(`${proxy.url}/`, '{"a":"ü"}', responseType === undefined ? {} : { responseType }))
      .data;
  assert.deepEqual(await post(), { a: "ü" });
  assert.deepEqual(await post("json"), { a: "ü" });
  assert.equal(await post("text"), '{"a":"ü"}');
  const buffer = await post("arraybuffer");
  assert.ok(buffer instanceof ArrayBuffer);
  assert.equal(new TextDecoder().decode(buffer), '{"a":"ü"}');
  const blob = await post("blob");
  assert.ok(blob instanceof Blob);
  assert.equal(await blob.text(), '{"a":"ü"}');
  const before = workload.seen.length;
  await assert.rejects(post("stream"), { name: "PolarisError", code: "REQUEST_INVALID" });
  assert.equal(workload.seen.length, before);
});

test("lets the caller's own transformResponse see the opened answer", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  const instance = sealingAxios(client(proxy.url), {
    transformResponse: [(data: string) => data.toUpperCase(), (data: string) => `${data}!`],
  });
  assert.equal((await instance.post<string>("/", "hello")).data, "HELLO!");
});

test("opens the answers that axios rejects, too", async () => {
  await using workload = await startWorkload((_request, response) => {
    response.writeHead(422, { "content-type": "application/json" }).end('{"field":"name"}');
  });
  await using proxy = await startProxy(workload.url);
  const instance = sealingAxios(client(proxy.url));
  const error = await failure(instance.get("/"));
  assert.deepEqual([error.code, error.status], ["ERR_BAD_REQUEST", 422]);
  assert.deepEqual(error.response?.data, { field: "name" });
  const accepted = await instance.get("/", { validateStatus: () => true });
  assert.deepEqual([accepted.status, accepted.data], [422, { field: "name" }]);
  const again = await failure(instance.request(error.config ?? {}));
  assert.deepEqual(again.response?.data, { field: "name" });
});

test("returns a redirect as axios returns a failure, instead of following it", async () => {
  await using workload = await startWorkload((_request, response) => {
    response.writeHead(302, { location: "/elsewhere" }).end("moved");
  });
  await using proxy = await startProxy(workload.url);
  const error = await failure(sealingAxios(client(proxy.url)).get("/"));
  assert.deepEqual([error.status, error.response?.data], [302, "moved"]);
  assert.equal(error.response?.headers["location"], "/elsewhere");
  assert.equal(workload.seen.length, 1);
});

test("opens nothing where there is no body", async () => {
  await using workload = await startWorkload((request, response) => {
    response.writeHead(request.method === "HEAD" ? 200 : 204, { "x-kept": "yes" }).end();
  });
  await using proxy = await startProxy(workload.url);
  const instance = sealingAxios(client(proxy.url));
  for (const response of [await instance.head("/"), await instance.delete("/")]) {
    assert.equal(response.data, "");
    assert.equal(response.headers["x-kept"], "yes");
  }
});

test("hands over the proxy's own errors as they are", async () => {
  await using proxy = await startProxy("http://127.0.0.1:1");
  const error = await failure(sealingAxios(client(proxy.url)).post("/", { a: 1 }));
  assert.equal(error.status, 502);
  assert.equal(error.response?.headers["polaris-error"], "WORKLOAD_UNREACHABLE");
  assert.deepEqual(error.response?.data, {
    ...(error.response?.data as object),
    status: 502,
    code: "WORKLOAD_UNREACHABLE",
  });
});

test("refuses an answer that is not sealed", async () => {
  await using impostor = await startWorkload();
  const error = await failure(sealingAxios(client(impostor.url)).get("/"));
  assert.equal(error.code, "RESPONSE_NOT_SEALED");
  assert.equal(error.message, "response with status 200 is not a sealed one");
  assert.equal(error.response, undefined);
});

test("gives up when the caller does, and when the time is over", async () => {
  const arrived = Promise.withResolvers<void>();
  await using workload = await startWorkload(() => arrived.resolve());
  await using proxy = await startProxy(workload.url);
  const instance = sealingAxios(client(proxy.url));
  const controller = new AbortController();
  const cancelled = instance.get("/", { signal: controller.signal });
  await Promise.race([arrived.promise, cancelled]);
  controller.abort();
  await assert.rejects(cancelled, (error) => isCancel(error));
  assert.equal((await failure(instance.get("/", { timeout: 50 }))).code, "ETIMEDOUT");
});

test("verifies the endpoint before the first request, and sends nothing if it is another one", async () => {
  await using workload = await startWorkload();
  await using attested = await startAttestedProxy(workload.url);
  const { url, expectations } = attested;
  const options = { url, keyHandler, nowUnixSeconds: () => NOW };
  const polarisSDK = createClient({ ...options, expect: expectations });
  assert.equal((await sealingAxios(polarisSDK).post<string>("/", "hello")).data, "hello");
  assert.equal(polarisSDK.verification()?.trusted, true);

  const expect = { ...expectations, claims: { ...expectations.claims, instanceId: "1" } };
  const error = await failure(sealingAxios(createClient({ ...options, expect })).post("/", { secret: 1 }));
  assert.equal(error.code, "VERIFICATION_FAILED");
  assert.equal(error.message, "endpoint is not the expected one: instance");
  assert.deepEqual((error.cause as { details?: unknown }).details, { failed: ["instance"] });
  assert.equal(workload.seen.length, 1);
});

test("seals only what the client seals", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  await using tap = await startTap(proxy.port);
  const instance = sealingAxios(client(tap.url, { requests: "clear" }));
  assert.equal((await instance.post<string>("/clear", "hello")).data, "hello");
  assert.ok(/^POST \/clear HTTP\/1\.1\r\n[\s\S]*\r\n\r\nhello$/.test(tap.sent()));
});

test("refuses a response of a request that went past the client", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url);
  const polarisSDK = client(proxy.url);
  const expected = { name: "PolarisError", code: "RESPONSE_NOT_SEALED", details: { status: 200 } };

  const forgotten = createAxios();
  forgotten.interceptors.response.use(createAxiosResponseInterceptor({ polarisSDK }));
  await assert.rejects(forgotten.get(workload.url), expected);

  const ofAnother = sealingAxios(client(proxy.url));
  ofAnother.interceptors.response.use(createAxiosResponseInterceptor({ polarisSDK }));
  await assert.rejects(ofAnother.get("/"), expected);

  const replaced = createAxios();
  // Axios runs the request interceptor that was registered first last.
  replaced.interceptors.request.use((config) => Object.assign(config, { adapter: "http" }));
  replaced.interceptors.request.use(createAxiosRequestInterceptor({ polarisSDK }));
  replaced.interceptors.response.use(createAxiosResponseInterceptor({ polarisSDK }));
  await assert.rejects(replaced.get(workload.url), expected);
});

test("makes an axios that cannot send through the client fail instead of sending", () => {
  const intercept = createAxiosRequestInterceptor({ polarisSDK: client("http://127.0.0.1:1") });
  const { adapter, fetchOptions } = intercept({ headers: new AxiosHeaders() });
  assert.equal(adapter, "fetch");
  assert.throws(() => new Request("http://127.0.0.1:1", fetchOptions as RequestInit), TypeError);
});

test("refuses options that are not exactly a client", () => {
  const polarisSDK = client("http://127.0.0.1:1");
  const ofTheOriginal = {
    polarisSDK: { encrypt: () => undefined, decrypt: () => undefined } as unknown as Client,
  };
  const moved = { polarisSDK, enableInputEncryption: false };
  for (const create of [createAxiosRequestInterceptor, createAxiosResponseInterceptor]) {
    assert.throws(() => create(ofTheOriginal), {
      code: "USAGE_INVALID",
      message: "polarisSDK is not a client",
    });
    assert.throws(() => create(moved), {
      code: "USAGE_INVALID",
      message: 'interceptor has no option "enableInputEncryption"',
      hint: "publicKey, requests, responses and basePath are options of createClient",
    });
  }
});
