import assert from "node:assert/strict";
import { constants, createPublicKey, generateKeyPair, type KeyObject, publicEncrypt } from "node:crypto";
import { copyFile, mkdtemp, readdir, readFile, rm, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { type KeyStore, openKeyStore } from "./kms-store.ts";

const KEY = "projects/p/locations/l/keyRings/r/cryptoKeys/k";
let first: KeyObject;
let second: KeyObject;

before(async () => {
  const generate = promisify(generateKeyPair);
  const pairs = await Promise.all([0, 1].map(() => generate("rsa", { modulusLength: 4096 })));
  first = pairs[0]!.privateKey;
  second = pairs[1]!.privateKey;
});

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-test-"));
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

async function open(
  folder: string,
  options: {
    readonly generateKey?: () => Promise<KeyObject>;
    readonly onGenerationFailed?: (key: string, cause: unknown) => void;
    readonly nowMs?: number;
  } = {},
): Promise<KeyStore> {
  return openKeyStore({
    folder,
    cryptoKeys: [{ name: KEY, folder: "r/k" }],
    now: () => options.nowMs ?? 1000,
    onGenerationFailed: options.onGenerationFailed ?? (() => assert.fail("generation failed")),
    generateKey: options.generateKey ?? (async () => first),
  });
}

function encrypt(key: KeyObject, plaintext: string): Uint8Array {
  const options = {
    key: createPublicKey(key),
    oaepHash: "sha256",
    padding: constants.RSA_PKCS1_OAEP_PADDING,
  };
  return publicEncrypt(options, Buffer.from(plaintext));
}

async function decryptText(
  store: KeyStore,
  number: number,
  ciphertext: Uint8Array,
): Promise<string | undefined> {
  const plaintext = await store.decrypt(KEY, number, ciphertext);
  return plaintext === undefined ? undefined : Buffer.from(plaintext).toString();
}

/** The second version exists when nobody is pending any more. */
async function generated(store: KeyStore): Promise<void> {
  while (store.list(KEY).some(({ state }) => state === "PENDING_GENERATION")) {
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
}

test("a new key has version 1, and the next start has the same", async (t) => {
  const folder = await temporaryFolder(t);
  const store = await open(folder);
  const version = store.get(KEY, 1);
  assert.deepEqual(store.list(KEY), [
    {
      number: 1,
      state: "ENABLED",
      createdAtMs: 1000,
      generatedAtMs: 1000,
      publicKeyPem: createPublicKey(first).export({ type: "spki", format: "pem" }),
    },
  ]);
  const again = await open(folder, { generateKey: () => assert.fail("a new key"), nowMs: 2000 });
  assert.deepEqual(again.get(KEY, 1), version);
  assert.equal(again.createdAtMs(KEY), 1000);
  assert.equal(await decryptText(again, 1, encrypt(first, "hello")), "hello");
});

test("versions have their own keys, and no version opens for another", async (t) => {
  const folder = await temporaryFolder(t);
  const keys = [first, second];
  const store = await open(folder, { generateKey: async () => keys.shift()! });
  assert.equal((await store.create(KEY)).number, 2);
  await generated(store);
  for (const opened of [store, await open(folder)]) {
    assert.equal(await decryptText(opened, 1, encrypt(first, "one")), "one");
    assert.equal(await decryptText(opened, 2, encrypt(second, "two")), "two");
    assert.equal(await decryptText(opened, 1, encrypt(second, "two")), undefined);
    assert.equal(await decryptText(opened, 2, new Uint8Array(512).fill(1)), undefined);
  }
});

test("decryption happens off the event loop", async (t) => {
  const store = await open(await temporaryFolder(t));
  const ciphertext = encrypt(first, "x");
  let settled = 0;
  const running = [1, 2, 3, 4].map(async () => {
    await store.decrypt(KEY, 1, ciphertext);
    settled++;
  });
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
  assert.ok(settled < 4, "the event loop waited for all four");
  await Promise.all(running);
});

test("a crash during the generation is mended by the next start, under the same number", async (t) => {
  const folder = await temporaryFolder(t);
  const never = Promise.withResolvers<KeyObject>();
  const crashed = open(folder, { generateKey: () => never.promise });
  const manifest = join(folder, "r/k/key.json");
  let text = "";
  while (text === "") text = await readFile(manifest, "utf8").catch(() => "");
  assert.equal(JSON.parse(text).versions[0].state, "PENDING_GENERATION");
  // The worst moment: the key is written, and nothing says so yet.
  await writeFile(join(folder, "r/k/1.pem"), second.export({ type: "pkcs8", format: "pem" }));
  const store = await open(folder);
  assert.equal(store.get(KEY, 1)?.state, "ENABLED");
  assert.equal(await decryptText(store, 1, encrypt(first, "x")), "x");
  assert.equal(await decryptText(await open(folder), 1, encrypt(first, "x")), "x");
  never.reject(new Error("the process is gone"));
  await assert.rejects(crashed, { message: "the process is gone" });
});

test("a generation that fails is told, and the version never becomes usable", async (t) => {
  const folder = await temporaryFolder(t);
  const failures: string[] = [];
  let calls = 0;
  const store = await open(folder, {
    generateKey: async () => {
      if (++calls === 1) return first;
      throw new Error("no entropy");
    },
    onGenerationFailed: (key, cause) => failures.push(`${key}: ${(cause as Error).message}`),
  });
  await store.create(KEY);
  await generated(store);
  assert.equal(store.get(KEY, 2)?.state, "GENERATION_FAILED");
  assert.deepEqual(failures, [`${KEY}: no entropy`]);
  assert.equal(await decryptText(store, 1, encrypt(first, "x")), "x");
});

test("a destroyed version has no key any more, in memory and on disk", async (t) => {
  const folder = await temporaryFolder(t);
  const store = await open(folder);
  await copyFile(join(folder, "r/k/1.pem"), join(folder, "copy"));
  await store.update(KEY, 1, (version) => ({ ...version, state: "DESTROYED" }));
  await assert.rejects(store.decrypt(KEY, 1, encrypt(first, "x")), { code: "INTERNAL" });
  assert.deepEqual(await readdir(join(folder, "r/k")), ["key.json"]);
  // A crash between the two steps.
  await copyFile(join(folder, "copy"), join(folder, "r/k/1.pem"));
  const again = await open(folder, { generateKey: () => assert.fail("a new key") });
  assert.equal(again.get(KEY, 1)?.state, "DESTROYED");
  assert.deepEqual(await readdir(join(folder, "r/k")), ["key.json"]);
});

test("changes of one key happen one after the other", async (t) => {
  const store = await open(await temporaryFolder(t));
  const seen: string[] = [];
  const states = ["DISABLED", "ENABLED", "DISABLED", "DESTROY_SCHEDULED"] as const;
  await Promise.all(
    states.map((state) =>
      store.update(KEY, 1, (version) => {
        seen.push(version.state);
        return { ...version, state };
      }),
    ),
  );
  assert.deepEqual(seen, ["ENABLED", "DISABLED", "ENABLED", "DISABLED"]);
  await assert.rejects(
    store.update(KEY, 1, () => assert.fail("no")),
    { message: "no" },
  );
  assert.equal(store.get(KEY, 1)?.state, "DESTROY_SCHEDULED");
});

/** key.json, as a test may break it. */
interface ManifestDocument {
  versions: { number: number; state: string; publicKeyPem?: string }[];
}

test("broken files stop the start and stay as they are", async (t) => {
  const manifestOf = (change: (manifest: ManifestDocument) => void) => async (folder: string) => {
    const path = join(folder, "key.json");
    const manifest = JSON.parse(await readFile(path, "utf8"));
    change(manifest);
    await writeFile(path, JSON.stringify(manifest));
  };
  const rows: [string, (folder: string) => Promise<void>, RegExp][] = [
    ["key.json is gone", (folder) => unlink(join(folder, "key.json")), /has keys but no key\.json$/],
    ["key.json is no JSON", (folder) => writeFile(join(folder, "key.json"), ""), /key\.json is not a list/],
    ["key.json has no versions", manifestOf((m) => (m.versions = [])), /key\.json is not a list/],
    [
      "key.json has an unknown state",
      manifestOf((m) => (m.versions[0]!.state = "OPEN")),
      /key\.json is not a list/,
    ],
    [
      "key.json has an unknown field",
      manifestOf((m) => Object.assign(m, { extra: 1 })),
      /key\.json is not a list/,
    ],
    [
      "key.json has a gap",
      manifestOf((m) => (m.versions[0]!.number = 2)),
      /1\.pem is not in key\.json|contradicts itself/,
    ],
    [
      "key.json has lost the public key",
      manifestOf((m) => delete m.versions[0]!.publicKeyPem),
      /contradicts itself about version 1/,
    ],
    ["the key is gone", (folder) => unlink(join(folder, "1.pem")), /1\.pem is missing$/],
    [
      "the key is cut off",
      async (folder) => {
        const path = join(folder, "1.pem");
        await writeFile(path, (await readFile(path)).subarray(0, 1000));
      },
      /1\.pem does not hold a private key$/,
    ],
    [
      "the key is another one",
      (folder) => writeFile(join(folder, "1.pem"), second.export({ type: "pkcs8", format: "pem" })),
      /1\.pem holds another key than key\.json says$/,
    ],
    [
      "the key is too short",
      async (folder) => {
        const { privateKey } = await promisify(generateKeyPair)("rsa", { modulusLength: 2048 });
        await writeFile(join(folder, "1.pem"), privateKey.export({ type: "pkcs8", format: "pem" }));
      },
      /1\.pem holds another kind of key than RSA-4096$/,
    ],
    [
      "a key that nobody knows",
      (folder) => copyFile(join(folder, "1.pem"), join(folder, "2.pem")),
      /2\.pem is not in key\.json$/,
    ],
  ];
  for (const [name, breakIt, message] of rows) {
    await t.test(name, async (t) => {
      const folder = await temporaryFolder(t);
      await open(folder);
      await breakIt(join(folder, "r/k"));
      const content = async (): Promise<unknown> => {
        const names = (await readdir(join(folder, "r/k"))).sort();
        return Promise.all(
          names.map(async (file) => [file, await readFile(join(folder, "r/k", file), "utf8")]),
        );
      };
      const broken = await content();
      await assert.rejects(open(folder, { generateKey: () => assert.fail("a new key") }), {
        code: "STATE_CORRUPT",
        message,
      });
      assert.deepEqual(await content(), broken);
    });
  }
});

test("a key that is added has no version until one is made", async (t) => {
  const folder = await temporaryFolder(t);
  const store = await open(folder);
  const added = "projects/p/locations/l/keyRings/r/cryptoKeys/added";
  store.add(added, "r/added");
  assert.deepEqual(store.list(added), []);
  assert.equal(store.createdAtMs(added), 1000);
  const created = await store.create(added);
  assert.deepEqual([created.number, created.state], [1, "PENDING_GENERATION"]);
  while (store.get(added, 1)?.state === "PENDING_GENERATION") await new Promise(setImmediate);
  const plaintext = await store.decrypt(added, 1, encrypt(first, "hello"));
  assert.equal(Buffer.from(plaintext ?? []).toString(), "hello");
  assert.deepEqual((await readdir(join(folder, "r/added"))).sort(), ["1.pem", "key.json"]);
});
