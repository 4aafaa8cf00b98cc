/** The SDK in a real browser, before a real proxy of another origin. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import type { Page } from "playwright-core";
import { GOLDEN_VECTORS } from "../../proxy/testing/golden-vectors.ts";
import { startProxy, startWorkload } from "../../proxy/testing/running-proxy.ts";
import { NOW, startAttestedProxy } from "../sdk/attested-proxy.ts";
import { startTap } from "../sdk/tap.ts";
import { bundleForBrowsers } from "./bundle.ts";
import { type Chromium, NO_CHROMIUM, type Site, startChromium, startSite } from "./chromium.ts";
import type * as PageModule from "./page.ts";
import type { WorkerAnswer, WorkerQuestion } from "./worker.ts";

/** In pages. */
declare const polaris: typeof PageModule;

const publicKey = GOLDEN_VECTORS.containerPublicKeyPem;
const skip = NO_CHROMIUM;

let browser: Chromium;
/** Two sites with the same scripts: the proxies of the tests allow the first one. */
let site: Site;
let otherSite: Site;

before(async () => {
  if (skip !== false) return;
  const script = await bundleForBrowsers('export * from "./test/browser/page.ts";', "polaris");
  const worker = await bundleForBrowsers('import "./test/browser/worker.ts";');
  const scripts = { "/page.js": script.code, "/worker.js": worker.code };
  site = await startSite(scripts, "/page.js");
  otherSite = await startSite(scripts, "/page.js");
  browser = await startChromium();
});
after(async () => {
  if (skip !== false) return;
  await browser[Symbol.asyncDispose]();
  await site[Symbol.asyncDispose]();
  await otherSite[Symbol.asyncDispose]();
});

async function openPage({ origin }: Site): Promise<Page & AsyncDisposable> {
  const page = await browser.context.newPage();
  await page.goto(origin);
  return page;
}

function allowSite(): { cors: { origins: string[] } } {
  return { cors: { origins: [site.origin] } };
}

/** Answers with the body and the content type that came. */
async function startEcho(): Promise<{ url: string } & AsyncDisposable> {
  const server = createServer((request, response) => {
    response.writeHead(200, { "content-type": request.headers["content-type"] ?? "" });
    request.pipe(response);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

test("a page seals every kind of body and opens the answer", { skip }, async () => {
  await using echo = await startEcho();
  await using proxy = await startProxy(echo.url, allowSite());
  await using page = await openPage(site);
  const answers = await page.evaluate(
    async ({ url, publicKey }) => {
      const { fetch } = polaris.createClient({
        url,
        publicKey,
        keyHandler: polaris.createEphemeralKeyHandler({ modulusLength: 2048 }),
      });
      const form = new FormData();
      form.set("field", "grüße");
      const bodies: Record<string, RequestInit["body"]> = {
        text: "grüße",
        bytes: Uint8Array.of(103, 195, 188),
        buffer: Uint8Array.of(103).buffer,
        blob: new Blob(["blob"], { type: "text/x-blob" }),
        params: new URLSearchParams({ a: "1 2" }),
        form,
        stream: new Blob(["stream"]).stream(),
        none: null,
      };
      const answers: Record<string, [type: string | null, body: string]> = {};
      for (const [kind, body] of Object.entries(bodies)) {
        const response = await fetch("/", { method: "POST", body: body ?? null });
        answers[kind] = [response.headers.get("content-type"), await response.text()];
      }
      return answers;
    },
    { url: proxy.url, publicKey },
  );
  const { form, ...others } = answers;
  assert.deepEqual(others, {
    text: ["text/plain;charset=UTF-8", "grüße"],
    bytes: ["", "gü"],
    buffer: ["", "g"],
    blob: ["text/x-blob", "blob"],
    params: ["application/x-www-form-urlencoded;charset=UTF-8", "a=1+2"],
    stream: ["", "stream"],
    none: ["", ""],
  });
  assert.match(form?.[0] ?? "", /^multipart\/form-data; boundary=/);
  assert.match(form?.[1] ?? "", /name="field"\r\n\r\ngrüße\r\n/);
});

test(
  "a page reads an opened answer in every way that fetch has, with a key of RSA-4096",
  { skip },
  async () => {
    await using echo = await startEcho();
    await using proxy = await startProxy(echo.url, allowSite());
    await using page = await openPage(site);
    const read = await page.evaluate(
      async ({ url, publicKey }) => {
        const { fetch } = polaris.createClient({ url, publicKey });
        const post = (body: string | Uint8Array<ArrayBuffer>): Promise<Response> =>
          fetch("/", { method: "POST", body });
        const bytes = crypto.getRandomValues(new Uint8Array(65_536));
        const echoed = new Uint8Array(await (await post(bytes)).arrayBuffer());
        return {
          json: await (await post('{"a":[1]}')).json(),
          blob: await (await (await post("blob")).blob()).text(),
          sameBytes: echoed.length === bytes.length && bytes.every((byte, index) => byte === echoed[index]),
        };
      },
      { url: proxy.url, publicKey },
    );
    assert.deepEqual(read, { json: { a: [1] }, blob: "blob", sameBytes: true });
  },
);

test("a page shows nothing of its request on the wire, not even to the preflight", { skip }, async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url, allowSite());
  await using tap = await startTap(proxy.port);
  await using page = await openPage(site);
  const text = await page.evaluate(
    async ({ url, publicKey }) => {
      const client = polaris.createClient({
        url,
        publicKey,
        keyHandler: polaris.createEphemeralKeyHandler({ modulusLength: 2048 }),
      });
      const response = await client.fetch("/planted-path?planted-query", {
        method: "PUT",
        headers: { authorization: "Bearer planted-token", cookie: "a=planted-cookie", "x-planted": "1" },
        body: "planted-body",
        credentials: "include",
      });
      return await response.text();
    },
    { url: tap.url, publicKey },
  );
  assert.equal(text, "planted-body");
  const [seen] = workload.seen;
  const fields = new Map(seen?.fields);
  assert.equal(seen?.url, "/planted-path?planted-query");
  assert.deepEqual(
    ["authorization", "cookie", "x-planted"].map((name) => fields.get(name)),
    ["Bearer planted-token", "a=planted-cookie", "1"],
  );
  const sent = tap.sent();
  assert.deepEqual(sent.match(/(OPTIONS|PUT) \S+ HTTP/g), ["OPTIONS / HTTP", "PUT / HTTP"]);
  assert.deepEqual(/access-control-request-headers: (.*)\r\n/i.exec(sent)?.[1]?.split(","), [
    "content-type",
    "polaris-key-id",
    "polaris-response-public-key",
    "polaris-secure",
    "polaris-url",
  ]);
  assert.equal(sent.includes("planted"), false);
});

test("a page verifies the endpoint before it sends, and sends nothing to another one", { skip }, async () => {
  await using workload = await startWorkload();
  await using attested = await startAttestedProxy(workload.url, allowSite());
  await using page = await openPage(site);
  const ask = (instanceId: string): Promise<unknown> =>
    page.evaluate(
      async ({ url, expect, now }) => {
        const client = polaris.createClient({
          url,
          expect,
          nowUnixSeconds: () => now,
          keyHandler: polaris.createEphemeralKeyHandler({ modulusLength: 2048 }),
        });
        try {
          const response = await client.fetch("/secret", { method: "POST", body: "secret" });
          return [client.verification()?.trusted, await response.text()];
        } catch (error) {
          if (!polaris.isPolarisError(error)) throw error;
          return [client.verification()?.trusted, error.code, error.details];
        }
      },
      {
        url: attested.url,
        now: NOW,
        expect: { ...expectations, claims: { ...expectations.claims, instanceId } },
      },
    );
  const { expectations } = attested;
  assert.deepEqual(await ask("1"), [false, "VERIFICATION_FAILED", { failed: ["instance"] }]);
  assert.equal(workload.seen.length, 0);
  assert.deepEqual(await ask(expectations.claims.instanceId), [true, "secret"]);
});

/** Types of browsers, as far as these tests use them in pages. */
interface PageScope {
  readonly Worker: new (url: string) => { postMessage(message: unknown, transfer: readonly unknown[]): void };
  readonly navigator: {
    readonly serviceWorker: {
      register(url: string): Promise<unknown>;
      readonly ready: Promise<{
        readonly active: { postMessage(message: unknown, transfer: readonly unknown[]): void };
      }>;
    };
  };
}

for (const kind of ["web worker", "service worker"] as const) {
  test(`a ${kind}, which has no window, sends sealed requests`, { skip }, async () => {
    await using workload = await startWorkload();
    await using attested = await startAttestedProxy(workload.url, allowSite());
    await using page = await openPage(site);
    const question: WorkerQuestion = {
      url: attested.url,
      expect: attested.expectations,
      nowUnixSeconds: NOW,
      body: `from a ${kind}`,
    };
    const answer = await page.evaluate(
      async ({ kind, question }) => {
        const { Worker, navigator } = globalThis as unknown as PageScope;
        const { port1, port2 } = new MessageChannel();
        const answer = new Promise<WorkerAnswer>((resolve) => {
          port1.addEventListener("message", (event) => resolve(event.data as WorkerAnswer));
          port1.start();
        });
        if (kind === "service worker") await navigator.serviceWorker.register("/worker.js");
        const worker =
          kind === "service worker" ? (await navigator.serviceWorker.ready).active : new Worker("/worker.js");
        worker.postMessage(question, [port2]);
        return await answer;
      },
      { kind, question },
    );
    assert.deepEqual(answer, { text: `from a ${kind}`, hasWindow: false, trusted: true });
    assert.equal(workload.seen[0]?.body, `from a ${kind}`);
  });
}

test("the browser refuses a page of an origin that the proxy does not allow", { skip }, async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url, allowSite());
  await using without = await startProxy(workload.url);
  await using page = await openPage(site);
  await using otherPage = await openPage(otherSite);
  const outcomes = async (from: Page, url: string): Promise<string[]> =>
    await from.evaluate(
      async ({ url, publicKey }) => {
        const keyHandler = polaris.createEphemeralKeyHandler({ modulusLength: 2048 });
        const outcome = async (fetch: typeof globalThis.fetch): Promise<string> => {
          try {
            return await (await fetch("/", { method: "POST", body: "allowed" })).text();
          } catch (error) {
            return polaris.isPolarisError(error) ? error.code : String(error);
          }
        };
        return [
          await outcome(polaris.createClient({ url, publicKey, keyHandler }).fetch),
          await outcome(polaris.createClient({ url, insecureSkipVerification: true, keyHandler }).fetch),
        ];
      },
      { url, publicKey },
    );
  const refused = ["ENDPOINT_UNREACHABLE", "ENDPOINT_UNREACHABLE"];
  assert.deepEqual(await outcomes(otherPage, proxy.url), refused);
  assert.equal(workload.seen.length, 0);
  // Where CORS is off, the question of the browser is the workload's to answer, like everything else.
  assert.deepEqual(await outcomes(page, without.url), refused);
  assert.deepEqual(
    workload.seen.map(({ method }) => method),
    ["OPTIONS"],
  );
  assert.deepEqual(await outcomes(page, proxy.url), ["allowed", "allowed"]);
});

test("a page reads the proxy's own errors", { skip }, async () => {
  await using proxy = await startProxy("http://127.0.0.1:1", allowSite());
  await using attested = await startAttestedProxy(proxy.url);
  await using page = await openPage(site);
  const [problem, unavailable] = await page.evaluate(
    async ({ url, publicKey, expect }) => {
      const keyHandler = polaris.createEphemeralKeyHandler({ modulusLength: 2048 });
      const response = await polaris.createClient({ url, publicKey, keyHandler }).fetch("/");
      const { code } = (await response.json()) as { code: string };
      const unavailable = await polaris
        .createClient({ url, expect, keyHandler })
        .fetch("/")
        .then(
          () => "an answer",
          (error: unknown) => (polaris.isPolarisError(error) ? error.code : String(error)),
        );
      return [[response.status, response.headers.get("polaris-error"), code], unavailable];
    },
    { url: proxy.url, publicKey, expect: attested.expectations },
  );
  assert.deepEqual(problem, [502, "WORKLOAD_UNREACHABLE", "WORKLOAD_UNREACHABLE"]);
  assert.equal(unavailable, "ATTESTATION_UNAVAILABLE");
});

test("axios in a page sends and opens through the interceptors", { skip }, async () => {
  await using workload = await startWorkload((request, response) => {
    const status = Number(new URL(request.url ?? "", "http://workload").searchParams.get("status"));
    const location = status === 302 ? { location: "/elsewhere" } : {};
    response.writeHead(status, { "content-type": "application/json", ...location }).end('{"answer":42}');
  });
  await using proxy = await startProxy(workload.url, allowSite());
  await using page = await openPage(site);
  await browser.context.addCookies([{ name: "XSRF-TOKEN", value: "planted-xsrf", url: site.origin }]);
  const outcomes = await page.evaluate(
    async ({ url, publicKey }) => {
      const polarisSDK = polaris.createClient({
        url,
        publicKey,
        keyHandler: polaris.createEphemeralKeyHandler({ modulusLength: 2048 }),
      });
      const axios = polaris.createAxios();
      axios.interceptors.request.use(polaris.createAxiosRequestInterceptor({ polarisSDK }));
      axios.interceptors.response.use(polaris.createAxiosResponseInterceptor({ polarisSDK }));
      const outcomes: unknown[] = [];
      for (const status of [200, 404, 302]) {
        outcomes.push(
          await axios
            .post("/path", { hello: "world" }, { params: { status }, headers: { cookie: "a=b" } })
            .then(
              ({ data }): unknown => data,
              (error: unknown): unknown =>
                polaris.isAxiosError(error) && [error.code, error.response?.status, error.response?.data],
            ),
        );
      }
      return outcomes;
    },
    { url: proxy.url, publicKey },
  );
  assert.deepEqual(outcomes, [
    { answer: 42 },
    ["ERR_BAD_REQUEST", 404, { answer: 42 }],
    ["RESPONSE_NOT_SEALED", undefined, undefined],
  ]);
  assert.equal(workload.seen.length, 3);
  for (const { url, fields, body } of workload.seen) {
    assert.match(url, /^\/path\?status=/);
    assert.equal(body, '{"hello":"world"}');
    assert.equal(new Map(fields).get("cookie"), "a=b");
    assert.equal(new Map(fields).get("x-xsrf-token"), undefined);
  }
});
