import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { INSTANCE_CASES, NETWORK_CASES } from "./compute-request-cases.ts";
import { fieldsOf } from "./fields.ts";
import { connectToProvider } from "./provider-client.ts";
import type { ProviderClient } from "./provider-client.ts";
import { startRecordingStub, stubConfig } from "./recording-stub.ts";
import type { RecordingStub, StubAnswer } from "./recording-stub.ts";
import { IDENTITY_CASES, KEY_CASES } from "./request-cases.ts";
import type { RequestCase } from "./request-cases.ts";
import { startGcpProvider } from "./start-provider.ts";
import type { GcpProvider } from "./start-provider.ts";

/** What a change is answered with where a case says nothing: an operation that is done, of any service. */
const DONE = { name: "operations/done", status: "DONE", done: true };

let provider: GcpProvider;

before(async () => {
  provider = await startGcpProvider();
});

after(async () => {
  await provider.stop();
});

function startScriptedStub(answers: Readonly<Record<string, unknown>>): Promise<RecordingStub> {
  const asked = new Map<string, number>();
  return startRecordingStub((method, path): StubAnswer | undefined => {
    const key = `${method} ${path}`;
    const scripted = answers[key];
    if (scripted === undefined) return method === "GET" ? undefined : { body: DONE };
    const count = asked.get(key) ?? 0;
    asked.set(key, count + 1);
    const body: unknown = Array.isArray(scripted) ? scripted[Math.min(count, scripted.length - 1)] : scripted;
    return fieldsOf(body)["status"] === 404 ? undefined : { body };
  });
}

async function run(
  client: ProviderClient,
  { operation, token, id = "", ...given }: RequestCase,
): Promise<void> {
  if (operation === "invoke") {
    await client.invoke(token, given.inputs);
    return;
  }
  const { inputs, failures } = await client.check(token, given.inputs);
  assert.deepEqual(failures, []);
  const state = given.state ?? inputs;
  if (operation === "create") await client.create(token, inputs);
  if (operation === "update") await client.update(token, id, state, inputs);
  if (operation === "delete") await client.delete(token, id, state);
  if (operation === "read") await client.read(token, id, state, inputs);
}

for (const given of [...IDENTITY_CASES, ...KEY_CASES, ...NETWORK_CASES, ...INSTANCE_CASES]) {
  test(`${given.token.split(":").at(-1)}: ${given.name}`, async () => {
    const stub = await startScriptedStub(given.answers ?? {});
    const client = connectToProvider(provider.port);
    try {
      await client.configure(stubConfig(stub.origin));
      await run(client, given);
      assert.deepEqual(stub.requests, given.requests);
    } finally {
      client.close();
      await stub.stop();
    }
  });
}

test("services wanted at the same time are enabled by one call", async () => {
  const services = ["compute.googleapis.com", "sts.googleapis.com"];
  const enabled = { services: services.map((service) => ({ name: `projects/7/services/${service}` })) };
  const stub = await startScriptedStub({
    "GET /v1/projects/p/services": [{}, enabled],
    "GET /v1/projects/p": { lifecycleState: "ACTIVE" },
  });
  const client = connectToProvider(provider.port);
  try {
    await client.configure({ ...stubConfig(stub.origin), batching: JSON.stringify({ sendAfter: "20ms" }) });
    await Promise.all(services.map((service) => client.create("gcp:projects/service:Service", { service })));
    const changes = stub.requests.filter(([request]) => request.startsWith("POST "));
    assert.deepEqual(changes, [
      ["POST /v1/projects/p/services:batchEnable?alt=json&prettyPrint=false", { serviceIds: services }],
    ]);
    assert.equal(stub.requests.length, 6, "two lists, one enable, two projects, one list");
  } finally {
    client.close();
    await stub.stop();
  }
});

test("members of a project wanted at the same time are one change", async () => {
  const members = ["user:a@example.com", "user:b@example.com"];
  const role = "roles/viewer";
  const stub = await startScriptedStub({
    "POST /v1/projects/p:getIamPolicy": [{ etag: "e" }, { etag: "f", bindings: [{ role, members }] }],
  });
  const client = connectToProvider(provider.port);
  try {
    await client.configure({ ...stubConfig(stub.origin), batching: JSON.stringify({ sendAfter: "20ms" }) });
    const token = "gcp:projects/iAMMember:IAMMember";
    await Promise.all(members.map((member) => client.create(token, { project: "p", role, member })));
    const writes = stub.requests.filter(([request]) => request.includes(":setIamPolicy"));
    assert.equal(writes.length, 1);
    assert.deepEqual(fieldsOf(fieldsOf(writes[0]?.[1])["policy"])["bindings"], [{ role, members }]);
  } finally {
    client.close();
    await stub.stop();
  }
});
