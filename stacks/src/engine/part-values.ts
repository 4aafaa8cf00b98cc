import type { OutputMap } from "@pulumi/pulumi/automation/stack.js";
import type { EngineEvent } from "./engine-event.ts";

/** What a program gave back, by name; a secret one must not be shown. */
export type PartOutputs = Readonly<Record<string, { readonly value: unknown; readonly secret: boolean }>>;

/** What a program would give back; `undefined` for what is not known before it is made, and for secrets. */
export type PreviewOutputs = Readonly<Record<string, unknown>>;

/** How the engine writes a value that is not known yet. */
const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/** The member that marks a value as more than JSON: a secret, an asset. */
const SIGNATURE = "4dabf18193072939515e22adb298388d";

/** The outputs as plain data of ours. */
export function outputsOf(outputs: OutputMap): PartOutputs {
  return Object.fromEntries(
    Object.entries(outputs).map(([name, { value, secret }]) => [name, { value: value as unknown, secret }]),
  );
}

/** The outputs of the stack in a preview's events. */
export function previewOutputs(events: readonly EngineEvent[]): PreviewOutputs {
  const ends = events.flatMap(({ resOutputsEvent }) =>
    resOutputsEvent?.metadata.type === "pulumi:pulumi:Stack" ? [resOutputsEvent.metadata] : [],
  );
  const outputs = ends.at(-1)?.new?.outputs ?? {};
  return Object.fromEntries(
    Object.entries(outputs).map(([name, value]) => [name, isKnown(value) ? value : undefined]),
  );
}

function isKnown(value: unknown): boolean {
  const text = JSON.stringify(value) ?? "";
  return !text.includes(UNKNOWN) && !text.includes(SIGNATURE);
}
