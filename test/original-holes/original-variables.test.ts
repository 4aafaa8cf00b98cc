// The original's own variables, from the environment to what a client is answered: reference 1.5.1, 1.5.10, U3 and U11.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseProxyEnvironment } from "@polaris-cvm/proxy/environment";
import { createClient } from "@polaris-cvm/sdk";
import type { ClientOptions } from "@polaris-cvm/sdk";
import { GOLDEN_VECTORS } from "../../proxy/testing/golden-vectors.ts";
import { startProxy, startWorkload } from "../../proxy/testing/running-proxy.ts";
import type { RunningProxy } from "../../proxy/testing/running-proxy.ts";
import { clientKeys } from "../../proxy/testing/sealing.ts";

/** A proxy that is set up as the original's users did it, on a free port. */
async function startFrom(workloadUrl: string, variables: Record<string, string>): Promise<RunningProxy> {
  const environment = { POLARIS_CONTAINER_WORKLOAD_BASE_URL: workloadUrl, ...variables };
  const { headerNames, encryption, cors } = parseProxyEnvironment(environment).settings;
  return await startProxy(workloadUrl, { headerNames, encryption, cors });
}

type Asking = Partial<Pick<ClientOptions, "requests" | "responses" | "headerNames">>;

/** What a client is answered: the body, or the code of the proxy's refusal. */
async function ask(proxy: RunningProxy, asking: Asking = {}): Promise<string> {
  const { fetch } = createClient({
    url: proxy.url,
    publicKey: GOLDEN_VECTORS.containerPublicKeyPem,
    keyHandler: clientKeys,
    ...asking,
  });
  const response = await fetch("/echo", { method: "POST", body: "hello" });
  return response.headers.get("polaris-error") ?? (await response.text());
}

test("1.5.1, U11: the variable of the secure header made two headers collide; here it renames that one, and both directions stay sealed", async () => {
  await using workload = await startWorkload();
  await using proxy = await startFrom(workload.url, { POLARIS_CONTAINER_HEADER_KEY: "x-sealed" });
  assert.equal(await ask(proxy, { headerNames: { secure: "x-sealed" } }), "hello");

  const headerNames = { secure: "x-sealed", url: "x-where", responseKey: "x-response-key" };
  await using renamed = await startFrom(workload.url, {
    POLARIS_CONTAINER_HEADER_KEY: headerNames.secure,
    POLARIS_CONTAINER_URL_HEADER_KEY: headerNames.url,
    POLARIS_PROXY_RESPONSE_KEY_HEADER: headerNames.responseKey,
  });
  assert.equal(await ask(renamed, { headerNames }), "hello");
  assert.deepEqual(
    workload.seen.map(({ url, body }) => `${url} ${body}`),
    ["/echo hello", "/echo hello"],
  );
});

test("1.5.1, U11: one name for two of the headers stops the start", () => {
  assert.throws(
    () =>
      parseProxyEnvironment({
        POLARIS_PROXY_WORKLOAD_URL: "http://127.0.0.1:8000",
        POLARIS_CONTAINER_HEADER_KEY: "x-sealed",
        POLARIS_PROXY_RESPONSE_KEY_HEADER: "x-sealed",
      }),
    { code: "PROXY_ENVIRONMENT_INVALID", message: /the three header names must differ, got / },
  );
});

const INPUT = "POLARIS_CONTAINER_ENABLE_INPUT_ENCRYPTION";
const OUTPUT = "POLARIS_CONTAINER_ENABLE_OUTPUT_ENCRYPTION";

test("U3: the encryption flags were swapped; each of the original's names is that of its own direction", async () => {
  await using workload = await startWorkload();
  for (const [name, otherName, own, other] of [
    [INPUT, OUTPUT, "requests", "responses"],
    [OUTPUT, INPUT, "responses", "requests"],
  ] as const) {
    await using proxy = await startFrom(workload.url, { [name]: "true", [otherName]: "false" });
    assert.equal(await ask(proxy, { [own]: "sealed", [other]: "clear" }), "hello", name);
    assert.equal(await ask(proxy, { [own]: "clear", [other]: "clear" }), "ENCRYPTION_REQUIRED", name);
    assert.equal(await ask(proxy, { [own]: "sealed", [other]: "sealed" }), "ENCRYPTION_OFF", name);
  }
  assert.equal(workload.seen.length, 2);
});

test("1.5.10: the CORS list lacked PATCH and HEAD; with the original's switch a page may send them", async () => {
  await using workload = await startWorkload();
  await using proxy = await startFrom(workload.url, { POLARIS_CONTAINER_ENABLE_CORS: "true" });
  for (const method of ["PATCH", "HEAD"]) {
    const preflight = await fetch(`${proxy.url}/anything`, {
      method: "OPTIONS",
      headers: { origin: "https://page.example", "access-control-request-method": method },
    });
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers.get("access-control-allow-origin"), "*");
    const allowed = preflight.headers.get("access-control-allow-methods")?.split(", ") ?? [];
    assert.ok(allowed.includes(method), `${method} of ${allowed.join()}`);
  }
  assert.equal(workload.seen.length, 0);

  const refused = await fetch(proxy.url, { method: "PATCH", headers: { origin: "https://page.example" } });
  assert.equal(refused.headers.get("polaris-error"), "ENCRYPTION_REQUIRED");
  assert.equal(refused.headers.get("access-control-allow-origin"), "*", "a page may read why");
});
