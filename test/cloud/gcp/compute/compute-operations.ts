import { randomBytes } from "node:crypto";
import type { Call } from "../api.ts";
import { Pending } from "../operations.ts";
import type { World } from "../world.ts";
import { notFound } from "./compute-errors.ts";
import { linkTo } from "./links.ts";
import { newId } from "./store.ts";

/** How an operation ends that could not do its work. */
export class OperationError extends Error {
  override readonly name = "OperationError";
  readonly code: string;
  readonly httpStatus: number;
  readonly httpMessage: string;
  readonly errorDetails: readonly unknown[];

  constructor(
    code: string,
    message: string,
    http: readonly [number, string],
    errorDetails: readonly unknown[] = [],
  ) {
    super(message);
    this.code = code;
    [this.httpStatus, this.httpMessage] = http;
    this.errorDetails = errorDetails;
  }
}

export interface Work {
  /** `insert`, `delete`, `setMetadata`, … */
  readonly type: string;
  /** Path of the resource. */
  readonly target: string;
  readonly targetId: string;
  /** Does the work when it is time; an {@link OperationError} becomes the operation's error. */
  readonly finish: () => void;
}

interface Operation {
  readonly work: Work;
  readonly name: string;
  readonly id: string;
  readonly user: string;
  readonly scope: string;
  readonly startedAt: string;
  readonly pending: Pending;
  wasPolled: boolean;
  readonly endedAt: string | undefined;
  readonly error: OperationError | undefined;
}

/** Operations of compute: global, of a region, or of a zone, as their target is. */
export class ComputeOperations {
  readonly #world: World;
  readonly #byPath = new Map<string, Operation>();

  constructor(world: World) {
    this.#world = world;
    world.onSettle(() => {
      for (const { pending } of this.#byPath.values()) pending.settle();
    });
  }

  /** Begins work, and gives the operation's first JSON. */
  begin(call: Call, work: Work): unknown {
    const nowMs = call.now();
    const name = `operation-${nowMs}-${randomBytes(6).toString("hex")}-${randomBytes(4).toString("hex")}-${randomBytes(4).toString("hex")}`;
    const scope = /^projects\/[^/]+\/(?:global|(?:regions|zones)\/[^/]+)/.exec(work.target)?.[0] ?? "";
    let ended: Pick<Operation, "endedAt" | "error"> = { endedAt: undefined, error: undefined };
    const pending = new Pending(this.#world.pace, this.#world.now, () => {
      ended = { endedAt: timestamp(this.#world.now()), error: run(work) };
    });
    const operation: Operation = {
      work,
      name,
      scope,
      pending,
      id: newId(),
      user: call.caller.member.replace(/^\w+:/, ""),
      startedAt: timestamp(nowMs),
      wasPolled: false,
      get endedAt() {
        return ended.endedAt;
      },
      get error() {
        return ended.error;
      },
    };
    this.#byPath.set(`${scope}/operations/${name}`, operation);
    return toJson(operation);
  }

  /** @throws {GoogleError} NOT_FOUND */
  poll(path: string): unknown {
    const operation = this.#operation(path);
    operation.pending.poll();
    operation.wasPolled = true;
    return toJson(operation);
  }

  /** The answer of `wait`: here nobody has to wait. */
  finish(path: string): unknown {
    const operation = this.#operation(path);
    while (!operation.pending.poll());
    return toJson(operation);
  }

  #operation(path: string): Operation {
    const operation = this.#byPath.get(path);
    if (operation === undefined) throw notFound(path);
    return operation;
  }
}

function run(work: Work): OperationError | undefined {
  try {
    work.finish();
    return undefined;
  } catch (error) {
    if (error instanceof OperationError) return error;
    throw error;
  }
}

function toJson(operation: Operation): unknown {
  const { work, name, scope, id, user, startedAt, pending } = operation;
  const isDone = pending.isDone;
  const collection = scope.split("/").at(-2);
  const status = isDone ? "DONE" : operation.wasPolled ? "RUNNING" : "PENDING";
  const { error, endedAt } = operation;
  return {
    kind: "compute#operation",
    id,
    name,
    ...(collection === "zones" ? { zone: linkTo(scope) } : {}),
    ...(collection === "regions" ? { region: linkTo(scope) } : {}),
    operationType: work.type,
    targetLink: linkTo(work.target),
    targetId: work.targetId,
    status,
    user,
    progress: isDone ? 100 : 0,
    insertTime: startedAt,
    startTime: startedAt,
    ...(endedAt === undefined ? {} : { endTime: endedAt }),
    selfLink: linkTo(`${scope}/operations/${name}`),
    ...(error === undefined ? {} : errorJson(error)),
  };
}

function errorJson(error: OperationError): Readonly<Record<string, unknown>> {
  const { code, message, errorDetails } = error;
  return {
    httpErrorStatusCode: error.httpStatus,
    httpErrorMessage: error.httpMessage,
    error: { errors: [{ code, message, ...(errorDetails.length === 0 ? {} : { errorDetails }) }] },
  };
}

/** As compute writes it. */
export function timestamp(ms: number): string {
  return new Date(ms).toISOString().replace("Z", "+00:00");
}
