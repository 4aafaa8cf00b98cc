import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { ErrorCode } from "@polaris-cvm/sdk/errors";
import { createSelfSignedCertificate } from "../../../proxy/src/self-signed-certificate.ts";
import { startHostileRegistry } from "../../testing/hostile-registry.ts";
import type { AnswerRequest, HostileRegistry } from "../../testing/hostile-registry.ts";
import { rejection } from "../../testing/planted-secrets.ts";
import type { ImageReference } from "../image-reference.ts";
import { digestOf, MAX_MANIFEST_BYTES, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST } from "../manifest.ts";
import type { Descriptor } from "../manifest.ts";
import { createRegistryClient } from "./registry-client.ts";
import type { RegistryClient, RegistryClientOptions } from "./registry-client.ts";

const signal = AbortSignal.timeout(60_000);

const LOGIN = { username: "builder", password: "pl4nt3d-Passw0rd" } as const;
const BASIC = `Basic ${Buffer.from(`${LOGIN.username}:${LOGIN.password}`).toString("base64")}`;

const MANIFEST = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST }));
const BLOB = randomBytes(200_000);
const DESCRIPTOR: Descriptor = { mediaType: OCI_LAYER_GZIP, digest: digestOf(BLOB), size: BLOB.length };

function referenceTo(registry: string): ImageReference {
  return { registry, repository: "team/app", tag: "v1", digest: undefined };
}

async function start(t: TestContext, answer: AnswerRequest): Promise<HostileRegistry> {
  const server = await startHostileRegistry(answer);
  t.after(() => server.stop());
  return server;
}

function connect(t: TestContext, options: RegistryClientOptions = {}): RegistryClient {
  const client = createRegistryClient({
    credentials: { find: async () => ({ kind: "password", ...LOGIN }) },
    retryDelaysMs: [],
    ...options,
  });
  t.after(() => client.close());
  return client;
}

/** Whoever has not said who they are is asked for it; what comes then is the test's. */
function afterLogin(answer: AnswerRequest): AnswerRequest {
  return (request, response, seen) => {
    if (seen.authorization !== undefined) return answer(request, response, seen);
    response.writeHead(401, { "www-authenticate": 'Basic realm="hostile"' }).end();
  };
}

const sendManifest: AnswerRequest = (_request, response) => {
  response.writeHead(200, { "content-type": OCI_MANIFEST }).end(MANIFEST);
};

interface Refusal {
  readonly name: string;
  readonly answer: AnswerRequest;
  readonly code: ErrorCode;
  readonly message: RegExp;
  readonly hint: RegExp;
  /** After the one that brought the challenge, if there was one. */
  readonly requests: number;
}

const REFUSALS: readonly Refusal[] = [
  {
    name: "401 without a challenge",
    answer: (_request, response) => void response.writeHead(401).end(),
    code: "REGISTRY_DENIED",
    message: /wants a login \(status 401\) in a way that we do not follow: expected Basic or Bearer/,
    hint: /tell those who run it/,
    requests: 1,
  },
  {
    name: "401 with a challenge that we do not know",
    answer: (_request, response) =>
      void response.writeHead(401, { "www-authenticate": 'Digest realm="x", nonce="y"' }).end(),
    code: "REGISTRY_DENIED",
    message: /expected Basic or Bearer/,
    hint: /tell those who run it/,
    requests: 1,
  },
  {
    name: "401 to a login, with the login in the answer",
    answer: afterLogin((request, response) => {
      response.writeHead(401, `no ${LOGIN.password}`, {
        "www-authenticate": `Basic realm="${request.headers.authorization}", ${LOGIN.password}`,
        "content-type": "application/json",
      });
      response.end(JSON.stringify({ errors: [{ code: LOGIN.password, message: BASIC }] }));
    }),
    code: "REGISTRY_DENIED",
    message: /does not let us at 127\.0\.0\.1:\d+\/team\/app:v1 \(status 401\)$/,
    hint: /^docker login 127\.0\.0\.1:\d+, or set POLARIS_REGISTRY/,
    requests: 2,
  },
  {
    name: "403",
    answer: (_request, response) =>
      void response.writeHead(403).end(JSON.stringify({ errors: [{ code: "DENIED", message: BASIC }] })),
    code: "REGISTRY_DENIED",
    message: /forbids us 127\.0\.0\.1:\d+\/team\/app:v1 \(status 403, DENIED\)$/,
    hint: /docker login/,
    requests: 1,
  },
  {
    name: "404",
    answer: (_request, response) => void response.writeHead(404).end("404 page not found"),
    code: "IMAGE_NOT_FOUND",
    message: /does not have 127\.0\.0\.1:\d+\/team\/app:v1 \(status 404\)$/,
    hint: /check the name and the tag/,
    requests: 1,
  },
  {
    name: "429 for ever",
    answer: (_request, response) => void response.writeHead(429, { "retry-after": "0" }).end(),
    code: "REGISTRY_RATE_LIMITED",
    message: /status 429/,
    hint: /try again later/,
    requests: 3,
  },
  ...(
    [
      ["61", "61 s"],
      ["3600", "60 min"],
      ["9".repeat(400), "more than a day"],
    ] as const
  ).map(([retryAfter, wait]): Refusal => ({
    name: `429 with a wait of ${wait}`,
    answer: (_request, response) => void response.writeHead(429, { "retry-after": retryAfter }).end(),
    code: "REGISTRY_RATE_LIMITED",
    message: /status 429/,
    hint: new RegExp(`^it asks to wait for ${wait}: try again then; accounts`),
    requests: 1,
  })),
  {
    name: "503 with a wait of two hours",
    answer: (_request, response) => void response.writeHead(503, { "retry-after": "7200" }).end(),
    code: "REGISTRY_FAILED",
    message: /status 503/,
    hint: /^it asks to wait for 120 min: try again then; if it stays so/,
    requests: 1,
  },
  {
    name: "500 for ever",
    answer: (_request, response) => void response.writeHead(500).end(`panic: ${BASIC}`),
    code: "REGISTRY_FAILED",
    message: /failed at 127\.0\.0\.1:\d+\/team\/app:v1 \(status 500\)$/,
    hint: /try again later/,
    requests: 3,
  },
  {
    name: "a status that nobody expects",
    answer: (_request, response) => void response.writeHead(418).end(),
    code: "REGISTRY_FAILED",
    message: /status 418/,
    hint: /tell those who run the registry/,
    requests: 1,
  },
  {
    name: "an answer that is not HTTP",
    answer: (request) => void request.socket.end(`SSH-2.0-${LOGIN.password}\r\n\r\n`),
    code: "REGISTRY_FAILED",
    message: /^the answer of 127\.0\.0\.1:\d+ is not HTTP as we know it$/,
    hint: /check that a registry is listening there/,
    requests: 1,
  },
  {
    name: "a connection that is closed each time",
    answer: (request) => void request.socket.destroy(),
    code: "REGISTRY_UNREACHABLE",
    message: /the connection failed \((UND_ERR_SOCKET|ECONNRESET)\)/,
    hint: /try again/,
    requests: 3,
  },
  {
    name: "a redirect in a circle",
    answer: (_request, response) => void response.writeHead(307, { location: "?again" }).end(),
    code: "REGISTRY_FAILED",
    message: /redirects more than 5 times/,
    hint: /tell those who run it/,
    requests: 6,
  },
  {
    name: "a redirect to nowhere",
    answer: (_request, response) => void response.writeHead(307).end(),
    code: "REGISTRY_FAILED",
    message: /redirects to nowhere/,
    hint: /tell those who run it/,
    requests: 1,
  },
  {
    name: "a redirect to another host without TLS",
    answer: (_request, response) => void response.writeHead(307, { location: "http://192.0.2.1/" }).end(),
    code: "REGISTRY_FAILED",
    message: /redirects to http:\/\/192\.0\.2\.1: expected https/,
    hint: /tell those who run it/,
    requests: 1,
  },
  {
    name: "a redirect with a login in it",
    answer: (_request, response) =>
      void response.writeHead(307, { location: `https://u:${LOGIN.password}@127.0.0.1/` }).end(),
    code: "REGISTRY_FAILED",
    message: /no login in the URL/,
    hint: /tell those who run it/,
    requests: 1,
  },
  {
    name: "a redirect to a file",
    answer: (_request, response) => void response.writeHead(307, { location: "file:///etc/passwd" }).end(),
    code: "REGISTRY_FAILED",
    message: /expected https/,
    hint: /tell those who run it/,
    requests: 1,
  },
  {
    name: "another digest in the header",
    answer: (_request, response) =>
      void response
        .writeHead(200, { "content-type": OCI_MANIFEST, "docker-content-digest": DESCRIPTOR.digest })
        .end(MANIFEST),
    code: "IMAGE_DIGEST_MISMATCH",
    message: /team\/app:v1: expected digest sha256:\w+, got sha256:\w+$/,
    hint: /do not use it/,
    requests: 1,
  },
  {
    name: "a digest that is none",
    answer: (_request, response) =>
      void response
        .writeHead(200, { "content-type": OCI_MANIFEST, "docker-content-digest": LOGIN.password })
        .end(MANIFEST),
    code: "REGISTRY_FAILED",
    message: /without a SHA-256 digest in Docker-Content-Digest$/,
    hint: /check that this is a container registry/,
    requests: 1,
  },
  {
    name: "no media type",
    answer: (_request, response) => void response.writeHead(200).end(MANIFEST),
    code: "REGISTRY_FAILED",
    message: /without a Content-Type$/,
    hint: /check that this is a container registry/,
    requests: 1,
  },
  {
    name: "a manifest without an end",
    answer: (_request, response) => {
      response.writeHead(200, { "content-type": OCI_MANIFEST });
      sendForEver(response);
    },
    code: "IMAGE_TOO_LARGE",
    message: new RegExp(`team/app:v1 is longer than ${MAX_MANIFEST_BYTES} bytes$`),
    hint: /check what was pushed/,
    requests: 1,
  },
  {
    name: "a manifest that breaks off",
    answer: (_request, response) => {
      response.writeHead(200, { "content-type": OCI_MANIFEST, "content-length": "1000" });
      response.write(MANIFEST, () => response.destroy());
    },
    code: "REGISTRY_UNREACHABLE",
    message: /the connection failed/,
    hint: /try again/,
    requests: 1,
  },
];

function sendForEver(response: Parameters<AnswerRequest>[1]): void {
  const piece = Buffer.alloc(64 * 1024);
  const fill = (): void => {
    while (!response.destroyed && response.write(piece));
  };
  response.on("drain", fill);
  fill();
}

for (const { name, answer, code, message, hint, requests } of REFUSALS) {
  test(`${name} ends with ${code}, and tells no secret`, async (t) => {
    const server = await start(t, answer);
    const client = connect(t, { retryDelaysMs: [1, 1] });
    const error = await rejection(client.readManifest(referenceTo(server.host), signal));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    assert.match(error.hint ?? "", hint);
    assert.equal(server.seen.length, requests);
  });
}

test("a manifest with another digest than was asked for is refused", async (t) => {
  const server = await start(t, sendManifest);
  const reference = { ...referenceTo(server.host), digest: DESCRIPTOR.digest };
  const error = await rejection(connect(t).readManifest(reference, signal));
  assert.equal(error.code, "IMAGE_DIGEST_MISMATCH");
  assert.equal(error.exitCode, 5);
});

test("429 is asked again after the time that it names, and then all is well", async (t) => {
  const server = await start(t, (request, response, seen) => {
    if (server.seen.length > 1) return sendManifest(request, response, seen);
    response.writeHead(429, { "retry-after": "1" }).end();
  });
  const startMs = performance.now();
  const manifest = await connect(t, { retryDelaysMs: [1] }).readManifest(referenceTo(server.host), signal);
  assert.equal(manifest.digest, digestOf(MANIFEST));
  assert.ok(performance.now() - startMs > 950);
});

test("a server that asks for no wait is still not asked again at once", async (t) => {
  const server = await start(t, (request, response, seen) => {
    if (server.seen.length > 1) return sendManifest(request, response, seen);
    response.writeHead(429, { "retry-after": "0" }).end();
  });
  const startMs = performance.now();
  await connect(t, { retryDelaysMs: [300] }).readManifest(referenceTo(server.host), signal);
  assert.ok(performance.now() - startMs > 280);
});

test("a token server that fails is tried as often as a registry, not as often for each try of that", async (t) => {
  const failures: readonly (readonly [answer: AnswerRequest, code: ErrorCode, requests: number])[] = [
    [(request) => void request.socket.destroy(), "REGISTRY_UNREACHABLE", 3],
    [(_request, response) => void response.writeHead(503).end(), "REGISTRY_FAILED", 3],
    // It breaks off in the middle of the token.
    [
      (request, response) => void response.write("{", () => request.socket.destroy()),
      "REGISTRY_UNREACHABLE",
      1,
    ],
  ];
  for (const [answer, code, requests] of failures) {
    const tokens = await start(t, answer);
    const registry = await start(
      t,
      (_request, response) =>
        void response
          .writeHead(401, { "www-authenticate": `Bearer realm="http://${tokens.host}/token"` })
          .end(),
    );
    let searches = 0;
    const client = connect(t, {
      retryDelaysMs: [1, 1],
      credentials: {
        async find() {
          searches += 1;
          return { kind: "password", ...LOGIN };
        },
      },
    });
    assert.equal((await rejection(client.readManifest(referenceTo(registry.host), signal))).code, code);
    assert.deepEqual([registry.seen.length, tokens.seen.length, searches], [1, requests, 1]);
    const upload = client.writeBlob(referenceTo(registry.host), DESCRIPTOR, () => assert.fail(), { signal });
    assert.equal((await rejection(upload)).code, code);
    assert.deepEqual([registry.seen.length, tokens.seen.length, searches], [2, 2 * requests, 1]);
  }
});

test("a search for a login that failed is made again, and not as a retry", async (t) => {
  const server = await start(t, afterLogin(sendManifest));
  let searches = 0;
  const client = connect(t, {
    retryDelaysMs: [1, 1],
    credentials: {
      async find() {
        searches += 1;
        if (searches === 1) throw new PolarisError("CREDENTIAL_HELPER_FAILED", "the helper failed");
        return { kind: "password", ...LOGIN };
      },
    },
  });
  const error = await rejection(client.readManifest(referenceTo(server.host), signal));
  assert.equal(error.code, "CREDENTIAL_HELPER_FAILED");
  assert.equal(searches, 1);
  await client.readManifest(referenceTo(server.host), signal);
  assert.equal(searches, 2);
});

test("the wait that a server asks for ends with the signal", async (t) => {
  const server = await start(
    t,
    (_request, response) => void response.writeHead(429, { "retry-after": "50" }).end(),
  );
  const abort = new AbortController();
  const reason = new Error("Ctrl-C");
  setTimeout(() => abort.abort(reason), 100);
  const reading = connect(t, { retryDelaysMs: [1] }).readManifest(referenceTo(server.host), abort.signal);
  await assert.rejects(reading, (error) => error === reason);
});

test("a digest that HEAD does not tell is found out", async (t) => {
  const server = await start(t, sendManifest);
  assert.equal(await connect(t).findManifest(referenceTo(server.host), signal), digestOf(MANIFEST));
  assert.deepEqual(
    server.seen.map(({ method }) => method),
    ["HEAD", "GET"],
  );
});

test("a redirect to another host has no login, on the way back neither", async (t) => {
  const storage = await start(
    t,
    (_request, response) => void response.writeHead(307, { location: `http://${registry.host}/back` }).end(),
  );
  const registry = await start(t, (request, response, seen) => {
    if (seen.url === "/back") return sendManifest(request, response, seen);
    return afterLogin(() => {
      response.writeHead(307, { location: `http://${storage.host}/signed?key=1` }).end();
    })(request, response, seen);
  });
  await connect(t).readManifest(referenceTo(registry.host), signal);
  assert.deepEqual(
    registry.seen.map(({ authorization }) => authorization),
    [undefined, BASIC, undefined],
  );
  assert.deepEqual(storage.seen, [{ method: "GET", url: "/signed?key=1", authorization: undefined }]);
});

test("a redirect within the registry keeps the login", async (t) => {
  const server = await start(
    t,
    afterLogin((request, response, seen) => {
      if (seen.url === "/elsewhere") return sendManifest(request, response, seen);
      response.writeHead(302, { location: "/elsewhere" }).end();
    }),
  );
  await connect(t).readManifest(referenceTo(server.host), signal);
  assert.equal(server.seen.at(-1)?.authorization, BASIC);
});

test("another host that wants a login after a redirect gets none", async (t) => {
  const other = await start(t, afterLogin(sendManifest));
  const registry = await start(
    t,
    (_request, response) => void response.writeHead(307, { location: `http://${other.host}/` }).end(),
  );
  const error = await rejection(connect(t).readManifest(referenceTo(registry.host), signal));
  assert.equal(error.code, "REGISTRY_DENIED");
  assert.deepEqual(
    other.seen.map(({ authorization }) => authorization),
    [undefined],
  );
});

const BLOB_FAULTS: readonly {
  readonly name: string;
  readonly answer: AnswerRequest;
  readonly code: ErrorCode;
  readonly message: RegExp;
}[] = [
  {
    name: "of other bytes",
    answer: (_request, response) => void response.end(randomBytes(BLOB.length)),
    code: "IMAGE_DIGEST_MISMATCH",
    message: /expected digest sha256:\w+, got sha256:\w+$/,
  },
  {
    name: "that ends too early",
    answer: (_request, response) => void response.end(BLOB.subarray(0, 100_000)),
    code: "IMAGE_DIGEST_MISMATCH",
    message: /expected 200000 bytes, got only 100000$/,
  },
  {
    name: "that breaks off",
    answer: (_request, response) => {
      response.writeHead(200, { "content-length": String(BLOB.length) });
      response.write(BLOB.subarray(0, 100_000), () => response.destroy());
    },
    code: "REGISTRY_UNREACHABLE",
    message: /the connection failed/,
  },
  {
    name: "with one byte more",
    answer: (_request, response) => void response.end(Buffer.concat([BLOB, Buffer.of(0)])),
    code: "IMAGE_DIGEST_MISMATCH",
    message: /expected 200000 bytes, got more$/,
  },
  {
    name: "without an end",
    answer: (_request, response) => sendForEver(response),
    code: "IMAGE_DIGEST_MISMATCH",
    message: /got (more|sha256:\w+)$/,
  },
];

for (const { name, answer, code, message } of BLOB_FAULTS) {
  test(`a blob ${name} ends with ${code}`, { timeout: 10_000 }, async (t) => {
    const closed = Promise.withResolvers<void>();
    const server = await start(t, (request, response, seen) => {
      response.once("close", () => closed.resolve());
      return answer(request, response, seen);
    });
    let byteCount = 0;
    const read = async (): Promise<void> => {
      for await (const piece of connect(t).readBlob(referenceTo(server.host), DESCRIPTOR, signal)) {
        byteCount += piece.length;
      }
    };
    const error = await rejection(read());
    assert.equal(error.code, code);
    assert.match(error.message, message);
    assert.ok(
      error.code === "REGISTRY_UNREACHABLE" || error.message.startsWith(`blob ${DESCRIPTOR.digest} of `),
    );
    assert.ok(byteCount <= BLOB.length);
    await closed.promise;
  });
}

test("whoever stops reading a blob closes its connection", { timeout: 10_000 }, async (t) => {
  const closed = Promise.withResolvers<void>();
  const server = await start(t, (_request, response) => {
    response.once("close", () => closed.resolve());
    sendForEver(response);
  });
  const blob = { ...DESCRIPTOR, size: 1e12 };
  for await (const piece of connect(t).readBlob(referenceTo(server.host), blob, signal)) {
    assert.ok(piece.length > 0);
    break;
  }
  await closed.promise;
});

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
  const server = await start(
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
    const server = await start(t, takeUpload(firstPut));
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
  const storage = await start(t, async (request, response) => {
    for await (const _ of request);
    response.writeHead(201).end();
  });
  const registry = await start(
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
  const server = await start(
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
  const server = await start(t, async (request, response, seen) => {
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
  for (const status of [202, 401, 403, 404, 405]) {
    const server = await start(t, (request, response, seen) => {
      if (seen.url.includes("mount=")) {
        return void response.writeHead(status, { "www-authenticate": "Basic realm=x", location: "/x" }).end();
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
  }
});

test("referrers come page by page", async (t) => {
  const pages = [0, 1, 2].map((page) => ({ ...DESCRIPTOR, mediaType: OCI_MANIFEST, size: page }));
  const server = await start(t, (_request, response, { url }) => {
    const page = Number(new URL(url, "http://x").searchParams.get("page") ?? 0);
    response.writeHead(200, {
      "content-type": OCI_INDEX,
      ...(page < 2 && { link: `<?page=${page + 1}>; rel="next"` }),
    });
    response.end(JSON.stringify({ schemaVersion: 2, manifests: [pages[page]] }));
  });
  assert.deepEqual(
    await connect(t).listReferrers(referenceTo(server.host), DESCRIPTOR.digest, signal),
    pages,
  );
});

const REFERRER_FAULTS: readonly (readonly [string, AnswerRequest, ErrorCode])[] = [
  [
    "pages without an end",
    (_request, response) =>
      void response.writeHead(200, { link: "<?next>; rel=next" }).end('{"schemaVersion":2,"manifests":[]}'),
    "IMAGE_TOO_LARGE",
  ],
  [
    "a page on another host without TLS",
    (_request, response) =>
      void response
        .writeHead(200, { link: '<http://192.0.2.1/>; rel="next"' })
        .end('{"schemaVersion":2,"manifests":[]}'),
    "REGISTRY_FAILED",
  ],
  ["a web page", (_request, response) => void response.end("<html>"), "IMAGE_INVALID"],
];

for (const [name, answer, code] of REFERRER_FAULTS) {
  test(`referrers that are ${name} end with ${code}`, async (t) => {
    const server = await start(t, answer);
    const listing = connect(t).listReferrers(referenceTo(server.host), DESCRIPTOR.digest, signal);
    assert.equal((await rejection(listing)).code, code);
  });
}

test("nobody listening is said so, after all attempts", async (t) => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  const client = connect(t, { retryDelaysMs: [1, 1] });
  const error = await rejection(client.readManifest(referenceTo(`127.0.0.1:${port}`), signal));
  assert.equal(error.code, "REGISTRY_UNREACHABLE");
  assert.equal(error.message, `cannot reach 127.0.0.1:${port}: the connection failed (ECONNREFUSED)`);
});

test("a server that never answers is waited for once", async (t) => {
  const server = await start(t, () => {});
  const client = connect(t, { timeouts: { answerMs: 300 }, retryDelaysMs: [1, 1] });
  const error = await rejection(client.readManifest(referenceTo(server.host), signal));
  assert.equal(error.code, "REGISTRY_UNREACHABLE");
  assert.match(error.message, /no answer in time \(UND_ERR_HEADERS_TIMEOUT\)$/);
  assert.equal(server.seen.length, 1);
});

test("a server that stops in the middle of a blob is given up", async (t) => {
  const server = await start(t, (_request, response) => void response.write(BLOB.subarray(0, 1000)));
  const client = connect(t, { timeouts: { idleMs: 300 } });
  const reading = Array.fromAsync(client.readBlob(referenceTo(server.host), DESCRIPTOR, signal));
  const error = await rejection(reading);
  assert.equal(error.code, "REGISTRY_UNREACHABLE");
  assert.match(error.message, /no answer in time \(UND_ERR_BODY_TIMEOUT\)$/);
});

/** Names that no name service knows lead to this machine, and are no loopback names all the same. */
const lookup: NonNullable<RegistryClientOptions["lookup"]> = (_host, options, callback) => {
  if (options.all === true) callback(null, [{ address: "127.0.0.1", family: 4 }]);
  else callback(null, "127.0.0.1", 4);
};

const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
const CERTIFICATE = {
  cert: createSelfSignedCertificate(keys, Date.now()),
  key: keys.privateKey.export({ type: "pkcs8", format: "pem" }),
};

test("a registry elsewhere is spoken to with TLS only", async (t) => {
  const selfSigned = await startHostileRegistry(sendManifest, CERTIFICATE);
  t.after(() => selfSigned.stop());
  const plain = await start(t, sendManifest);
  const cases = [
    { port: selfSigned.port, authorities: undefined, reason: "DEPTH_ZERO_SELF_SIGNED_CERT" },
    // The right authority, and a certificate for another name.
    { port: selfSigned.port, authorities: CERTIFICATE.cert, reason: "ERR_TLS_CERT_ALTNAME_INVALID" },
    { port: plain.port, authorities: undefined, reason: "ERR_SSL_\\w+" },
  ];
  for (const { port, authorities, reason } of cases) {
    const client = connect(t, {
      lookup,
      retryDelaysMs: [1, 1],
      ...(authorities !== undefined && { certificateAuthorities: authorities }),
    });
    const error = await rejection(client.readManifest(referenceTo(`registry.test:${port}`), signal));
    assert.equal(error.code, "REGISTRY_UNREACHABLE");
    assert.match(
      error.message,
      new RegExp(`^cannot reach registry\\.test:${port}: the TLS connection failed \\(${reason}\\)$`),
    );
    assert.match(error.hint ?? "", /NODE_EXTRA_CA_CERTS/);
  }
  assert.deepEqual([...selfSigned.seen, ...plain.seen], []);
});

test("a name that nobody knows is said so", async (t) => {
  const unknown: NonNullable<RegistryClientOptions["lookup"]> = (host, _options, callback) =>
    callback(Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: "ENOTFOUND" }), "");
  const error = await rejection(
    connect(t, { lookup: unknown, retryDelaysMs: [10_000] }).readManifest(
      referenceTo("registry.test"),
      signal,
    ),
  );
  assert.equal(error.message, "cannot reach registry.test: no such host is known (ENOTFOUND)");
});
