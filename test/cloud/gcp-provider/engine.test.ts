import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { LocalWorkspace, PulumiCommand } from "@pulumi/pulumi/automation/index.js";
import type { EngineEvent, Stack } from "@pulumi/pulumi/automation/index.js";
import { Network } from "@pulumi/gcp/compute/network.js";
import { CryptoKey } from "@pulumi/gcp/kms/cryptoKey.js";
import { KeyRing } from "@pulumi/gcp/kms/keyRing.js";
import { Provider } from "@pulumi/gcp/provider.js";
import { findEngine, pulumiHomeOf } from "../../../stacks/src/engine/find-engine.ts";
import { fieldsOf } from "./fields.ts";
import type { Fields } from "./fields.ts";
import { startRecordingStub, stubConfig } from "./recording-stub.ts";
import type { RecordingStub, StubAnswer } from "./recording-stub.ts";
import { startGcpProvider } from "./start-provider.ts";

const ENGINE = await findEngine({
  searchPath: process.env["PATH"] ?? "",
  pulumiHome: pulumiHomeOf(process.env),
});

/**
 * Keeps what it is sent and gives it back, as the cloud would.
 *
 * @param isRefused whether networks are refused at the moment
 */
async function startKeepingStub(isRefused: () => boolean): Promise<RecordingStub> {
  const kept = new Map<string, Fields>();
  return startRecordingStub((method, path, body): StubAnswer | undefined => {
    if (path.endsWith(":destroy")) return { body: {} };
    if (path.endsWith("/cryptoKeyVersions")) {
      return { body: { cryptoKeyVersions: [{ name: `${path.slice(4)}/1`, state: "ENABLED" }] } };
    }
    if (method === "POST" && path.endsWith("/networks") && isRefused()) {
      return { status: 403, body: { error: { code: 403, message: "Required permission is missing." } } };
    }
    if (method === "POST" && path.endsWith("/networks")) {
      const selfLink = `https://www.googleapis.com${path}/${String(body["name"])}`;
      kept.set(`${path}/${String(body["name"])}`, { ...body, selfLink, id: "7" });
      return { body: { name: "operation-1", status: "DONE" } };
    }
    if (method === "POST") return { body: keep(kept, path, body) };
    if (method === "DELETE") return { body: { name: "operation-2", status: "DONE" } };
    const answer = kept.get(path);
    return answer === undefined ? undefined : { body: answer };
  });
}

/** KMS names what it makes in the query, which is not in the path: the test's names are known. */
function keep(kept: Map<string, Fields>, path: string, body: Fields): Fields {
  const name = path.endsWith("/keyRings") ? "ring" : "key";
  kept.set(`${path}/${name}`, fieldsOf({ ...body, name: `${path.slice(4)}/${name}` }));
  return body;
}

async function createStack(root: string, folder: string, origin: string, port: number): Promise<Stack> {
  const home = join(folder, "home");
  const state = join(folder, "state");
  await Promise.all([home, state].map((path) => mkdir(path)));
  const program = async (): Promise<Record<string, unknown>> => {
    const batching = { enableBatching: true, sendAfter: "10ms" };
    const provider = new Provider("keys", { ...stubConfig(origin), batching });
    const other = new Provider("networks", { ...stubConfig(origin), project: "q", batching });
    const ring = new KeyRing("ring", { name: "ring", location: "europe-west4" }, { provider });
    const key = new CryptoKey(
      "key",
      {
        name: "key",
        keyRing: ring.id,
        purpose: "ASYMMETRIC_DECRYPT",
        versionTemplate: { algorithm: "RSA_DECRYPT_OAEP_4096_SHA256", protectionLevel: "HSM" },
        destroyScheduledDuration: "2592000s",
      },
      { provider },
    );
    const network = new Network(
      "network",
      { name: "net", autoCreateSubnetworks: false },
      { provider: other, dependsOn: key },
    );
    return { keyId: key.id, link: network.selfLink };
  };
  return LocalWorkspace.createStack(
    { stackName: "test", projectName: "provider-test", program },
    {
      pulumiCommand: await PulumiCommand.get({ root }),
      secretsProvider: "passphrase",
      projectSettings: {
        name: "provider-test",
        runtime: "nodejs",
        backend: { url: `file://${state}` },
      },
      envVars: {
        PULUMI_HOME: home,
        PULUMI_CONFIG_PASSPHRASE: "test",
        PULUMI_SKIP_UPDATE_CHECK: "true",
        PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
        PULUMI_DEBUG_PROVIDERS: `gcp:${port}`,
      },
    },
  );
}

test(
  "the real engine makes a key in one project and a network in another, finds nothing to change, and destroys them",
  { skip: ENGINE === undefined && "pulumi is not installed here", timeout: 180_000 },
  async (context) => {
    const folder = await mkdtemp(join(tmpdir(), "polaris-gcp-provider-"));
    let isRefused = true;
    const stub = await startKeepingStub(() => isRefused);
    const provider = await startGcpProvider();
    context.after(async () => {
      await provider.stop();
      await stub.stop();
      await rm(folder, { recursive: true });
    });
    const stack = await createStack(dirname(dirname(ENGINE?.path ?? "")), folder, stub.origin, provider.port);

    const preview = await stack.preview();
    assert.deepEqual(preview.changeSummary, { create: 6 });
    assert.equal(stub.requests.length, 0, "a preview makes nothing and asks nothing");

    const diagnostics: string[] = [];
    const onEvent = ({ diagnosticEvent }: EngineEvent): void => {
      if (diagnosticEvent?.severity === "error" && diagnosticEvent.urn?.endsWith("::network") === true) {
        diagnostics.push(diagnosticEvent.message);
      }
    };
    await assert.rejects(stack.up({ color: "never", onEvent }));
    const refusal = "Error creating Network: googleapi: Error 403: Required permission is missing.";
    assert.deepEqual(diagnostics, [
      `  sdk-v2/provider2.go:571: sdk.helper_schema: ${refusal}: provider=google-beta@9.35.0\n`,
      `1 error occurred:\n\t* ${refusal}\n\n\n`,
    ]);

    isRefused = false;
    const first = await stack.up();
    assert.equal(first.summary.resourceChanges?.["create"], 1, "what was made before the refusal is known");
    const state = await readFile(join(folder, "state/.pulumi/stacks/provider-test/test.json"), "utf8");
    assert.ok(state.includes("kmsCustomEndpoint") && !state.includes("test-token"), "the token is a secret");
    assert.equal(
      first.outputs["keyId"]?.value,
      "projects/p/locations/europe-west4/keyRings/ring/cryptoKeys/key",
    );
    assert.equal(
      first.outputs["link"]?.value,
      "https://www.googleapis.com/compute/v1/projects/q/global/networks/net",
    );

    const asked = stub.requests.length;
    const second = await stack.up();
    assert.deepEqual(second.summary.resourceChanges, { same: 6 });
    assert.equal(stub.requests.length, asked, "the state says all there is to know");

    const destroyed = await stack.destroy();
    assert.deepEqual(destroyed.summary.resourceChanges, { delete: 6 });
    const changes = stub.requests
      .map(([request]) => request)
      .filter((request) => !request.startsWith("GET "));
    const expected = [
      "DELETE /compute/v1/projects/q/global/networks/net?alt=json",
      "POST /v1/projects/p/locations/europe-west4/keyRings/ring/cryptoKeys/key/cryptoKeyVersions/1:destroy?alt=json&prettyPrint=false",
    ];
    assert.deepEqual(new Set(changes.slice(-2)), new Set(expected), "in any order");
  },
);
