import assert from "node:assert/strict";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { after, before, test } from "node:test";
import providerPb from "@pulumi/pulumi/proto/provider_pb.js";
import statusPb from "@pulumi/pulumi/proto/status_pb.js";
import type { ServiceError } from "@grpc/grpc-js";
import { VM_ANSWER, VM_ANSWERS, VM_INPUTS } from "./compute-request-cases.ts";
import type { Fields } from "./fields.ts";
import { connectToProvider } from "./provider-client.ts";
import type { ProviderClient } from "./provider-client.ts";
import { startRecordingStub, stubConfig } from "./recording-stub.ts";
import type { StubAnswer, StubHandler } from "./recording-stub.ts";
import { startGcpProvider } from "./start-provider.ts";
import type { GcpProvider } from "./start-provider.ts";

const RING = { name: "ring", location: "europe-west4" };
const RING_TYPE = "gcp:kms/keyRing:KeyRing";
const KEY_TYPE = "gcp:kms/cryptoKey:CryptoKey";
const VM_TYPE = "gcp:compute/instance:Instance";
const VM = "projects/p/zones/europe-west4-a/instances/vm";
const KEY = "projects/p/locations/europe-west4/keyRings/ring/cryptoKeys/key";

let provider: GcpProvider;

before(async () => {
  provider = await startGcpProvider({ retryUnitMs: 1 });
});

after(async () => {
  await provider.stop();
});

interface Outcome {
  readonly error: ServiceError | undefined;
  /** What the engine shows, without the frame that every failure has. */
  readonly text: string;
  readonly requests: readonly string[];
}

/** Runs one operation against a stub, and gives what it failed with. */
async function attempt(
  handle: StubHandler,
  operate: (client: ProviderClient) => Promise<unknown>,
): Promise<Outcome> {
  const stub = await startRecordingStub(handle);
  const client = connectToProvider(provider.port);
  try {
    await client.configure(stubConfig(stub.origin));
    const error = await operate(client).then(
      () => undefined,
      (failure: unknown) => failure as ServiceError,
    );
    const details = error?.details ?? "";
    const framed = /^1 error occurred:\n\t\* (.*)\n\n$/s.exec(details);
    return { error, text: framed?.[1] ?? details, requests: stub.requests.map(([request]) => request) };
  } finally {
    client.close();
    await stub.stop();
  }
}

const always =
  (status: number, error: Fields): StubHandler =>
  () => ({ status, body: { error: { code: status, ...error } } });

const createRing = (client: ProviderClient): Promise<unknown> => client.create(RING_TYPE, RING);
const createVm = (client: ProviderClient): Promise<unknown> => client.create(VM_TYPE, VM_INPUTS);

const FAILING: readonly {
  name: string;
  handle: StubHandler;
  run: typeof createRing;
  text: string;
  count?: number;
}[] = [
  {
    name: "a refusal is Google's message",
    handle: always(403, { message: "Permission denied.", status: "PERMISSION_DENIED" }),
    run: createRing,
    text: "Error creating KeyRing: googleapi: Error 403: Permission denied.",
    count: 1,
  },
  {
    name: "details are shown with sorted keys, and the reason after them",
    handle: always(403, {
      message: "API has not been used.",
      errors: [{ message: "API has not been used.", reason: "accessNotConfigured" }],
      details: [{ reason: "SERVICE_DISABLED", "@type": "type.googleapis.com/google.rpc.ErrorInfo" }],
    }),
    run: createRing,
    text:
      "Error creating KeyRing: googleapi: Error 403: API has not been used.\nDetails:\n" +
      '[\n  {\n    "@type": "type.googleapis.com/google.rpc.ErrorInfo",\n    "reason": "SERVICE_DISABLED"\n  }\n]\n' +
      ", accessNotConfigured",
  },
  {
    name: "a reason with another message is shown below",
    handle: always(403, { message: "No.", errors: [{ message: "x", reason: "forbidden" }] }),
    run: createRing,
    text: "Error creating KeyRing: googleapi: Error 403: No.\nMore details:\nReason: forbidden, Message: x\n",
  },
  {
    name: "a machine that exists is a conflict",
    handle: always(409, {
      message: "The resource 'projects/p/zones/europe-west4-a/instances/vm' already exists",
      errors: [
        {
          message: "The resource 'projects/p/zones/europe-west4-a/instances/vm' already exists",
          reason: "alreadyExists",
        },
      ],
    }),
    run: createVm,
    text:
      "Error creating instance: googleapi: Error 409: The resource " +
      "'projects/p/zones/europe-west4-a/instances/vm' already exists, alreadyExists",
    count: 1,
  },
  {
    name: "an unavailable service is tried nine times, and its text is lost",
    handle: always(503, { message: "The service is currently unavailable." }),
    run: createRing,
    text: "Error creating KeyRing: timeout while waiting for state to become 'success' (timeout: 20m0s)",
    count: 9,
  },
  {
    name: "a quota per minute is tried again too",
    handle: always(403, {
      message: "Quota exceeded for quota metric 'Reads' and limit 'Reads per minute' of service 'x'",
    }),
    run: createRing,
    text: "Error creating KeyRing: timeout while waiting for state to become 'success' (timeout: 20m0s)",
    count: 9,
  },
  {
    name: "a machine that is gone cannot be deleted",
    handle: always(404, { message: "not found" }),
    run: (client) => client.delete(VM_TYPE, VM, VM_INPUTS),
    text:
      "deleting urn:pulumi:test::test::gcp:compute/instance:Instance::thing: 1 error occurred:\n\t* " +
      "Error deleting instance: googleapi: Error 404: not found",
    count: 1,
  },
  {
    name: "a machine that is protected is not deleted",
    handle: always(500, {}),
    run: (client) => client.delete(VM_TYPE, VM, { ...VM_INPUTS, deletionProtection: true }),
    text:
      "deleting urn:pulumi:test::test::gcp:compute/instance:Instance::thing: 1 error occurred:\n\t* " +
      "Cannot delete instance vm: instance Deletion Protection is enabled. Set deletion_protection to false for this " +
      'resource and run "terraform apply" before attempting to delete it.',
    count: 0,
  },
  {
    name: "a key that is kept by its policy is not destroyed",
    handle: always(500, {}),
    run: (client) => client.delete(KEY_TYPE, KEY, { deletionPolicy: "PREVENT" }),
    text:
      "deleting urn:pulumi:test::test::gcp:kms/cryptoKey:CryptoKey::thing: 1 error occurred:\n\t* " +
      'cannot destroy KMSCryptoKey without setting deletion_policy="DELETE" and running `terraform apply`',
    count: 0,
  },
  {
    name: "a project that is not to be seen may not exist",
    handle: always(403, { message: "no" }),
    run: (client) => client.invoke("gcp:organizations/getProject:getProject", {}),
    text:
      'invoking gcp:organizations/getProject:getProject: the user does not have permission to access Project "p" or it ' +
      "may not exist",
  },
  {
    name: "a project that does not exist is not active",
    handle: () => undefined,
    run: (client) => client.invoke("gcp:organizations/getProject:getProject", {}),
    text: "invoking gcp:organizations/getProject:getProject: projects/p not found or not in ACTIVE state",
  },
  {
    name: "a policy that is refused names its resource",
    handle: (method) =>
      method === "GET"
        ? { body: { etag: "e" } }
        : { status: 400, body: { error: { message: "unknown member" } } },
    run: (client) =>
      client.create("gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember", {
        cryptoKeyId: KEY,
        role: "roles/viewer",
        member: "user:a@example.com",
      }),
    text:
      `Error applying IAM policy for KMS CryptoKey "${KEY}": Error setting IAM policy for KMS CryptoKey "${KEY}": ` +
      "googleapi: Error 400: unknown member",
    count: 2,
  },
  {
    name: "a key's id of another form is refused before any call",
    handle: always(500, {}),
    run: (client) =>
      client.create("gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember", {
        cryptoKeyId: "k",
        role: "roles/viewer",
        member: "user:a@example.com",
      }),
    text:
      "Error parsing resource ID for k: Invalid CryptoKey id format, expecting " +
      "`{projectId}/{locationId}/{KeyringName}/{cryptoKeyName}` or `{locationId}/{keyRingName}/{cryptoKeyName}.`",
    count: 0,
  },
  {
    name: "changed metadata under a stale fingerprint is not tried again",
    handle: (method, path) =>
      method === "GET"
        ? answerVm(method, path)
        : {
            status: 412,
            body: {
              error: {
                message: "Supplied fingerprint does not match current metadata fingerprint.",
                errors: [
                  {
                    message: "Supplied fingerprint does not match current metadata fingerprint.",
                    reason: "conditionNotMet",
                  },
                ],
              },
            },
          },
    run: (client) =>
      client.update(VM_TYPE, VM, VM_INPUTS, { ...VM_INPUTS, metadata: { "user-data": "new" } }),
    text:
      "updating urn:pulumi:test::test::gcp:compute/instance:Instance::thing: 1 error occurred:\n\t* Error updating metadata: " +
      "googleapi: Error 412: Supplied fingerprint does not match current metadata fingerprint., conditionNotMet",
    count: 3,
  },
];

for (const { name, handle, run, text, count } of FAILING) {
  test(name, async () => {
    const outcome = await attempt(handle, run);
    assert.equal(outcome.text, text);
    if (count !== undefined) assert.equal(outcome.requests.length, count);
  });
}

/** A machine whose operation fails. */
function failingOperation(error: Fields): StubHandler {
  return (method) =>
    method === "POST"
      ? { body: { name: "op", status: "DONE", error: { errors: [error] } } }
      : { status: 500, body: {} };
}

test("a quota of the project is told with its metric, and without a code", async () => {
  const { text } = await attempt(
    failingOperation({
      code: "QUOTA_EXCEEDED",
      message: "Quota 'N2D_CPUS' exceeded.  Limit: 0.0 in region us-central1.",
      errorDetails: [
        {
          quotaInfo: {
            metricName: "compute.googleapis.com/n2d_cpus",
            limitName: "N2D-CPUS-per-project-region",
            dimensions: { region: "us-central1" },
          },
        },
      ],
    }),
    createVm,
  );
  assert.equal(
    text,
    "Error waiting for instance to create: Quota 'N2D_CPUS' exceeded.  Limit: 0.0 in region us-central1.\n" +
      "\tmetric name = compute.googleapis.com/n2d_cpus\n" +
      "\tlimit name = N2D-CPUS-per-project-region\n" +
      "\tdimensions = map[region:us-central1]",
  );
});

test("a zone without capacity is told with Google's advice, and without the zones that have some", async () => {
  const { text } = await attempt(
    failingOperation({
      code: "ZONE_RESOURCE_POOL_EXHAUSTED",
      message:
        "The zone 'projects/p/zones/us-central1-a' does not have enough resources available to fulfill the request.",
      errorDetails: [
        { errorInfo: { metadatas: { zonesAvailable: "us-central1-b" } } },
        { localizedMessage: { message: "A n2d-standard-2 VM instance is currently unavailable." } },
        {
          help: {
            links: [{ description: "Troubleshooting documentation", url: "https://example.com/help" }],
          },
        },
      ],
    }),
    createVm,
  );
  assert.equal(
    text,
    "Error waiting for instance to create: The zone 'projects/p/zones/us-central1-a' does not have enough resources " +
      "available to fulfill the request.\n\n\nA n2d-standard-2 VM instance is currently unavailable.\n\n\n" +
      "Troubleshooting documentation\nhttps://example.com/help",
  );
});

test("a failed operation of any other service is told with its code", async () => {
  const { text } = await attempt(
    () => ({ body: { name: "op", done: true, error: { code: 9, message: "Precondition check failed." } } }),
    (client) =>
      client.create("gcp:iam/workloadIdentityPool:WorkloadIdentityPool", { workloadIdentityPoolId: "pool" }),
  );
  assert.equal(
    text,
    "Error waiting to create WorkloadIdentityPool: Error waiting for Creating WorkloadIdentityPool: Error code 9, " +
      "message: Precondition check failed.",
  );
});

test("a service that recovers is tried with the same body until it does", async () => {
  let failures = 3;
  const { error, requests } = await attempt((method): StubAnswer => {
    if (method === "POST" && failures-- > 0) return { status: 503, body: {} };
    return { body: {} };
  }, createRing);
  assert.equal(error, undefined);
  assert.equal(requests.filter((request) => request.startsWith("POST ")).length, 4);
});

test("a policy that somebody else changed meanwhile is read again", async () => {
  let conflicts = 2;
  const bindings = [{ role: "roles/viewer", members: ["user:a@example.com"] }];
  const { error, requests } = await attempt(
    (method): StubAnswer => {
      if (method === "POST" && conflicts-- > 0) return { status: 409, body: { error: { message: "stale" } } };
      return { body: { etag: "e", bindings } };
    },
    (client) =>
      client.create("gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember", {
        cryptoKeyId: KEY,
        role: "roles/viewer",
        member: "user:a@example.com",
      }),
  );
  assert.equal(error, undefined);
  assert.equal(requests.filter((request) => request.startsWith("POST ")).length, 3);
});

test("a connection that breaks is not tried again", async () => {
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    socket.once("data", () => socket.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = connectToProvider(provider.port);
  try {
    await client.configure(stubConfig(origin));
    await assert.rejects(client.create(RING_TYPE, RING), (error: ServiceError) => {
      const url = `${origin}/v1/projects/p/locations/europe-west4/keyRings?alt=json&keyRingId=ring`;
      assert.equal(error.details, `1 error occurred:\n\t* Error creating KeyRing: Post "${url}": EOF\n\n`);
      return true;
    });
    assert.equal(connections, 1);
  } finally {
    client.close();
    server.close();
  }
});

test("what was made and cannot be read stays in the state, marked", async () => {
  const { error } = await attempt(
    (method) => (method === "POST" ? { body: {} } : { status: 403, body: { error: { message: "no" } } }),
    createRing,
  );
  const [detail] = error?.metadata.get("grpc-status-details-bin") ?? [];
  const status = statusPb.Status.deserializeBinary(detail as Buffer);
  const made = providerPb.ErrorResourceInitFailed.deserializeBinary(
    status.getDetailsList()[0]?.getValue_asU8() ?? new Uint8Array(),
  );
  assert.equal(made.getId(), "projects/p/locations/europe-west4/keyRings/ring");
  assert.match(made.getReasonsList()[0] ?? "", /creating urn:.*googleapi: Error 403: no/s);
});

test("a pool that cannot be asked for its rules vanishes", async () => {
  const { text } = await attempt(
    (method, path) =>
      method === "POST"
        ? { body: { done: true } }
        : path.endsWith(":listAttestationRules")
          ? undefined
          : { body: { name: "pool" } },
    (client) =>
      client.create("gcp:iam/workloadIdentityPool:WorkloadIdentityPool", { workloadIdentityPoolId: "pool" }),
  );
  assert.equal(
    text,
    "expected non-nil error with nil state during Create of " +
      "urn:pulumi:test::test::gcp:iam/workloadIdentityPool:WorkloadIdentityPool::thing",
  );
});

test("a running machine is not stopped without leave", async () => {
  const { text, requests } = await attempt(answerVm, (client) =>
    client.update(VM_TYPE, VM, VM_INPUTS, { ...VM_INPUTS, machineType: "n2d-standard-4" }),
  );
  assert.match(text, /Changing the machine_type, .* on a started instance requires stopping it\./);
  assert.equal(requests.length, 1);
});

test("a machine without metadata, on which the real provider crashes, is a failure here too", async () => {
  const { text } = await attempt(
    (_method, path) =>
      path.endsWith("/vm")
        ? { body: { ...VM_ANSWER, metadata: undefined } }
        : { body: { name: "op", status: "DONE" } },
    createVm,
  );
  assert.match(text, /has no metadata or no disks\[\]\.source: the real provider crashes on it/);
});

test("without an endpoint nothing is sent to Google", async () => {
  const client = connectToProvider(provider.port);
  try {
    await client.configure({ project: "p", accessToken: "test-token" });
    await assert.rejects(client.create(RING_TYPE, RING), {
      details:
        "1 error occurred:\n\t* Error creating KeyRing: the test provider needs the argument kmsCustomEndpoint: it calls " +
        "simulated clouds only\n\n",
    });
  } finally {
    client.close();
  }
});

function answerVm(method: string, path: string): StubAnswer | undefined {
  const answer = (VM_ANSWERS as Fields)[`${method} ${path}`];
  return answer === undefined ? undefined : { body: answer };
}
