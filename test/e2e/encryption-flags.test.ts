// `proxy.encryption.requests` and `.responses`, each by itself and in each of its modes: from polaris.yaml over the plan and
// the proxy's environment to what a client is answered. The original's modules had the two swapped.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseProxyEnvironment } from "@polaris-cvm/proxy/environment";
import { createClient, createEphemeralKeyHandler } from "@polaris-cvm/sdk";
import type { Protection } from "@polaris-cvm/sdk";
import { parseConfig } from "@polaris-cvm/stacks/config/load.ts";
import { planParts } from "@polaris-cvm/stacks/local/parts.ts";
import { planStack } from "@polaris-cvm/stacks/plan.ts";
import { sampleLock, samplePaths, sampleState } from "@polaris-cvm/stacks/testing/sample-stack.ts";
import { GOLDEN_VECTORS } from "../../proxy/testing/golden-vectors.ts";
import { startProxy, startWorkload } from "../../proxy/testing/running-proxy.ts";

const FLAGS = ["requests", "responses"] as const;
const MODES = ["off", "optional", "required"] as const;
type Modes = Readonly<Record<(typeof FLAGS)[number], (typeof MODES)[number]>>;

const keyHandler = createEphemeralKeyHandler();

/** The environment of the proxy that `polaris deploy` would start for a polaris.yaml with these modes. */
function environmentOf(
  { requests, responses }: Modes,
  workloadPort: number,
): Readonly<Record<string, string>> {
  const text = `version: 1
name: flags
proxy: { encryption: { requests: ${requests}, responses: ${responses} } }
key: { kind: ephemeral }
targets: { local: { run: [node, server.js] } }
`;
  const { config } = parseConfig(text, { fileName: "polaris.yaml" });
  const parts = planParts(planStack(config, "default", sampleLock), samplePaths, {
    // Port 0: any free one.
    state: { ...sampleState, ports: { trust: 1, workload: workloadPort, proxy: 0 } },
    configs: { trust: "", tokenAgent: "" },
    secrets: { names: [], digest: "" },
    tlsFilesSha256: undefined,
    workloadAmbient: {},
    ownAmbient: {},
  });
  return parts.find(({ name }) => name === "proxy")?.env ?? {};
}

/** What a client with its own mind is answered: the status, or the code of the proxy's refusal. */
async function ask(
  endpoint: string,
  requests: Protection,
  responses: Protection,
): Promise<{ answer: string; body: string }> {
  const client = createClient({
    url: endpoint,
    publicKey: GOLDEN_VECTORS.containerPublicKeyPem,
    requests,
    responses,
    keyHandler,
  });
  const response = await client.fetch("/echo", { method: "POST", body: "planted" });
  const body = await response.text();
  return { answer: response.headers.get("polaris-error") ?? String(response.status), body };
}

/** The rule: `required` refuses what is clear, `off` what is sealed. */
function refusalOf(mode: (typeof MODES)[number], protection: Protection): string | undefined {
  if (mode === "required" && protection === "clear") return "ENCRYPTION_REQUIRED";
  return mode === "off" && protection === "sealed" ? "ENCRYPTION_OFF" : undefined;
}

for (const flag of FLAGS) {
  for (const mode of MODES) {
    test(`proxy.encryption.${flag}: ${mode} is that of ${flag}, whatever the other direction has`, async () => {
      await using workload = await startWorkload();
      for (const otherMode of MODES) {
        const modes: Modes =
          flag === "requests"
            ? { requests: mode, responses: otherMode }
            : { requests: otherMode, responses: mode };
        const environment = environmentOf(modes, Number(new URL(workload.url).port));
        assert.equal(environment["POLARIS_PROXY_ENCRYPT_REQUESTS"], modes.requests);
        assert.equal(environment["POLARIS_PROXY_ENCRYPT_RESPONSES"], modes.responses);

        const { settings } = parseProxyEnvironment(environment);
        await using proxy = await startProxy(settings.workload.url, settings);
        for (const requests of ["sealed", "clear"] as const) {
          for (const responses of ["sealed", "clear"] as const) {
            const what = `${JSON.stringify(modes)}: ${requests} request, ${responses} response`;
            const refusal = refusalOf(modes.requests, requests) ?? refusalOf(modes.responses, responses);
            const before = workload.seen.length;
            const { answer, body } = await ask(proxy.url, requests, responses);
            assert.equal(answer, refusal ?? "200", what);
            assert.equal(workload.seen.length - before, refusal === undefined ? 1 : 0, what);
            if (refusal === undefined) assert.equal(body, "planted", what);
          }
        }
      }
    });
  }
}

test("what is sealed is unreadable on the way, in the direction of its flag and in no other", async () => {
  await using workload = await startWorkload();
  for (const [requests, responses] of [
    ["required", "off"],
    ["off", "required"],
  ] as const) {
    const environment = environmentOf({ requests, responses }, Number(new URL(workload.url).port));
    const { settings } = parseProxyEnvironment(environment);
    await using proxy = await startProxy(settings.workload.url, settings);
    const onTheWay = { sent: "", received: "" };
    const client = createClient({
      url: proxy.url,
      publicKey: GOLDEN_VECTORS.containerPublicKeyPem,
      requests: requests === "required" ? "sealed" : "clear",
      responses: responses === "required" ? "sealed" : "clear",
      keyHandler,
      fetch: async (input, init) => {
        const request = new Request(input, init);
        onTheWay.sent = `${request.url} ${await request.clone().text()}`;
        const response = await fetch(request);
        onTheWay.received = await response.clone().text();
        return response;
      },
    });
    const response = await client.fetch("/echo?planted", { method: "POST", body: "planted" });
    assert.equal(await response.text(), "planted");
    assert.equal(onTheWay.sent.includes("planted"), requests === "off", requests);
    assert.equal(onTheWay.received.includes("planted"), responses === "off", responses);
  }
});
