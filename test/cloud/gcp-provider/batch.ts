import { setTimeout as sleep } from "node:timers/promises";

interface Gathering {
  readonly items: unknown[];
  readonly result: Promise<unknown>;
}

/** Puts what is wanted at nearly the same time into one call, per key. */
export class Batches {
  readonly #waitMs: number;
  readonly #gathering = new Map<string, Gathering>();

  constructor(waitMs: number) {
    this.#waitMs = waitMs;
  }

  /**
   * @param key names the call; all who use one key give the same kind of item and the same `run`
   * @returns the answer to the call that this item went into
   */
  gather<Item, Result>(
    key: string,
    item: Item,
    run: (items: readonly Item[]) => Promise<Result>,
  ): Promise<Result> {
    const joined = this.#gathering.get(key);
    if (joined !== undefined) {
      joined.items.push(item);
      return joined.result as Promise<Result>;
    }
    const items: Item[] = [item];
    const result = sleep(this.#waitMs).then(() => {
      this.#gathering.delete(key);
      return run(items);
    });
    this.#gathering.set(key, { items, result });
    return result;
  }
}

/** One at a time, per key. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  async take<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    const before = this.#last.get(key) ?? Promise.resolve();
    // A turn that failed is over too: its own caller has the error.
    const mine = before.then(work, work);
    this.#last.set(key, mine);
    return mine;
  }
}
