import { createPublicKey, generateKeyPair, type KeyObject, webcrypto } from "node:crypto";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import {
  ensurePrivateFolder,
  readFileIfPresent,
  readFolder,
  removeFileDurably,
  writeFileDurably,
} from "./durable-file.ts";
import { parsePrivateKey, RESTORE } from "./issuer-key.ts";
import { formatManifest, type KeyManifest, type KeyVersion, parseManifest } from "./kms-manifest.ts";

/** Key versions by the resource name of their crypto key. Private keys never leave a store. */
export interface KeyStore {
  /** Milliseconds since 1970. */
  createdAtMs(cryptoKey: string): number;
  /** In order of their numbers. */
  list(cryptoKey: string): readonly KeyVersion[];
  get(cryptoKey: string, number: number): KeyVersion | undefined;
  /** Takes a crypto key in that is new: without versions, and with `folder` below the store's folder for itself. */
  add(cryptoKey: string, folder: string): void;
  /** A new version, PENDING_GENERATION; it becomes ENABLED, or GENERATION_FAILED, by itself. */
  create(cryptoKey: string): Promise<KeyVersion>;
  /** Changes the facts of a version. `change` sees the version as it is then, and may throw to leave it so. */
  update(cryptoKey: string, number: number, change: (version: KeyVersion) => KeyVersion): Promise<KeyVersion>;
  /** RSAES-OAEP with SHA-256, off the event loop; undefined if the ciphertext is not one of this key. */
  decrypt(cryptoKey: string, number: number, ciphertext: Uint8Array): Promise<Uint8Array | undefined>;
}

export const MODULUS_BITS = 4096;

export interface KeyStoreOptions {
  /** Folder of this store alone. */
  readonly folder: string;
  /** Resource names of the crypto keys, each with its own folder below `folder`. */
  readonly cryptoKeys: readonly { readonly name: string; readonly folder: string }[];
  readonly now: () => number;
  /** Told when the generation of a version fails, for example on a full disk. */
  readonly onGenerationFailed: (cryptoKey: string, cause: unknown) => void;
  /** Makes an RSA-4096 private key. */
  readonly generateKey?: () => Promise<KeyObject>;
}

/**
 * Opens a store of files: per crypto key a folder with `key.json` (facts of the versions) and `<number>.pem` (PKCS #8).
 * A crypto key without a folder gets its version 1; when this resolves, no version is pending.
 *
 * @throws {PolarisError} STATE_CORRUPT if a file is broken, missing or belongs to another key: nothing is replaced
 * @throws {PolarisError} STATE_UNWRITABLE
 */
export async function openKeyStore(options: KeyStoreOptions): Promise<KeyStore> {
  await ensurePrivateFolder(options.folder);
  const keys = new Map<string, CryptoKeyFiles>();
  for (const { name, folder } of options.cryptoKeys) {
    keys.set(name, await CryptoKeyFiles.load(name, join(options.folder, folder), options));
  }
  await Promise.all([...keys.values()].map((key) => key.generatePending()));
  const find = (cryptoKey: string): CryptoKeyFiles => {
    const key = keys.get(cryptoKey);
    if (key === undefined) throw new PolarisError("INTERNAL", `the store has no crypto key ${cryptoKey}`);
    return key;
  };
  return {
    createdAtMs: (cryptoKey) => find(cryptoKey).manifest.createdAtMs,
    list: (cryptoKey) => find(cryptoKey).manifest.versions,
    get: (cryptoKey, number) =>
      find(cryptoKey).manifest.versions.find((version) => version.number === number),
    add: (name, folder) => {
      keys.set(name, CryptoKeyFiles.start(name, join(options.folder, folder), options));
    },
    create: (cryptoKey) => find(cryptoKey).create(),
    update: (cryptoKey, number, change) => find(cryptoKey).update(number, change),
    decrypt: (cryptoKey, number, ciphertext) => find(cryptoKey).decrypt(number, ciphertext),
  };
}

type Decrypt = (ciphertext: Uint8Array) => Promise<Uint8Array | undefined>;

class CryptoKeyFiles {
  manifest: KeyManifest;
  readonly #name: string;
  readonly #folder: string;
  readonly #options: KeyStoreOptions;
  readonly #decrypts = new Map<number, Decrypt>();
  /** Changes happen one after the other: each reads what the one before it wrote. */
  #queue: Promise<unknown> = Promise.resolve();

  private constructor(name: string, folder: string, options: KeyStoreOptions, manifest: KeyManifest) {
    this.#name = name;
    this.#folder = folder;
    this.#options = options;
    this.manifest = manifest;
  }

  /** Without a folder until there is a version: a key without any is not worth to be kept. */
  static start(name: string, folder: string, options: KeyStoreOptions): CryptoKeyFiles {
    return new CryptoKeyFiles(name, folder, options, { createdAtMs: options.now(), versions: [] });
  }

  static async load(name: string, folder: string, options: KeyStoreOptions): Promise<CryptoKeyFiles> {
    await ensurePrivateFolder(folder);
    const keyFiles = (await readFolder(folder)).filter((name) => name.endsWith(".pem"));
    const manifestPath = join(folder, "key.json");
    const text = await readFileIfPresent(manifestPath);
    if (text === undefined) {
      if (keyFiles.length > 0) {
        throw new PolarisError("STATE_CORRUPT", `${folder} has keys but no key.json`, { hint: RESTORE });
      }
      const createdAtMs = options.now();
      const first: KeyVersion = { number: 1, state: "PENDING_GENERATION", createdAtMs };
      const files = new CryptoKeyFiles(name, folder, options, { createdAtMs, versions: [first] });
      await files.#write(files.manifest);
      return files;
    }
    const files = new CryptoKeyFiles(name, folder, options, parseManifest(text, manifestPath));
    const known = new Set(files.manifest.versions.map(({ number }) => `${number}.pem`));
    const stranger = keyFiles.find((file) => !known.has(file));
    if (stranger !== undefined) {
      // A version is written to key.json before its key: this key.json is older than its folder.
      throw new PolarisError("STATE_CORRUPT", `${join(folder, stranger)} is not in key.json`, {
        hint: RESTORE,
      });
    }
    for (const version of files.manifest.versions) await files.#loadVersion(version);
    return files;
  }

  async #loadVersion(version: KeyVersion): Promise<void> {
    const path = this.#pemPath(version.number);
    if (version.state === "DESTROYED") {
      // A crash between the two steps of a destruction leaves the file.
      await removeFileDurably(path);
    } else if (version.publicKeyPem !== undefined) {
      const pem = await readFileIfPresent(path);
      if (pem === undefined) throw new PolarisError("STATE_CORRUPT", `${path} is missing`, { hint: RESTORE });
      const key = parsePrivateKey(pem, MODULUS_BITS, path);
      if (publicPem(key) !== version.publicKeyPem) {
        throw new PolarisError("STATE_CORRUPT", `${path} holds another key than key.json says`, {
          hint: RESTORE,
        });
      }
      this.#decrypts.set(version.number, await createDecrypt(key));
    }
  }

  async generatePending(): Promise<void> {
    const pending = this.manifest.versions.filter((version) => version.state === "PENDING_GENERATION");
    await Promise.all(pending.map((version) => this.#generate(version.number)));
  }

  async create(): Promise<KeyVersion> {
    const version = await this.#inTurn(async () => {
      await ensurePrivateFolder(this.#folder);
      const number = Math.max(0, ...this.manifest.versions.map((known) => known.number)) + 1;
      const created: KeyVersion = { number, state: "PENDING_GENERATION", createdAtMs: this.#options.now() };
      await this.#write({ ...this.manifest, versions: [...this.manifest.versions, created] });
      return created;
    });
    // The caller asks for the version until it is there, as with a hardware module.
    this.#generate(version.number).catch((cause: unknown) => {
      this.#options.onGenerationFailed(this.#name, cause);
      this.#replace({ ...version, state: "GENERATION_FAILED" });
    });
    return version;
  }

  async update(number: number, change: (version: KeyVersion) => KeyVersion): Promise<KeyVersion> {
    return this.#inTurn(async () => {
      const version = this.manifest.versions.find((known) => known.number === number);
      if (version === undefined) throw new PolarisError("INTERNAL", `there is no version ${number}`);
      const changed = change(version);
      if (changed === version) return version;
      await this.#write(this.#withVersion(changed));
      if (changed.state === "DESTROYED") {
        this.#decrypts.delete(number);
        await removeFileDurably(this.#pemPath(number));
      }
      return changed;
    });
  }

  async decrypt(number: number, ciphertext: Uint8Array): Promise<Uint8Array | undefined> {
    const decrypt = this.#decrypts.get(number);
    if (decrypt === undefined) throw new PolarisError("INTERNAL", `version ${number} has no key`);
    return decrypt(ciphertext);
  }

  async #generate(number: number): Promise<void> {
    const key = await (this.#options.generateKey ?? generateRsaKey)();
    const decrypt = await createDecrypt(key);
    // The key first: a version is never said to exist without its key.
    await writeFileDurably(this.#pemPath(number), key.export({ type: "pkcs8", format: "pem" }));
    this.#decrypts.set(number, decrypt);
    await this.update(number, (version) => ({
      ...version,
      state: "ENABLED",
      generatedAtMs: this.#options.now(),
      publicKeyPem: publicPem(key),
    }));
  }

  async #write(manifest: KeyManifest): Promise<void> {
    await writeFileDurably(join(this.#folder, "key.json"), formatManifest(manifest));
    this.manifest = manifest;
  }

  #withVersion(changed: KeyVersion): KeyManifest {
    const versions = this.manifest.versions.map((known) =>
      known.number === changed.number ? changed : known,
    );
    return { ...this.manifest, versions };
  }

  #replace(changed: KeyVersion): void {
    this.manifest = this.#withVersion(changed);
  }

  #pemPath(number: number): string {
    return join(this.#folder, `${number}.pem`);
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(work);
    this.#queue = turn.catch(() => undefined);
    return turn;
  }
}

async function generateRsaKey(): Promise<KeyObject> {
  const { privateKey } = await promisify(generateKeyPair)("rsa", { modulusLength: MODULUS_BITS });
  return privateKey;
}

function publicPem(key: KeyObject): string {
  return createPublicKey(key).export({ type: "spki", format: "pem" });
}

/** WebCrypto works off the event loop, but one at a time per key object: hence one copy per core. */
async function createDecrypt(key: KeyObject): Promise<Decrypt> {
  const pkcs8 = key.export({ type: "pkcs8", format: "der" });
  const copies = await Promise.all(
    Array.from({ length: Math.min(4, availableParallelism()) }, async () =>
      webcrypto.subtle.importKey("pkcs8", pkcs8, { name: "RSA-OAEP", hash: "SHA-256" }, false, ["decrypt"]),
    ),
  );
  let next = 0;
  return async (ciphertext) => {
    const copy = copies[next++ % copies.length];
    if (copy === undefined) throw new PolarisError("INTERNAL", "no copy of the key");
    try {
      return new Uint8Array(
        await webcrypto.subtle.decrypt({ name: "RSA-OAEP" }, copy, new Uint8Array(ciphertext)),
      );
    } catch {
      // Whatever is wrong with a ciphertext has one name.
      return undefined;
    }
  };
}
