import { createHash } from "node:crypto";
import { GoogleError } from "../google-error.ts";
import type { World } from "../world.ts";

export interface SecretVersion {
  readonly number: number;
  readonly createdAtMs: number;
  state: "ENABLED" | "DISABLED" | "DESTROYED";
  destroyedAtMs: number | undefined;
  /** Gone when the version is destroyed. */
  data: Buffer | undefined;
  revision: number;
}

export interface Secret {
  /** With the project's number, as Secret Manager writes it. */
  readonly name: string;
  readonly createdAtMs: number;
  readonly replication: unknown;
  labels: Readonly<Record<string, string>>;
  annotations: Readonly<Record<string, string>>;
  revision: number;
  readonly versions: SecretVersion[];
}

/** Secrets of a world by name. */
export class Secrets {
  readonly #world: World;
  readonly #byName = new Map<string, Secret>();

  constructor(world: World) {
    this.#world = world;
  }

  /** Throws a `GoogleError` ALREADY_EXISTS. */
  add(secret: Secret): void {
    if (this.#byName.has(secret.name)) {
      throw new GoogleError("ALREADY_EXISTS", `Secret [${secret.name}] already exists.`);
    }
    this.#byName.set(secret.name, secret);
  }

  remove({ name }: Secret): void {
    this.#byName.delete(name);
    this.#world.policies.remove(this.#world.canonicalName(name));
  }

  /** By the name of a secret or of a version of it. Throws a `GoogleError` NOT_FOUND. */
  secret(name: string): Secret {
    const own = this.nameOf(name);
    const secret = this.#byName.get(own);
    if (secret === undefined) throw new GoogleError("NOT_FOUND", `Secret [${own}] not found.`);
    return secret;
  }

  /** By number or `latest`. Throws a `GoogleError` NOT_FOUND. */
  version(name: string): SecretVersion {
    const secret = this.secret(name);
    const id = name.split("/")[5] ?? "";
    const version = id === "latest" ? secret.versions.at(-1) : secret.versions[Number(id) - 1];
    if (version === undefined) {
      throw new GoogleError("NOT_FOUND", `Secret Version [${secret.name}/versions/${id}] not found.`);
    }
    return version;
  }

  ofProject(parent: string): readonly Secret[] {
    const prefix = `${this.nameOf(parent)}/secrets/`;
    return [...this.#byName.values()].filter(({ name }) => name.startsWith(prefix));
  }

  /** The name of a secret with the project's number, whatever the caller wrote. */
  nameOf(name: string): string {
    const [collection = "", project = "", ...rest] = name.split("/");
    return [collection, this.#world.project(project).projectNumber, ...rest.slice(0, 2)].join("/");
  }
}

/** Etags of Secret Manager are quoted. */
export function etagOf(name: string, revision: number): string {
  return `"${createHash("sha256").update(`${name} ${revision}`).digest("hex").slice(0, 14)}"`;
}
