// 1.5.2: four or six private operations of a request, one after another, on the event loop; with a key service as many round
// trips. 1.5.10: what every one of the first requests fetched for itself.
import assert from "node:assert/strict";
import crypto from "node:crypto";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { syncBuiltinESMExports } from "node:module";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { createClient, createEphemeralKeyHandler } from "@polaris-cvm/sdk";
import { createGoogleFederatedKeyProvider } from "../../proxy/src/keys/google-federated.ts";
import type { KeyProvider } from "../../proxy/src/keys/key-provider.ts";
import { GOLDEN_VECTORS, createContainerKeyProvider } from "../../proxy/testing/golden-vectors.ts";
import { startProxy, startWorkload } from "../../proxy/testing/running-proxy.ts";
import type { RunningProxy } from "../../proxy/testing/running-proxy.ts";
import {
  accessToken,
  audienceOf,
  cryptoKey,
  issueToken,
  machine,
  startTestTrust,
  temporaryFolder,
} from "../trust/fixture.ts";

const timeout = 10_000;
/** Decrypts with WebCrypto, which the test of the event loop leaves alone. */
const keyHandler = createEphemeralKeyHandler({ modulusLength: 2048 });
const KEY_VERSION = `/v1/${cryptoKey}/cryptoKeyVersions/1`;

function createSealingFetch({ url }: RunningProxy, publicKey = GOLDEN_VECTORS.containerPublicKeyPem) {
  return createClient({ url, publicKey, keyHandler }).fetch;
}

/** Opens once `count` have come to it; whoever waits when the test is out of time fails. */
function createGate(
  { signal }: TestContext,
  count: number,
): { arrive(): Promise<void>; readonly opened: Promise<void> } {
  const { promise: opened, resolve: open, reject } = Promise.withResolvers<void>();
  signal.addEventListener("abort", () => reject(signal.reason));
  opened.catch(() => undefined);
  let arrived = 0;
  return {
    opened,
    arrive() {
      arrived += 1;
      if (arrived === count) open();
      return opened;
    },
  };
}

for (const [method, count] of [
  ["GET", 4],
  ["POST", 6],
] as const) {
  test(
    `1.5.2: the ${count} private operations of a ${method} went one by one; here all are asked for before one is answered`,
    { timeout },
    async (t) => {
      const container = await createContainerKeyProvider();
      const all = createGate(t, count);
      const keys: KeyProvider = {
        ...container,
        async unwrap(...asked) {
          await all.arrive();
          return await container.unwrap(...asked);
        },
      };
      await using workload = await startWorkload();
      await using proxy = await startProxy(workload.url, { keys });
      const body = method === "POST" ? { body: "body" } : {};
      const response = await createSealingFetch(proxy)("/", { method, ...body });
      assert.deepEqual([response.status, await response.text()], [200, body.body ?? ""]);
    },
  );
}

test(
  "1.5.2: the event loop did the private operations; here it does none, and answers others while they are pending",
  { timeout },
  async (t) => {
    // What is bound to these names in this thread; the threads of the key have their own.
    const decrypt = t.mock.method(crypto, "privateDecrypt", () => assert.fail("on the event loop"));
    syncBuiltinESMExports();
    t.after(() => {
      decrypt.mock.restore();
      syncBuiltinESMExports();
    });

    const container = await createContainerKeyProvider();
    const allDone = createGate(t, 6);
    const release = createGate(t, 1);
    const keys: KeyProvider = {
      ...container,
      async unwrap(...asked) {
        // Done for real, and told when the test says so.
        const value = await container.unwrap(...asked);
        void allDone.arrive();
        await release.opened;
        return value;
      },
    };
    await using workload = await startWorkload();
    await using proxy = await startProxy(workload.url, { keys });
    const sealed = createSealingFetch(proxy)("/sealed", { method: "POST", body: "sealed" });
    await allDone.opened;

    for (const path of ["/clear", "/polaris-container/health", "/polaris-container/publicKey"]) {
      assert.equal((await fetch(`${proxy.url}${path}`)).status, 200, path);
    }
    assert.deepEqual(
      workload.seen.map(({ url }) => url),
      ["/clear"],
    );
    void release.arrive();
    assert.equal(await (await sealed).text(), "sealed");
    assert.equal(decrypt.mock.callCount(), 0);
  },
);

/** The trust services behind a server that counts what comes, and lets it through when a test says so. */
async function startRelay(
  t: TestContext,
  trustUrl: string,
  pass: (path: string) => Promise<void> | undefined,
) {
  const paths: string[] = [];
  const server = createServer((incoming, outgoing) => {
    void (async () => {
      const { url: path = "", method = "GET", headers } = incoming;
      const body = await text(incoming);
      paths.push(path);
      try {
        await pass(path);
      } catch {
        outgoing.destroy();
        return;
      }
      const answer = await fetch(`${trustUrl}${path}`, {
        method,
        headers: {
          "content-type": headers["content-type"] ?? "",
          ...(headers.authorization !== undefined && { authorization: headers.authorization }),
        },
        ...(method === "POST" && { body }),
      });
      outgoing.writeHead(answer.status, { "content-type": "application/json" }).end(await answer.text());
    })();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    count: (path: string) => paths.filter((asked) => asked === path).length,
  };
}

/** A key in the simulated key service, reached over a relay, and its public key. */
async function startCloudKey(t: TestContext, pass: (path: string) => Promise<void> | undefined) {
  const trust = await startTestTrust(t, { clock: { nowMs: Date.now() } });
  const bearer = await accessToken(trust);
  const { body } = await trust.call("GET", `${KEY_VERSION}/publicKey`, { bearer });
  const tokenFile = join(await temporaryFolder(t), "token");
  await writeFile(tokenFile, await issueToken(trust, audienceOf("attested")));
  const relay = await startRelay(t, trust.url, pass);
  const keys = createGoogleFederatedKeyProvider(
    {
      kind: "google-federated",
      project: machine.projectId,
      location: "local",
      keyRing: "hello-ring",
      key: "hello-key",
      keyVersion: 1,
      olderKeyVersions: [],
      audience: audienceOf("attested"),
      tokenFile,
      stsUrl: relay.url,
      kmsUrl: relay.url,
      iamCredentialsUrl: relay.url,
    },
    { onFailure: (error) => assert.fail(String(error)), maxQueuedUnwraps: 256 },
  );
  return { keys, relay, publicKeyPem: body.pem };
}

test(
  "1.5.2: with a key service a request took six round trips; here the service has all six calls before it answers one",
  { timeout },
  async (t) => {
    const all = createGate(t, 6);
    const { keys, relay, publicKeyPem } = await startCloudKey(t, (path) =>
      path.endsWith(":asymmetricDecrypt") ? all.arrive() : undefined,
    );
    await using workload = await startWorkload();
    await using proxy = await startProxy(workload.url, { keys });
    const response = await createSealingFetch(proxy, publicKeyPem)("/", { method: "POST", body: "hello" });
    assert.equal(await response.text(), "hello");
    assert.equal(relay.count(`${KEY_VERSION}:asymmetricDecrypt`), 6);
  },
);

test(
  "1.5.10: each of the first requests got the key for itself; here they share one exchange and one fetch",
  { timeout },
  async (t) => {
    const REQUESTS = 8;
    // Of each sealed request the four unwraps, and each question for the key; all before the token service answers.
    const allWait = createGate(t, REQUESTS * 4 + REQUESTS);
    const cloud = await startCloudKey(t, (path) => (path === "/v1/token" ? allWait.opened : undefined));
    const keys: KeyProvider = {
      ...cloud.keys,
      unwrap(...asked) {
        void allWait.arrive();
        return cloud.keys.unwrap(...asked);
      },
      publicKey(signal) {
        void allWait.arrive();
        return cloud.keys.publicKey(signal);
      },
    };
    await using workload = await startWorkload((_request, response) => void response.end("opened"));
    await using proxy = await startProxy(workload.url, { keys });
    const fetchSealed = createSealingFetch(proxy, cloud.publicKeyPem);
    const answers = await Promise.all(
      Array.from({ length: REQUESTS }, async () => {
        const [sealed, key] = await Promise.all([
          fetchSealed("/"),
          fetch(`${proxy.url}/polaris-container/publicKey`),
        ]);
        return [await sealed.text(), await key.json()];
      }),
    );
    assert.equal(answers.length, REQUESTS);
    for (const answer of answers) assert.deepEqual(answer, ["opened", { publicKey: cloud.publicKeyPem }]);
    assert.equal(cloud.relay.count("/v1/token"), 1);
    assert.equal(cloud.relay.count(`${KEY_VERSION}/publicKey`), 1);
    assert.equal(cloud.relay.count(`${KEY_VERSION}:asymmetricDecrypt`), REQUESTS * 4);
  },
);
