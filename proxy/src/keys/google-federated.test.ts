import assert from "node:assert/strict";
import { constants, createPrivateKey, privateDecrypt, publicEncrypt } from "node:crypto";
import { EventEmitter, getEventListeners, once } from "node:events";
import { createServer } from "node:http";
import type { ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import { GOLDEN_VECTORS } from "../../testing/golden-vectors.ts";
import type { GoogleFederatedKeySettings } from "../environment.ts";
import { crc32c } from "./crc32c.ts";
import { describeFailure } from "../log.ts";
import { createGoogleFederatedKeyProvider } from "./google-federated.ts";
import type { KeyProvider } from "./key-provider.ts";

const VERSION = "projects/my-keys/locations/global/keyRings/ring/cryptoKeys/key/cryptoKeyVersions/1";
const NOW_MS = 1_800_000_000_000;
const NEVER = new AbortController().signal;
const privateKey = createPrivateKey(GOLDEN_VECTORS.containerPrivateKeyPem);

function formatToken(claims: object): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "RS256" })}.${part(claims)}.${Buffer.alloc(256, 7).toString("base64url")}`;
}

const TOKEN = formatToken({ exp: NOW_MS / 1000 + 3600 });

function wrap(value: Buffer): Buffer {
  const key = { key: GOLDEN_VECTORS.containerPublicKeyPem, padding: constants.RSA_PKCS1_OAEP_PADDING };
  return publicEncrypt({ ...key, oaepHash: "sha256" }, value);
}

interface Call {
  readonly route: string;
  readonly authorization: string | undefined;
  readonly body: string;
}

type Answer = readonly [status: number, json: object];

/** Comes before the answer: lets it wait, or answers in its place. */
type Hold = (response: ServerResponse) => Promise<void> | void;

/** Google's three services, as far as failures go: every route answers well but for what a test puts in its way. */
async function startServices() {
  const calls: Call[] = [];
  const arrivals = new EventEmitter();
  const failures = new Map<string, Answer[]>();
  const holds = new Map<string, Hold>();
  let issued = 0;

  function answerWell(route: string, body: string): Answer {
    if (route === "POST /v1/token") {
      return [200, { access_token: `access-${++issued}`, token_type: "Bearer", expires_in: 3600 }];
    }
    if (route.endsWith(":generateAccessToken")) {
      return [200, { accessToken: "account-1", expireTime: new Date(NOW_MS + 3_600_000).toISOString() }];
    }
    if (route === `GET /v1/${VERSION}/publicKey`) {
      const pem = GOLDEN_VECTORS.containerPublicKeyPem;
      const pemCrc32c = String(crc32c(Buffer.from(pem)));
      return [200, { pem, pemCrc32c, name: VERSION, algorithm: "RSA_DECRYPT_OAEP_4096_SHA256" }];
    }
    const { ciphertext, ciphertextCrc32c } = JSON.parse(body) as Record<string, string>;
    const bytes = Buffer.from(ciphertext ?? "", "base64");
    assert.equal(ciphertextCrc32c, String(crc32c(bytes)));
    const options = { key: privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" };
    return [200, answerOf(privateDecrypt(options, bytes))];
  }

  const server = createServer((request, response) => {
    void (async () => {
      let body = "";
      for await (const chunk of request) body += String(chunk);
      const route = `${request.method} ${request.url}`;
      calls.push({ route, authorization: request.headers.authorization, body });
      arrivals.emit(request.url ?? "");
      await holds.get(request.url ?? "")?.(response);
      if (response.writableEnded || response.destroyed) return;
      const [status, json] = failures.get(request.url ?? "")?.shift() ?? answerWell(route, body);
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(json));
    })();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    count: (end: string) => calls.filter(({ route }) => route.endsWith(end)).length,
    last: (end: string) => calls.findLast(({ route }) => route.endsWith(end)),
    nextCall: (path: string) => once(arrivals, path),
    /** The next requests of a path get these answers. */
    answer: (path: string, ...answers: Answer[]) => failures.set(path, answers),
    /** All requests of a path go through this from now on, or none. */
    hold: (path: string, hold: Hold | undefined) => (hold ? holds.set(path, hold) : holds.delete(path)),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

function answerOf(value: Buffer): Record<string, unknown> {
  return {
    plaintext: value.toString("base64"),
    plaintextCrc32c: String(crc32c(value)),
    verifiedCiphertextCrc32c: true,
  };
}

const STS = "/v1/token";
const PUBLIC_KEY = `/v1/${VERSION}/publicKey`;
const DECRYPT = `/v1/${VERSION}:asymmetricDecrypt`;

interface World extends AsyncDisposable {
  readonly keys: KeyProvider;
  readonly services: Awaited<ReturnType<typeof startServices>>;
  readonly tokenFile: string;
  readonly failures: unknown[];
  /** Moves the provider's clock. */
  passSeconds(seconds: number): void;
}

interface WorldOptions {
  readonly tokenText?: string;
  readonly serviceAccount?: string;
  readonly stsUrl?: string;
  readonly maxQueuedUnwraps?: number;
  readonly prepare?: (services: World["services"]) => void;
  /** Called at each wait between attempts with their number; waiting takes no time. */
  readonly onWait?: (waits: number, tokenFile: string) => Promise<void>;
}

async function createWorld({
  tokenText = TOKEN,
  serviceAccount,
  stsUrl,
  maxQueuedUnwraps = 256,
  prepare,
  onWait,
}: WorldOptions = {}): Promise<World> {
  const services = await startServices();
  prepare?.(services);
  const folder = await mkdtemp(join(tmpdir(), "polaris-keys-"));
  const tokenFile = join(folder, "token");
  if (tokenText !== "") await writeFile(tokenFile, tokenText);
  const settings: GoogleFederatedKeySettings = {
    kind: "google-federated",
    project: "my-keys",
    location: "global",
    keyRing: "ring",
    key: "key",
    keyVersion: 1,
    olderKeyVersions: [],
    audience:
      "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/attested",
    ...(serviceAccount !== undefined && { serviceAccount }),
    tokenFile,
    stsUrl: stsUrl ?? services.url,
    kmsUrl: services.url,
    iamCredentialsUrl: services.url,
  };
  const failures: unknown[] = [];
  let nowMs = NOW_MS;
  let waits = 0;
  const keys = createGoogleFederatedKeyProvider(settings, {
    onFailure: (error) => failures.push(error),
    maxQueuedUnwraps,
    nowMs: () => nowMs,
    wait: async (_delayMs, signal) => {
      await onWait?.(++waits, tokenFile);
      await new Promise(setImmediate);
      signal.throwIfAborted();
    },
  });
  return {
    keys,
    services,
    tokenFile,
    failures,
    passSeconds: (seconds) => (nowMs += seconds * 1000),
    async [Symbol.asyncDispose]() {
      keys.close();
      await services[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}

const repeat = (times: number, answer: Answer): Answer[] => Array.from({ length: times }, () => answer);
const codesOf = (failures: readonly unknown[]): unknown[] =>
  failures.map((failure) => (failure as { code: string }).code);

test("the attestation token becomes an access token, and that opens what was wrapped", async () => {
  await using world = await createWorld();
  const value = Buffer.from("a content key");
  assert.deepEqual(Buffer.from(await world.keys.unwrap(wrap(value), undefined, NEVER)), value);

  const form = new URLSearchParams(world.services.last(STS)?.body);
  assert.equal(form.get("grant_type"), "urn:ietf:params:oauth:grant-type:token-exchange");
  assert.equal(form.get("subject_token"), TOKEN);
  assert.equal(form.get("subject_token_type"), "urn:ietf:params:oauth:token-type:jwt");
  assert.match(form.get("audience") ?? "", /^\/\/iam\.googleapis\.com\/projects\/1\//);
  assert.equal(world.services.last(DECRYPT)?.authorization, "Bearer access-1");
});

test("the public key is the key service's, is named by its version and is asked for once", async () => {
  await using world = await createWorld();
  const keys = await Promise.all([world.keys.publicKey(NEVER), world.keys.publicKey(NEVER)]);
  await world.keys.publicKey(NEVER);
  assert.equal(keys[0].pem, GOLDEN_VECTORS.containerPublicKeyPem);
  assert.equal(keys[0].modulusBytes, 512);
  assert.deepEqual(keys[0].origin, { kind: "google-kms", keyVersion: VERSION });
  assert.equal(world.services.count(PUBLIC_KEY), 1);
});

test("forty unwraps at once share one exchange", async () => {
  await using world = await createWorld();
  await Promise.all(
    Array.from({ length: 40 }, () => world.keys.unwrap(wrap(Buffer.alloc(32)), undefined, NEVER)),
  );
  assert.equal(world.services.count(STS), 1);
  assert.equal(world.services.count(DECRYPT), 40);
});

test("with a service account, its token is what the key service sees", async () => {
  await using world = await createWorld({ serviceAccount: "user@my-keys.iam.gserviceaccount.com" });
  await world.keys.unwrap(wrap(Buffer.alloc(32)), undefined, NEVER);
  const impersonation = world.services.last(":generateAccessToken");
  assert.equal(impersonation?.authorization, "Bearer access-1");
  assert.match(impersonation?.route ?? "", /\/serviceAccounts\/user@my-keys\.iam\.gserviceaccount\.com:/);
  assert.equal(world.services.last(DECRYPT)?.authorization, "Bearer account-1");
});

const LATE_FILES: readonly [name: string, early: string][] = [
  ["missing", ""],
  ["empty", "\n"],
  ["half written", TOKEN.slice(0, -20)],
  ["old", formatToken({ exp: NOW_MS / 1000 - 1 })],
];

for (const [name, early] of LATE_FILES) {
  test(`waits for a token file that is ${name}, and reads it anew`, async () => {
    await using world = await createWorld({
      tokenText: early,
      onWait: async (waits, tokenFile) => {
        if (waits === 2) await writeFile(tokenFile, TOKEN);
      },
    });
    await world.keys.publicKey(NEVER);
    assert.deepEqual(codesOf(world.failures), ["KEY_UNAVAILABLE", "KEY_UNAVAILABLE"]);
    assert.equal(world.services.count(STS), 1);
  });
}

test("waits while the token service and the key service say not yet", async () => {
  await using world = await createWorld({
    prepare(services) {
      services.answer(STS, [403, {}], [404, {}], [429, {}], [503, {}]);
      services.answer(PUBLIC_KEY, [403, {}], [400, { error: { status: "FAILED_PRECONDITION" } }], [500, {}]);
    },
  });
  await world.keys.publicKey(NEVER);
  assert.deepEqual(codesOf(world.failures), [
    "KEY_RELEASE_DENIED",
    "KEY_UNAVAILABLE",
    "KEY_UNAVAILABLE",
    "KEY_UNAVAILABLE",
    "KEY_RELEASE_DENIED",
    "KEY_UNAVAILABLE",
    "KEY_UNAVAILABLE",
  ]);
  assert.equal(world.services.count(STS), 5, "a token that is good is not exchanged again");
});

test("a refused attestation is said at once, and tried again all the same", async () => {
  const { promise: hold, resolve: letGo } = Promise.withResolvers<void>();
  await using world = await createWorld({
    prepare: (services) => services.answer(STS, [400, { error: "invalid_grant" }]),
    onWait: () => hold,
  });
  await assert.rejects(world.keys.publicKey(NEVER), {
    code: "KEY_RELEASE_DENIED",
    message: "the token service refused with status 400",
  });
  await assert.rejects(world.keys.publicKey(NEVER), { code: "KEY_RELEASE_DENIED" });
  const nextAttempt = world.services.nextCall(STS);
  letGo();
  await nextAttempt;
  await world.keys.publicKey(NEVER);
});

test("a public key that is damaged, of another version or for another use is not taken", async () => {
  const pem = GOLDEN_VECTORS.containerPublicKeyPem;
  const good = {
    pem,
    pemCrc32c: String(crc32c(Buffer.from(pem))),
    name: VERSION,
    algorithm: "RSA_DECRYPT_OAEP_4096_SHA256",
  };
  const otherPem = GOLDEN_VECTORS.clientPublicKeyPem;
  await using world = await createWorld({
    prepare: (services) =>
      services.answer(
        PUBLIC_KEY,
        [200, { ...good, pem: otherPem }],
        [200, { ...good, pemCrc32c: undefined }],
        [200, { ...good, name: VERSION.replace(/1$/, "2") }],
        [200, { ...good, algorithm: "RSA_DECRYPT_OAEP_4096_SHA1" }],
        [200, {}],
      ),
  });
  assert.equal((await world.keys.publicKey(NEVER)).pem, pem);
  assert.deepEqual(codesOf(world.failures), Array(5).fill("KEY_UNAVAILABLE"));
});

test("a value that got damaged on the way is asked for again, and given up after four tries", async () => {
  const value = Buffer.alloc(32, 9);
  const good = answerOf(value);
  const damaged: Answer[] = [
    [200, { ...good, plaintextCrc32c: "1" }],
    [200, { ...good, verifiedCiphertextCrc32c: false }],
    [400, { error: { status: "INVALID_ARGUMENT", message: "ciphertext_crc32c does not match" } }],
  ];
  await using world = await createWorld();
  world.services.answer(DECRYPT, ...damaged);
  assert.deepEqual(Buffer.from(await world.keys.unwrap(wrap(value), undefined, NEVER)), value);
  assert.equal(world.services.count(DECRYPT), 4);

  world.services.answer(DECRYPT, ...damaged, [200, { ...good, plaintext: "AAAA" }], [200, good]);
  await assert.rejects(world.keys.unwrap(wrap(value), undefined, NEVER), { code: "KEY_UNAVAILABLE" });
  assert.equal(world.services.count(DECRYPT), 8);
});

test("a ciphertext that the key service calls invalid is the sender's fault, and asked once", async () => {
  await using world = await createWorld();
  world.services.answer(DECRYPT, [
    400,
    { error: { status: "INVALID_ARGUMENT", message: "Decryption failed: the ciphertext is invalid." } },
  ]);
  await assert.rejects(world.keys.unwrap(Buffer.alloc(512, 1), undefined, NEVER), {
    code: "ENVELOPE_OPEN_FAILED",
    message: "cannot open envelope",
  });
  assert.equal(world.services.count(DECRYPT), 1);
});

test("a wrapped key of the wrong length never reaches the key service", async () => {
  await using world = await createWorld();
  await assert.rejects(world.keys.unwrap(Buffer.alloc(511), undefined, NEVER), {
    code: "ENVELOPE_OPEN_FAILED",
  });
  await assert.rejects(world.keys.unwrap(Buffer.alloc(513), undefined, NEVER), {
    code: "ENVELOPE_OPEN_FAILED",
  });
  assert.equal(world.services.count(DECRYPT), 0);
});

test("a principal without a grant and a disabled version are told apart", async () => {
  await using world = await createWorld();
  world.services.answer(DECRYPT, [403, { error: { status: "PERMISSION_DENIED" } }]);
  await assert.rejects(world.keys.unwrap(wrap(Buffer.alloc(32)), undefined, NEVER), {
    code: "KEY_RELEASE_DENIED",
  });
  world.services.answer(DECRYPT, ...repeat(4, [400, { error: { status: "FAILED_PRECONDITION" } }]));
  await assert.rejects(world.keys.unwrap(wrap(Buffer.alloc(32)), undefined, NEVER), {
    code: "KEY_UNAVAILABLE",
  });
});

test("a token that the key service does not know any more is exchanged anew, once", async () => {
  await using world = await createWorld();
  await world.keys.unwrap(wrap(Buffer.alloc(32)), undefined, NEVER);
  world.services.answer(DECRYPT, [401, {}]);
  await world.keys.unwrap(wrap(Buffer.alloc(32)), undefined, NEVER);
  assert.equal(world.services.last(DECRYPT)?.authorization, "Bearer access-2");

  world.services.answer(DECRYPT, [401, {}], [401, {}]);
  await assert.rejects(world.keys.unwrap(wrap(Buffer.alloc(32)), undefined, NEVER), {
    code: "KEY_RELEASE_DENIED",
  });
  assert.equal(world.services.count(STS), 3);
});

test("a token is renewed before its end, and the old one serves until then", async () => {
  await using world = await createWorld();
  await world.keys.unwrap(wrap(Buffer.alloc(32)), undefined, NEVER);
  world.passSeconds(3600 - 200);
  await world.keys.unwrap(wrap(Buffer.alloc(32)), undefined, NEVER);
  await world.keys.unwrap(wrap(Buffer.alloc(32)), undefined, NEVER);
  await world.keys.unwrap(wrap(Buffer.alloc(32)), undefined, NEVER);
  assert.equal(world.services.count(STS), 2);
  assert.equal(world.services.count(PUBLIC_KEY), 1);
});

test("services that are away fail a request when its time is over, while the attempts go on", async () => {
  await using world = await createWorld({
    prepare: (services) => services.answer(STS, ...repeat(10_000, [503, {}])),
  });
  await assert.rejects(world.keys.publicKey(AbortSignal.timeout(50)), { code: "KEY_UNAVAILABLE" });
  world.services.answer(STS);
  await world.keys.publicKey(NEVER);
});

test("a connection that is refused is no refusal", async () => {
  await using world = await createWorld({ stsUrl: "http://127.0.0.1:1" });
  await assert.rejects(world.keys.publicKey(AbortSignal.timeout(50)), {
    code: "KEY_UNAVAILABLE",
    message: "no answer of the token service",
  });
});

test("a key id that is not the key's never reaches the key service", async () => {
  await using world = await createWorld();
  const { keyId } = await world.keys.publicKey(NEVER);
  const value = Buffer.from("a content key");
  assert.deepEqual(Buffer.from(await world.keys.unwrap(wrap(value), keyId, NEVER)), value);
  const otherId = `sha256:${"0".repeat(64)}`;
  await assert.rejects(world.keys.unwrap(wrap(value), otherId, NEVER), { code: "KEY_UNKNOWN" });
  assert.equal(world.services.count(DECRYPT), 1);
});

test("a key service that is slow fails a request when its time is over, and nothing is left of it", async () => {
  await using world = await createWorld();
  await world.keys.publicKey(NEVER);
  world.services.hold(DECRYPT, () => new Promise(() => undefined));
  const impatient = new AbortController();
  const arrived = world.services.nextCall(DECRYPT);
  const slow = world.keys.unwrap(wrap(Buffer.alloc(32)), undefined, impatient.signal);
  await arrived;
  assert.deepEqual(world.keys.privateOperations(), { running: 1, waiting: 0 });
  impatient.abort();
  await assert.rejects(slow, { code: "KEY_UNAVAILABLE", message: "no answer of the key service" });
  assert.deepEqual(world.keys.privateOperations(), { running: 0, waiting: 0 });
  assert.equal(getEventListeners(impatient.signal, "abort").length, 0);
  assert.equal(world.services.count(DECRYPT), 1);
});

const AWAY: readonly [name: string, hold: Hold][] = [
  ["hangs up", (response) => void response.destroy()],
  [
    "hangs up in the middle of an answer",
    (response) => {
      const { promise: gone, resolve } = Promise.withResolvers<void>();
      response.on("close", resolve).writeHead(200, { "content-length": "1000" });
      response.write("{", () => response.destroy());
      return gone;
    },
  ],
  ["answers without JSON", (response) => void response.end("<html>not us</html>")],
  ["answers without end", (response) => void response.end(Buffer.alloc(300 * 1024, 0x20))],
];

for (const [name, hold] of AWAY) {
  test(`a key service that ${name} is asked again, four times in all`, async () => {
    await using world = await createWorld();
    world.services.hold(DECRYPT, hold);
    await assert.rejects(world.keys.unwrap(wrap(Buffer.alloc(32)), undefined, NEVER), {
      code: "KEY_UNAVAILABLE",
    });
    assert.equal(world.services.count(DECRYPT), 4);
    assert.deepEqual(world.keys.privateOperations(), { running: 0, waiting: 0 });

    world.services.hold(DECRYPT, undefined);
    await world.keys.unwrap(wrap(Buffer.alloc(32)), undefined, NEVER);
  });
}

test("calls to the key service are bounded: 32 at a time, some wait, more are refused", async () => {
  await using world = await createWorld({ maxQueuedUnwraps: 8 });
  await world.keys.publicKey(NEVER);
  const { promise: hold, resolve: letGo } = Promise.withResolvers<void>();
  const { promise: allArrived, resolve: arrive } = Promise.withResolvers<void>();
  world.services.hold(DECRYPT, () => {
    if (world.services.count(DECRYPT) === 32) arrive();
    return hold;
  });
  const wrapped = wrap(Buffer.alloc(32));
  const gone = new AbortController();
  const unwraps = Array.from({ length: 39 }, () => world.keys.unwrap(wrapped, undefined, NEVER));
  const given = world.keys.unwrap(wrapped, undefined, gone.signal);
  await allArrived;
  await assert.rejects(world.keys.unwrap(wrapped, undefined, NEVER), { code: "OVERLOADED" });
  assert.deepEqual(world.keys.privateOperations(), { running: 32, waiting: 8 });
  gone.abort();
  await assert.rejects(given, { code: "OVERLOADED" });
  letGo();
  await Promise.all(unwraps);
  assert.equal(world.services.count(DECRYPT), 39);
  assert.deepEqual(world.keys.privateOperations(), { running: 0, waiting: 0 });
});

test("a token file that goes missing does no harm until the access token ends, and none after it is back", async () => {
  await using world = await createWorld();
  await world.keys.unwrap(wrap(Buffer.alloc(32)), undefined, NEVER);
  await rm(world.tokenFile);
  world.passSeconds(3600 - 200);
  await world.keys.unwrap(wrap(Buffer.alloc(32)), undefined, NEVER);
  world.passSeconds(199);
  await world.keys.unwrap(wrap(Buffer.alloc(32)), undefined, NEVER);
  world.passSeconds(1);
  await assert.rejects(world.keys.unwrap(wrap(Buffer.alloc(32)), undefined, AbortSignal.timeout(50)), {
    code: "KEY_UNAVAILABLE",
    message: `cannot read the attestation token at ${world.tokenFile}`,
  });
  await writeFile(world.tokenFile, formatToken({ exp: NOW_MS / 1000 + 7200 }));
  await world.keys.unwrap(wrap(Buffer.alloc(32)), undefined, NEVER);
  assert.equal(world.services.count(STS), 2);
});

test("no failure tells a token, a wrapped key or a value", async () => {
  const value = Buffer.from("a content key that nobody may see");
  const wrapped = wrap(value);
  const told: unknown[] = [];
  await using world = await createWorld({
    prepare: (services) => {
      const echo = { error: { status: "X", message: `${TOKEN} access-1 ${wrapped.toString("base64")}` } };
      services.answer(STS, [400, echo], [500, echo], [200, { access_token: 1, echo }]);
      services.answer(PUBLIC_KEY, [403, echo], [500, echo], [200, { pem: TOKEN, echo }]);
    },
  });
  const damaged = { ...answerOf(value), plaintextCrc32c: "1" };
  world.services.answer(DECRYPT, ...repeat(4, [200, damaged]), [
    400,
    { error: { status: "INVALID_ARGUMENT", message: value.toString() } },
  ]);
  while (world.failures.length < 6) await new Promise(setImmediate);
  await world.keys.publicKey(NEVER);
  for (let count = 0; count < 2; count++) {
    await world.keys.unwrap(wrapped, undefined, NEVER).catch((error: unknown) => told.push(error));
  }
  assert.deepEqual(codesOf(told), ["KEY_UNAVAILABLE", "ENVELOPE_OPEN_FAILED"]);
  assert.equal(told.push(...world.failures), 8);

  const secrets = [TOKEN, "access-1", wrapped.toString("base64"), value.toString(), value.toString("base64")];
  for (const error of told) {
    const text = `${describeFailure(error)}\n${inspect(error, { depth: 10 })}`;
    for (const secret of secrets) assert.ok(!text.includes(secret), text);
  }
});
