import * as z from "zod";

const operation = z.enum([
  "same",
  "create",
  "update",
  "delete",
  "replace",
  "create-replacement",
  "delete-replaced",
  "read",
  "read-replacement",
  "refresh",
  "discard",
  "discard-replaced",
  "remove-pending-replace",
  "import",
  "import-replacement",
]);

/** What the engine does with one resource; `replace` is the word for the two steps around it, and does nothing. */
export type EngineOperation = z.output<typeof operation>;

const text = z.string();
const resourceState = z.object({
  id: text.optional(),
  protect: z.boolean().optional(),
  retainOnDelete: z.boolean().optional(),
  outputs: z.record(text, z.unknown()).nullish(),
});

const step = z.object({
  op: operation,
  urn: text,
  type: text,
  /** Reference of the provider; "" for what the engine itself keeps, such as components and the stack. */
  provider: text.nullish(),
  /** Properties that made a replacement necessary. */
  keys: z.array(text).nullish(),
  /** Properties that differ. */
  diffs: z.array(text).nullish(),
  old: resourceState.nullish(),
  new: resourceState.nullish(),
});

export type EngineStep = z.output<typeof step>;

/** What the engine streams, as far as Polaris needs it: one of the members is there, or none for what is not needed. */
const engineEvent = z.object({
  sequence: z.number(),
  resourcePreEvent: z.object({ metadata: step, planning: z.boolean().optional() }).optional(),
  resOutputsEvent: z.object({ metadata: step, planning: z.boolean().optional() }).optional(),
  resOpFailedEvent: z.object({ metadata: step }).optional(),
  diagnosticEvent: z
    .object({ urn: text.optional(), message: text, severity: text, ephemeral: z.boolean().optional() })
    .optional(),
  summaryEvent: z
    .object({
      maybeCorrupt: z.boolean(),
      durationSeconds: z.number(),
      resourceChanges: z.record(text, z.number()).nullish(),
    })
    .optional(),
});

export type EngineEvent = z.output<typeof engineEvent>;

/** An event with the time of its arrival in milliseconds; the engine's own clock counts whole seconds. */
export interface ArrivedEvent {
  readonly atMs: number;
  readonly event: EngineEvent;
}

/**
 * One event of the engine.
 *
 * @returns undefined for what is not known: a newer engine may say more
 */
export function parseEngineEvent(value: unknown): EngineEvent | undefined {
  return engineEvent.safeParse(value).data;
}

/** `kms` of `urn:pulumi:stack::project::parent$package:module:Type::kms`. */
export function nameOfUrn(urn: string): string {
  return urn.slice(urn.lastIndexOf("::") + 2);
}

/** `package:module:Type` of `urn:pulumi:stack::project::parent$package:module:Type::kms`. */
export function typeOfUrn(urn: string): string {
  const [, , types = ""] = urn.split("::");
  return types.slice(types.lastIndexOf("$") + 1);
}
