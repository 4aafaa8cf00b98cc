import { createHash, randomInt } from "node:crypto";
import { alreadyExists, notFound, notReady } from "./compute-errors.ts";

/** A resource of compute: what it is, and whether an operation is still at work on it. */
export interface Entry<Json> {
  /** For example `projects/p/global/networks/n`. */
  readonly path: string;
  readonly name: string;
  readonly id: string;
  /** Absent until the operation that makes it is done. */
  isVisible: boolean;
  isBusy: boolean;
  json: Json;
}

/** Resources of one kind by path. */
export class Collection<Json> {
  readonly #byPath = new Map<string, Entry<Json>>();

  /** Takes a name. @throws {GoogleError} ALREADY_EXISTS, also while the other one is being made or deleted */
  add(path: string, create: (id: string) => Json): Entry<Json> {
    if (this.#byPath.has(path)) throw alreadyExists(path);
    const id = newId();
    const name = path.slice(path.lastIndexOf("/") + 1);
    const entry = { path, name, id, isVisible: false, isBusy: true, json: create(id) };
    this.#byPath.set(path, entry);
    return entry;
  }

  find(path: string): Entry<Json> | undefined {
    const entry = this.#byPath.get(path);
    return entry?.isVisible === true ? entry : undefined;
  }

  /** @throws {GoogleError} NOT_FOUND */
  get(path: string): Entry<Json> {
    const entry = this.find(path);
    if (entry === undefined) throw notFound(path);
    return entry;
  }

  /** To be changed or deleted. @throws {GoogleError} NOT_FOUND, INVALID_ARGUMENT while an operation is at work on it */
  getIdle(path: string): Entry<Json> {
    const entry = this.get(path);
    if (entry.isBusy) throw notReady(path);
    return entry;
  }

  requireFree(path: string): void {
    if (this.#byPath.has(path)) throw alreadyExists(path);
  }

  remove(path: string): void {
    this.#byPath.delete(path);
  }

  /** All of a project, region or zone, also those that are not visible yet. */
  all(prefix = ""): readonly Entry<Json>[] {
    return [...this.#byPath.values()].filter(({ path }) => path.startsWith(prefix));
  }
}

/** A 19-digit decimal number, as compute's ids are. */
export function newId(): string {
  const digits = (): string => String(randomInt(0, 10 ** 9)).padStart(9, "0");
  return `${randomInt(1, 9)}${digits()}${digits()}`;
}

/** Changes whenever the content does. */
export function fingerprintOf(content: unknown): string {
  return createHash("sha256").update(JSON.stringify(content)).digest("base64").slice(0, 11).concat("=");
}
