import { createHash } from "node:crypto";
import type { KeyStore } from "@polaris-cvm/stacks/local/trust/kms-store.ts";
import type { CryptoKey } from "@polaris-cvm/stacks/local/trust/kms.ts";
import { GoogleError } from "../google-error.ts";
import type { World } from "../world.ts";
import type { KeyFacts } from "./key-rules.ts";

export interface StoredKey extends KeyFacts {
  /** With the project's id. */
  readonly name: string;
}

/** Key rings and crypto keys of a world. Versions, and everything secret, are in the key store. */
export class Keys {
  readonly store: KeyStore;
  readonly #world: World;
  /** Times of creation, in milliseconds since 1970, by name. */
  readonly #rings = new Map<string, number>();
  readonly #keys = new Map<string, StoredKey>();

  constructor(world: World, store: KeyStore) {
    this.#world = world;
    this.store = store;
  }

  /** Throws a `GoogleError` ALREADY_EXISTS. */
  addRing(name: string): unknown {
    const canonical = this.#world.canonicalName(name);
    if (this.#rings.has(canonical)) {
      throw new GoogleError("ALREADY_EXISTS", `KeyRing ${canonical} already exists.`);
    }
    this.#rings.set(canonical, this.#world.now());
    return this.ring(canonical);
  }

  /** The ring's JSON. Throws a `GoogleError` NOT_FOUND. */
  ring(name: string): { readonly name: string; readonly createTime: string } {
    const canonical = this.#world.canonicalName(name);
    const createdAtMs = this.#rings.get(canonical);
    if (createdAtMs === undefined) throw new GoogleError("NOT_FOUND", `KeyRing ${canonical} not found.`);
    return { name: canonical, createTime: new Date(createdAtMs).toISOString() };
  }

  ringsBelow(parent: string): readonly unknown[] {
    const prefix = `${this.#world.canonicalName(parent)}/keyRings/`;
    return [...this.#rings.keys()].filter((name) => name.startsWith(prefix)).map((name) => this.ring(name));
  }

  /** Throws a `GoogleError` ALREADY_EXISTS. */
  addKey(name: string, facts: KeyFacts): StoredKey {
    const canonical = this.#world.canonicalName(name);
    if (this.#keys.has(canonical)) {
      throw new GoogleError("ALREADY_EXISTS", `CryptoKey ${canonical} already exists.`);
    }
    const key = { ...facts, name: canonical };
    this.#keys.set(canonical, key);
    // Some file systems do not tell upper from lower case, and names of keys do.
    this.store.add(canonical, createHash("sha256").update(canonical).digest("hex"));
    return key;
  }

  setLabels(key: StoredKey, labels: Readonly<Record<string, string>>): StoredKey {
    const changed = { ...key, labels };
    this.#keys.set(key.name, changed);
    return changed;
  }

  /** Throws a `GoogleError` NOT_FOUND. */
  key(name: string): StoredKey {
    const canonical = this.#world.canonicalName(name);
    const key = this.#keys.get(canonical);
    if (key === undefined) throw new GoogleError("NOT_FOUND", `CryptoKey ${canonical} not found.`);
    return key;
  }

  keysBelow(ring: string): readonly StoredKey[] {
    const prefix = `${this.#world.canonicalName(ring)}/cryptoKeys/`;
    return [...this.#keys.values()].filter(({ name }) => name.startsWith(prefix));
  }

  /** For the key service. Who may do what is the world's to say. */
  findForService(name: string): CryptoKey | undefined {
    const key = this.#keys.get(name);
    return key === undefined ? undefined : { ...key, bindings: [] };
  }
}
