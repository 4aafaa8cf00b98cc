/** What can be deleted and brought back: an identity pool, a provider. */
export interface SoftDeletable {
  readonly id: string;
  /** False until the operation that makes it is finished; its id is taken before. */
  isMade: boolean;
  /** When it went; absent: it is there. Milliseconds since 1970. */
  deletedAtMs: number | undefined;
}

/** How long a deleted pool or provider can be brought back, and keeps its id from others. */
export const UNDELETE_MS = 30 * 24 * 3600_000;

/** Things by id, of which deleted ones stay for thirty days. */
export class SoftDeletedMap<T extends SoftDeletable> {
  readonly #byId = new Map<string, T>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** True also for what is deleted or not yet made. */
  isTaken(id: string): boolean {
    this.#purge();
    return this.#byId.has(id);
  }

  add(item: T): void {
    this.#byId.set(item.id, item);
  }

  /** Also a deleted one. */
  get(id: string): T | undefined {
    this.#purge();
    const item = this.#byId.get(id);
    return item?.isMade === true ? item : undefined;
  }

  list(options: { readonly showDeleted: boolean }): readonly T[] {
    this.#purge();
    return [...this.#byId.values()].filter(
      ({ isMade, deletedAtMs }) => isMade && (options.showDeleted || deletedAtMs === undefined),
    );
  }

  #purge(): void {
    for (const [id, { deletedAtMs }] of this.#byId) {
      if (deletedAtMs !== undefined && this.#now() >= deletedAtMs + UNDELETE_MS) this.#byId.delete(id);
    }
  }
}

/** `state` and `expireTime` in JSON. */
export function formatState({ deletedAtMs }: SoftDeletable): Readonly<Record<string, string>> {
  return deletedAtMs === undefined
    ? { state: "ACTIVE" }
    : { state: "DELETED", expireTime: new Date(deletedAtMs + UNDELETE_MS).toISOString() };
}
