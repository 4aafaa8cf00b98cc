import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import {
  afterLogin,
  BASIC,
  BLOB,
  connect,
  DESCRIPTOR,
  MANIFEST,
  referenceTo,
  startRegistryOf,
} from "../../testing/hostile-exchange.ts";
import type { AnswerRequest } from "../../testing/hostile-registry.ts";
import { rejection } from "../../testing/planted-secrets.ts";
import { digestOf, OCI_MANIFEST } from "../manifest.ts";

const signal = AbortSignal.timeout(60_000);

/** Takes an upload; the first PUT goes to `firstPut`. */
function takeUpload(
  firstPut: AnswerRequest,
  location: () => string = () => "/upload?_state=a%2Bb",
): AnswerRequest {
  let puts = 0;
  return async (request, response, seen) => {
    if (seen.method === "HEAD") return void response.writeHead(404).end();
    if (seen.method === "POST") return void response.writeHead(202, { location: location() }).end();
    puts += 1;
    if (puts === 1) return await firstPut(request, response, seen);
    for await (const _ of request);
    response.writeHead(201).end();
  };
}

async function* openBlob(): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < BLOB.length; start += 50_000) yield BLOB.subarray(start, start + 50_000);
}

const FIRST_PUTS: readonly (readonly [string, AnswerRequest])[] = [
  ["breaks off", (request) => void request.once("data", () => request.socket.destroy())],
  ["is answered with 503", (_request, response) => void response.writeHead(503).end()],
];

test("an upload that needs a login in its middle is sent again with it", async (t) => {
  const server = await startRegistryOf(
    t,
    takeUpload((_request, response) => {
      response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
    }),
  );
  const client = connect(t, { retryDelaysMs: [1, 1] });
  assert.equal(
    await client.writeBlob(referenceTo(server.host), DESCRIPTOR, openBlob, { signal }),
    "uploaded",
  );
  assert.equal(server.seen.at(-1)?.authorization, BASIC);
});

for (const [name, firstPut] of FIRST_PUTS) {
  test(`an upload that ${name} starts again from its beginning`, async (t) => {
    const server = await startRegistryOf(t, takeUpload(firstPut));
    let opened = 0;
    const open = (): AsyncGenerator<Uint8Array> => {
      opened += 1;
      return openBlob();
    };
    const client = connect(t, { retryDelaysMs: [1, 1] });
    assert.equal(await client.writeBlob(referenceTo(server.host), DESCRIPTOR, open, { signal }), "uploaded");
    assert.equal(opened, 2);
    const digest = encodeURIComponent(DESCRIPTOR.digest);
    assert.deepEqual(
      server.seen.map(({ method, url }) => `${method} ${url}`),
      [
        `HEAD /v2/team/app/blobs/${DESCRIPTOR.digest}`,
        "POST /v2/team/app/blobs/uploads/",
        `PUT /upload?_state=a%2Bb&digest=${digest}`,
        "POST /v2/team/app/blobs/uploads/",
        `PUT /upload?_state=a%2Bb&digest=${digest}`,
      ],
    );
  });
}

test("an upload to another host has no login", async (t) => {
  const storage = await startRegistryOf(t, async (request, response) => {
    for await (const _ of request);
    response.writeHead(201).end();
  });
  const registry = await startRegistryOf(
    t,
    afterLogin(
      takeUpload(
        () => assert.fail("not here"),
        () => `http://${storage.host}/bucket`,
      ),
    ),
  );
  const outcome = await connect(t).writeBlob(referenceTo(registry.host), DESCRIPTOR, openBlob, { signal });
  assert.equal(outcome, "uploaded");
  assert.deepEqual(storage.seen, [
    {
      method: "PUT",
      url: `/bucket?digest=${encodeURIComponent(DESCRIPTOR.digest)}`,
      authorization: undefined,
    },
  ]);
});

test("an upload that another host without TLS should get is refused", async (t) => {
  const server = await startRegistryOf(
    t,
    takeUpload(
      () => assert.fail("not here"),
      () => "http://192.0.2.1/bucket",
    ),
  );
  const writing = connect(t).writeBlob(referenceTo(server.host), DESCRIPTOR, openBlob, { signal });
  assert.equal((await rejection(writing)).code, "REGISTRY_FAILED");
});

test("a registry that stores something else than it was sent is found out", async (t) => {
  const server = await startRegistryOf(t, async (request, response, seen) => {
    if (seen.method === "HEAD") return void response.writeHead(404).end();
    if (seen.method === "POST") return void response.writeHead(202, { location: "/upload" }).end();
    for await (const _ of request);
    response.writeHead(201, { "docker-content-digest": digestOf(MANIFEST) }).end();
  });
  const client = connect(t);
  const repository = referenceTo(server.host);
  const writing = client.writeBlob(repository, DESCRIPTOR, openBlob, { signal });
  assert.equal((await rejection(writing)).code, "IMAGE_DIGEST_MISMATCH");
  const manifest = { bytes: BLOB, mediaType: OCI_MANIFEST, digest: DESCRIPTOR.digest };
  const error = await rejection(client.writeManifest(repository, manifest, "v1", signal));
  assert.equal(error.code, "IMAGE_DIGEST_MISMATCH");
});

test("a mount that is refused is an upload", async (t) => {
  for (const status of [401, 403, 404, 405]) {
    const server = await startRegistryOf(t, (request, response, seen) => {
      if (seen.url.includes("mount=")) {
        return void response.writeHead(status, { "www-authenticate": "Basic realm=x" }).end();
      }
      return upload(request, response, seen);
    });
    const upload = takeUpload(async (request, response) => {
      for await (const _ of request);
      response.writeHead(201).end();
    });
    const options = { mountFrom: "team/base", signal };
    const outcome = await connect(t).writeBlob(referenceTo(server.host), DESCRIPTOR, openBlob, options);
    assert.equal(outcome, "uploaded", String(status));
    assert.equal(server.seen.filter(({ method }) => method === "POST").length, status === 401 ? 3 : 2);
  }
});

/** What is asked of a registry that does not mount, and opens a session instead; the first PUT goes to `firstPut`. */
async function uploadInsteadOfMount(t: TestContext, firstPut: AnswerRequest): Promise<string[]> {
  let sessions = 0;
  const server = await startRegistryOf(
    t,
    takeUpload(firstPut, () => `/session/${(sessions += 1)}`),
  );
  const options = { mountFrom: "team/base", signal };
  const client = connect(t, { retryDelaysMs: [1, 1] });
  const outcome = await client.writeBlob(referenceTo(server.host), DESCRIPTOR, openBlob, options);
  assert.equal(outcome, "uploaded");
  return server.seen.map(({ method, url }) => `${method} ${url.replace(/[?&]digest=.*/, "")}`).slice(1);
}

const MOUNT = `POST /v2/team/app/blobs/uploads/?mount=${encodeURIComponent(DESCRIPTOR.digest)}&from=team%2Fbase`;

test("a registry that does not mount and opens a session gets the bytes in that session", async (t) => {
  const asked = await uploadInsteadOfMount(t, async (request, response) => {
    for await (const _ of request);
    response.writeHead(201).end();
  });
  assert.deepEqual(asked, [MOUNT, "PUT /session/1"]);
});

for (const [name, firstPut] of FIRST_PUTS) {
  test(`an upload in the session of a mount that ${name} starts again in a new one`, async (t) => {
    assert.deepEqual(await uploadInsteadOfMount(t, firstPut), [
      MOUNT,
      "PUT /session/1",
      "POST /v2/team/app/blobs/uploads/",
      "PUT /session/2",
    ]);
  });
}
