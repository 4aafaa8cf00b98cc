// 1.5.5 and 1.5.6: what no proxy can mend in wire v1. That recorded requests are answered again, that their parts can be mixed
// and that an exchanged response key is noticed is shown with a deployed stack in test/e2e/attacks.test.ts.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { createClient } from "@polaris-cvm/sdk";
import { wireTrustStatements } from "@polaris-cvm/stacks/wire-trust-statements.ts";
import { GOLDEN_VECTORS, openAsOriginal } from "../../proxy/testing/golden-vectors.ts";
import { startProxy, startWorkload } from "../../proxy/testing/running-proxy.ts";
import { clientKeys, sealText } from "../../proxy/testing/sealing.ts";

const RESPONSE_KEY = "polaris-response-public-key";
const encryption = { requests: "required", responses: "required" } as const;

const readText = (name: string): Promise<string> =>
  readFile(new URL(`../../${name}`, import.meta.url), "utf8");

/** The section of a page below a heading, on one line. */
function sectionOf(page: string, heading: RegExp): string {
  const section = page.split(/^(?=## )/m).find((part) => heading.test(part));
  assert.ok(section !== undefined, String(heading));
  return section.replaceAll(/\s+/g, " ");
}

test("1.5.6: known limit of wire v1: sealed headers of somebody on the way, with his own key in them, turn the answer to him", async () => {
  await using workload = await startWorkload();
  await using proxy = await startProxy(workload.url, { encryption });
  let onTheWay: { headers: Headers; body: ArrayBuffer } | undefined;
  const client = createClient({
    url: proxy.url,
    publicKey: GOLDEN_VECTORS.containerPublicKeyPem,
    keyHandler: clientKeys,
    fetch: async (input, init) => {
      const request = new Request(input, init);
      onTheWay = { headers: request.headers, body: await request.clone().arrayBuffer() };
      return await fetch(request);
    },
  });
  await client.fetch("/account", { method: "POST", body: "the client's secret" });
  assert.ok(onTheWay !== undefined);

  const attacker = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const pem = attacker.publicKey.export({ type: "spki", format: "pem" });
  const ownKey = Buffer.from(pem).toString("base64");
  // Everybody can seal to the public key, and nothing says that this was another one than who sealed address and body.
  const headers = new Headers(onTheWay.headers);
  headers.set("polaris-secure", await sealText(JSON.stringify({ [RESPONSE_KEY]: ownKey })));
  headers.set(RESPONSE_KEY, ownKey);
  const stolen = await fetch(proxy.url, { method: "POST", headers, body: onTheWay.body });
  assert.equal(stolen.status, 200);
  const privateKeyPem = attacker.privateKey.export({ type: "pkcs8", format: "pem" });
  assert.equal(openAsOriginal(await stolen.text(), privateKeyPem).toString(), "the client's secret");
  assert.deepEqual(
    workload.seen.map(({ url }) => url),
    ["/account", "/account"],
  );
});

test("1.5.5, 1.5.6: what wire v1 leaves open is a residual by name, but where TLS has the key of the evidence", () => {
  const summary = (tls: "attested" | "unbound"): string[] =>
    wireTrustStatements(tls).map(({ id, holds }) => `${id} ${holds}`);
  assert.deepEqual(summary("unbound"), ["wire-v1-replay false", "wire-v1-response-key false"]);
  assert.deepEqual(summary("attested"), ["wire-v1-replay true", "wire-v1-response-key true"]);
});

test("1.5.5, 1.5.6: SECURITY.md names both residuals, and says with docs/envelope.md what each of them is", async () => {
  const security = await readText("SECURITY.md");
  for (const { id } of wireTrustStatements("unbound")) assert.ok(security.includes(`\`${id}\``), id);

  const limits = sectionOf(security, /^## Limits of wire format v1/);
  assert.match(limits, /\*\*No replay protection\*\*/);
  assert.match(limits, /\*\*Parts are not bound to each other\*\*/);
  assert.match(limits, /the response key is not authenticated/);
  assert.match(limits, /against an active attacker, use attested TLS/i);

  const cannot = sectionOf(await readText("docs/envelope.md"), /^## 6\. What v1 cannot do/);
  for (const said of [
    "no replay protection",
    "no binding of the parts of a request to each other or of the response to the request",
    "no authentication of the response key",
  ]) {
    assert.ok(cannot.toLowerCase().includes(said), said);
  }
});
