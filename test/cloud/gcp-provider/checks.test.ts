import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline/promises";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { VM_INPUTS } from "./compute-request-cases.ts";
import type { Fields } from "./fields.ts";
import { UNKNOWN } from "./property-values.ts";
import { connectToProvider } from "./provider-client.ts";
import type { ProviderClient } from "./provider-client.ts";
import { SCHEMA_MISSING } from "./provider-schema.ts";
import { startRecordingStub, stubConfig } from "./recording-stub.ts";
import { startGcpProvider } from "./start-provider.ts";
import type { GcpProvider } from "./start-provider.ts";

const VM_TYPE = "gcp:compute/instance:Instance";
const STUB = "http://127.0.0.1:1";

let provider: GcpProvider;
let client: ProviderClient;

before(async () => {
  provider = await startGcpProvider();
  client = connectToProvider(provider.port);
  await client.configure(stubConfig(STUB));
});

after(async () => {
  client.close();
  await provider.stop();
});

const REFUSED: readonly (readonly [name: string, inputs: Fields, failure: string])[] = [
  [
    "an unknown property",
    { ...VM_INPUTS, machine: "x" },
    "unknown property \"machine\". Examine values at 'thing.machine'.",
  ],
  [
    "an unknown property deep inside",
    { ...VM_INPUTS, scheduling: { onHostMaintenance: "TERMINATE", live: true } },
    "unknown property \"live\". Examine values at 'thing.scheduling.live'.",
  ],
  [
    "what only the cloud chooses",
    { ...VM_INPUTS, selfLink: "x" },
    "\"selfLink\" is the cloud's to choose, not an input. Examine values at 'thing.selfLink'.",
  ],
  [
    "text for a number",
    { ...VM_INPUTS, bootDisk: { initializeParams: { size: "20" } } },
    "expected a number, got a string 20. Examine values at 'thing.bootDisk.initializeParams.size'.",
  ],
  [
    "a list for one value",
    { ...VM_INPUTS, bootDisk: [{}] },
    "expected one value, got a list. Examine values at 'thing.bootDisk'.",
  ],
  [
    "one value for a list",
    { ...VM_INPUTS, tags: "https" },
    "expected a list, got a string https. Examine values at 'thing.tags'.",
  ],
  [
    "a number in a map of texts",
    { ...VM_INPUTS, metadata: { key: 1 } },
    "expected a string, got a number 1. Examine values at 'thing.metadata[\"key\"]'.",
  ],
  [
    "a property that this provider does not send",
    { ...VM_INPUTS, enableDisplay: true },
    "the test provider does not handle \"enableDisplay\". Examine values at 'thing.enableDisplay'.",
  ],
];

for (const [name, inputs, failure] of REFUSED) {
  test(`a check refuses ${name}`, { skip: SCHEMA_MISSING }, async () => {
    assert.deepEqual((await client.check(VM_TYPE, inputs)).failures.slice(0, 1), [failure]);
  });
}

test(
  "a check refuses a missing property by the provider's own name for it",
  { skip: SCHEMA_MISSING },
  async () => {
    const { machineType: _, ...inputs } = VM_INPUTS;
    assert.deepEqual((await client.check(VM_TYPE, inputs)).failures, [
      'Missing required argument. The argument "machine_type" is required, but no definition was found..' +
        " Examine values at 'thing.machineType'.",
    ]);
  },
);

test("a check lets pass what is not known yet, and says in its place what is not given", async () => {
  const { inputs, failures } = await client.check(VM_TYPE, {
    ...VM_INPUTS,
    networkInterfaces: UNKNOWN,
    bootDisk: { initializeParams: { image: UNKNOWN } },
    serviceAccount: { email: UNKNOWN, scopes: ["cloud-platform"] },
  });
  assert.deepEqual(failures, []);
  assert.deepEqual(inputs["bootDisk"], {
    initializeParams: { image: UNKNOWN },
    autoDelete: true,
    mode: "READ_WRITE",
  });
});

test("a machine without a zone anywhere is refused", async () => {
  const other = connectToProvider(provider.port);
  try {
    const { zone: _, ...config } = stubConfig(STUB);
    await other.configure(config);
    assert.deepEqual((await other.check(VM_TYPE, VM_INPUTS)).failures, [
      "Failed to retrieve zone, pid: , err: zone: required field is not set",
    ]);
    assert.deepEqual(
      (await client.check(VM_TYPE, VM_INPUTS)).failures,
      [],
      "each connection has its own configuration",
    );
  } finally {
    other.close();
  }
});

test("a preview makes nothing, and what the cloud will choose is not known", async () => {
  const { inputs } = await client.check("gcp:compute/network:Network", { name: "net" });
  const planned = await client.create("gcp:compute/network:Network", inputs, { preview: true });
  assert.equal(planned.id, "");
  assert.equal(planned.state["name"], "net");
  assert.equal(planned.state["selfLink"], UNKNOWN);
  assert.equal(planned.state["project"], UNKNOWN);
});

test("a secret input is secret in the state, and so is what always is", async () => {
  const stub = await startRecordingStub((_method, path) => ({
    body: path.endsWith(":access")
      ? { payload: { data: "aHVzaA==" } }
      : { name: "projects/p/secrets/s/versions/1", state: "ENABLED", labels: { a: "b" } },
  }));
  const other = connectToProvider(provider.port);
  try {
    await other.configure(stubConfig(stub.origin));
    const version = await other.create("gcp:secretmanager/secretVersion:SecretVersion", {
      secret: "projects/p/secrets/s",
      secretData: "hush",
    });
    assert.equal(version.state["secretData"], "hush");
    assert.deepEqual(version.secrets, ["secretData"]);
    const key = await other.create(
      "gcp:kms/cryptoKey:CryptoKey",
      { name: "k", keyRing: "projects/p/locations/l/keyRings/r", rotationPeriod: "86400s" },
      { secrets: ["name"] },
    );
    assert.deepEqual([...key.secrets].sort(), ["effectiveLabels", "name", "pulumiLabels"]);
  } finally {
    other.close();
    await stub.stop();
  }
});

const ENDPOINTS: readonly (readonly [value: string, isGood: boolean])[] = [
  ["http://127.0.0.1:1/v1/", true],
  ["http://127.0.0.1:1/compute/beta/", true],
  ["http://127.0.0.1:1/kms", false],
  ["http://127.0.0.1:1/kms/v1", false],
  // The host counts as the segment: the real provider takes it, and posts to paths without a version.
  ["http://127.0.0.1:1/", true],
];

for (const [value, isGood] of ENDPOINTS) {
  test(`an endpoint ${value} is ${isGood ? "taken" : "refused"}`, async () => {
    const expected = [
      `could not validate provider configuration: "kms_custom_endpoint" ("${value}") doesn't match regexp ".*/[^/]+/$"`,
    ];
    assert.deepEqual(await client.checkConfig({ kmsCustomEndpoint: value }), isGood ? [] : expected);
  });
}

test("an argument that the provider does not know is refused", { skip: SCHEMA_MISSING }, async () => {
  assert.deepEqual(await client.checkConfig({ project: "p", disableGooglePartner: "true" }), [
    "could not validate provider configuration: Invalid or unknown key",
  ]);
});

test("without a token there is no configuration", async () => {
  await assert.rejects(client.configure({ project: "p" }), {
    details: "failed to load application credentials. google: could not find default credentials.",
  });
});

test("a poll interval that is no duration is refused", async () => {
  await assert.rejects(client.configure({ ...stubConfig(STUB), pollInterval: "soon" }), {
    details: 'time: invalid duration "soon"',
  });
});

test("labels for everything and no mark of Pulumi are honoured", async () => {
  const labels: unknown[] = [];
  const stub = await startRecordingStub((_method, _path, body) => {
    labels.push(body["labels"]);
    return { body: {} };
  });
  const other = connectToProvider(provider.port);
  try {
    await other.configure({
      ...stubConfig(stub.origin),
      defaultLabels: JSON.stringify({ team: "a" }),
      addPulumiAttributionLabel: "false",
    });
    const inputs = { name: "k", keyRing: "projects/p/locations/l/keyRings/r", labels: { app: "x" } };
    await other.create("gcp:kms/cryptoKey:CryptoKey", inputs);
    assert.deepEqual(labels[0], { team: "a", app: "x" });
  } finally {
    other.close();
    await stub.stop();
  }
});

test("a refresh takes over what the cloud has, and keeps the program's way of naming it", async () => {
  const stub = await startRecordingStub(() => ({
    body: {
      network: "https://www.googleapis.com/compute/v1/projects/p/global/networks/net",
      priority: 7,
      sourceRanges: ["::/0"],
    },
  }));
  const other = connectToProvider(provider.port);
  try {
    await other.configure(stubConfig(stub.origin));
    const inputs = { name: "f", network: "net", priority: 1000, sourceRanges: ["0.0.0.0/0"] };
    const read = await other.read(
      "gcp:compute/firewall:Firewall",
      "projects/p/global/firewalls/f",
      inputs,
      inputs,
    );
    assert.deepEqual(read.inputs, { name: "f", network: "net", priority: 7, sourceRanges: ["::/0"] });
  } finally {
    other.close();
    await stub.stop();
  }
});

test("what is gone is read as gone", async () => {
  const stub = await startRecordingStub(() => undefined);
  const other = connectToProvider(provider.port);
  try {
    await other.configure(stubConfig(stub.origin));
    const read = await other.read("gcp:compute/network:Network", "projects/p/global/networks/net", {}, {});
    assert.equal(read.id, "");
  } finally {
    other.close();
    await stub.stop();
  }
});

test("an import reads what a program could have given", async () => {
  const stub = await startRecordingStub(() => ({
    body: { purpose: "ASYMMETRIC_DECRYPT", labels: { theirs: "x" } },
  }));
  const other = connectToProvider(provider.port);
  try {
    await other.configure(stubConfig(stub.origin));
    const id = "projects/p/locations/l/keyRings/r/cryptoKeys/k";
    const read = await other.read("gcp:kms/cryptoKey:CryptoKey", id, {}, {});
    assert.equal(read.id, id);
    assert.deepEqual(read.inputs, {
      name: "k",
      keyRing: "projects/p/locations/l/keyRings/r",
      purpose: "ASYMMETRIC_DECRYPT",
    });
  } finally {
    other.close();
    await stub.stop();
  }
});

test("as a process of its own it prints its port, and goes at SIGTERM", async () => {
  const child = spawn(process.execPath, [fileURLToPath(new URL("main.ts", import.meta.url))], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout });
  const [line] = (await once(lines, "line")) as [string];
  const own = connectToProvider(Number(line));
  try {
    assert.deepEqual(await own.checkConfig({ project: "p" }), []);
  } finally {
    own.close();
    child.kill("SIGTERM");
  }
  const [code] = (await once(child, "exit")) as [number];
  assert.equal(code, 0);
});
