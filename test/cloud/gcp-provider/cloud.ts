import { setTimeout as sleep } from "node:timers/promises";
import { Batches, Turns } from "./batch.ts";
import { fieldsOf, lastSegment, listOf, textOf } from "./fields.ts";
import type { Fields } from "./fields.ts";
import { COMPUTE } from "./google-apis.ts";
import type { GoogleApi } from "./google-apis.ts";
import { GoogleClient } from "./google-client.ts";
import type { CallOptions } from "./google-client.ts";
import { during, isNotFound } from "./google-error.ts";
import { describeOperationErrors } from "./operation-errors.ts";
import type { ProviderConfig } from "./provider-config.ts";

/** How long an operation may take before we give up, in milliseconds. */
const OPERATION_MS = 300_000;

/** A cloud under one configuration: calls, operations, and turns for what must not be done twice at once. */
export class Cloud {
  readonly config: ProviderConfig;
  readonly turns = new Turns();
  readonly batches: Batches;
  /** The real provider's half seconds between tries, in milliseconds. */
  readonly retryUnitMs: number;
  readonly #client: GoogleClient;
  readonly #cancelled: AbortSignal;

  constructor(config: ProviderConfig, retryUnitMs: number, cancelled: AbortSignal) {
    this.config = config;
    this.batches = new Batches(config.batchWaitMs);
    this.retryUnitMs = retryUnitMs;
    this.#client = new GoogleClient(config, retryUnitMs, cancelled);
    this.#cancelled = cancelled;
  }

  get(api: GoogleApi, path: string, query: CallOptions["query"] = {}): Promise<Fields> {
    return this.#client.call(api, "GET", path, { query });
  }

  /** @returns the answer, or undefined for a 404 */
  async find(api: GoogleApi, path: string, query: CallOptions["query"] = {}): Promise<Fields | undefined> {
    try {
      return await this.get(api, path, query);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  call(api: GoogleApi, method: string, path: string, options: CallOptions = {}): Promise<Fields> {
    return this.#client.call(api, method, path, options);
  }

  /** Waits, by default as long as the next look at something is to wait. */
  async pause(durationMs = this.config.pollIntervalMs): Promise<void> {
    await sleep(durationMs, undefined, { signal: this.#cancelled });
  }

  /**
   * Changes something of Compute and waits for its operation.
   *
   * @param doing what a failed operation says it was for: `instance to create`
   */
  async compute(method: string, path: string, doing: string, options: CallOptions = {}): Promise<void> {
    await this.waitForCompute(path, await this.call(COMPUTE, method, path, options), doing);
  }

  /**
   * Waits for an operation of Compute.
   *
   * @param startedBy path of the call that started it
   * @throws {Error} what the operation failed with
   */
  async waitForCompute(startedBy: string, started: Fields, doing: string): Promise<void> {
    let operation = started;
    const project = startedBy.split("/")[1] ?? "";
    const place = operation["zone"]
      ? `zones/${lastSegment(operation["zone"])}`
      : operation["region"]
        ? `regions/${lastSegment(operation["region"])}`
        : "global";
    const name = textOf(operation["name"]);
    await this.poll(async () => {
      if (operation["status"] === "DONE") return true;
      const path = `projects/${project}/${place}/operations/${name}`;
      const next = await this.#find(COMPUTE, path, `Error waiting for ${doing}`);
      operation = next ?? operation;
      return operation["status"] === "DONE";
    });
    const errors = listOf(fieldsOf(operation["error"])["errors"]);
    if (errors.length > 0) throw new Error(`Error waiting for ${doing}: ${describeOperationErrors(errors)}`);
  }

  /**
   * Waits for an operation of any other service.
   *
   * @param doing how a failure begins: `Error waiting to create X: Error waiting for Creating X`
   */
  async longRunning(api: GoogleApi, started: Fields, doing: string): Promise<void> {
    let operation = started;
    await this.poll(async () => {
      if (operation["done"] === true) return true;
      // Operations are looked at by a generated client, whichever one started them.
      const plain = { ...api, handWritten: false };
      operation = (await this.#find(plain, textOf(started["name"]), doing)) ?? operation;
      return operation["done"] === true;
    });
    const error = fieldsOf(operation["error"]);
    if (operation["error"] !== undefined) {
      throw new Error(`${doing}: Error code ${textOf(error["code"])}, message: ${textOf(error["message"])}`);
    }
  }

  /** A 404 means that the operation is not to be seen yet. */
  #find(api: GoogleApi, path: string, doing: string): Promise<Fields | undefined> {
    return during(`${doing}: error while retrieving operation`, () => this.find(api, path));
  }

  /**
   * Looks again until it is done.
   *
   * @throws {Error} when that takes too long
   */
  async poll(isDone: () => Promise<boolean>): Promise<void> {
    const end = Date.now() + OPERATION_MS;
    while (!(await isDone())) {
      if (Date.now() > end)
        throw new Error("timeout while waiting for state to become 'DONE' (timeout: 5m0s)");
      await this.pause();
    }
  }
}
