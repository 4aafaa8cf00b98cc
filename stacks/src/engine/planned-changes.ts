import { nameOfUrn } from "./engine-event.ts";
import type { EngineEvent, EngineOperation, EngineStep } from "./engine-event.ts";

export type ChangeAction = "create" | "update" | "replace" | "delete" | "import";

/** What would happen, or happened, to one resource. */
export interface PlannedChange {
  readonly urn: string;
  /** `package:module:Type`. */
  readonly type: string;
  readonly name: string;
  readonly action: ChangeAction;
  /** Properties that differ; of a replacement, those that make it necessary. */
  readonly properties: readonly string[];
  /** Deleted from the books only: the cloud keeps it. */
  readonly isRetained: boolean;
}

/** What the engine does with a resource over all its steps; the first that is true counts. */
const ACTIONS: readonly (readonly [ChangeAction, (operations: ReadonlySet<EngineOperation>) => boolean])[] = [
  ["replace", (ops) => ops.has("replace") || ops.has("create-replacement") || ops.has("import-replacement")],
  // Deleted and, under the same name, made anew.
  ["replace", (ops) => ops.has("delete") && ops.has("create")],
  ["delete", (ops) => ops.has("delete")],
  // Left over from a replacement that did not come to its end.
  ["replace", (ops) => ops.has("delete-replaced")],
  ["create", (ops) => ops.has("create")],
  ["update", (ops) => ops.has("update")],
  ["import", (ops) => ops.has("import")],
];

/** What a preview's events, or those of a change, do to resources: one entry each, in their order; what stays is left out. */
export function listChanges(events: readonly EngineEvent[]): PlannedChange[] {
  const steps = events.flatMap(({ resourcePreEvent }) =>
    resourcePreEvent !== undefined && isManaged(resourcePreEvent.metadata) ? [resourcePreEvent.metadata] : [],
  );
  return [...Map.groupBy(steps, ({ urn }) => urn)].flatMap(([urn, ofResource]) => {
    const operations = new Set(ofResource.map(({ op }) => op));
    const action = ACTIONS.find(([, isTrue]) => isTrue(operations))?.[0];
    if (action === undefined) return [];
    return [
      {
        urn,
        type: ofResource[0]?.type ?? "",
        name: nameOfUrn(urn),
        action,
        properties: ofResource.map(changedProperties).find((properties) => properties.length > 0) ?? [],
        isRetained: ofResource.some((step) => step.old?.retainOnDelete === true),
      },
    ];
  });
}

/** Not the stack, components and providers: they are in the engine's books only. */
function isManaged({ provider }: EngineStep): boolean {
  return provider !== "" && provider !== undefined && provider !== null;
}

function changedProperties({ keys, diffs }: EngineStep): readonly string[] {
  return (keys?.length ? keys : diffs) ?? [];
}
