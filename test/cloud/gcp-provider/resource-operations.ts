/** What becomes of one resource: the same for all types, which only make the calls. */
import type { Cloud } from "./cloud.ts";
import { isMadeUp } from "./check-resource.ts";
import { diffProperties, topLevelName } from "./diff-properties.ts";
import type { Change } from "./diff-properties.ts";
import { textOf } from "./fields.ts";
import type { Fields } from "./fields.ts";
import { IncompleteResourceError } from "./failures.ts";
import { inputsOf, planChange, planState } from "./plan-state.ts";
import { wordsOf } from "./property-rules.ts";
import type { Properties } from "./property-values.ts";
import type { ResourceType } from "./resource-type.ts";

export interface Made {
  /** Empty in a preview. */
  readonly id: string;
  readonly state: Properties;
}

export interface Difference {
  readonly changes: readonly Change[];
  readonly deleteBeforeReplace: boolean;
}

/** What the engine tells about a resource that is there. */
export interface Known {
  readonly id: string;
  readonly urn: string;
  readonly state: Fields;
}

export function planCreate(type: ResourceType, inputs: Properties): Made {
  return { id: "", state: withSecrets(type, planState(type.rules, inputs.values), inputs) };
}

/**
 * @throws {IncompleteResourceError} when the resource was made and could not be read
 * @throws {Error} when it was not made
 */
export async function createResource(
  type: ResourceType,
  cloud: Cloud,
  urn: string,
  inputs: Properties,
): Promise<Made> {
  const id = await type.create(cloud, inputs.values);
  const state = await readMade(type, cloud, { id, urn, state: inputs.values }, inputs, "Create");
  return { id, state };
}

export function diffResource(
  type: ResourceType,
  state: Fields,
  inputs: Fields,
  ignored: readonly string[],
): Difference {
  const replacing = new Set(type.findReplacing?.(state, inputs));
  const changes = diffProperties(type.rules, state, inputs)
    .filter(
      ({ path }) =>
        !ignored.some((name) => path === name || path.startsWith(`${name}.`) || path.startsWith(`${name}[`)),
    )
    .map((change) => (replacing.has(change.path) ? { ...change, replace: true } : change));
  return { changes, deleteBeforeReplace: type.autonamed !== undefined && !isMadeUp(type, inputs) };
}

export function planUpdate(type: ResourceType, { state }: Known, inputs: Properties): Properties {
  return withSecrets(type, planChange(type.rules, state, inputs.values), inputs);
}

/**
 * @throws {IncompleteResourceError} when a part was changed, or when the result could not be read
 */
export async function updateResource(
  type: ResourceType,
  cloud: Cloud,
  known: Known,
  inputs: Properties,
): Promise<Properties> {
  const { changes } = diffResource(type, known.state, inputs.values, []);
  const changed = new Set(changes.map(({ path }) => topLevelName(path)));
  if (type.update === undefined) throw new Error("doesn't support update");
  try {
    await type.update(cloud, { id: known.id, inputs: inputs.values, state: known.state, changed });
  } catch (error) {
    throw inContext("updating", known.urn, error);
  }
  return readMade(type, cloud, { ...known, state: { ...known.state, ...inputs.values } }, inputs, "Update");
}

/** @returns the state and the inputs that it stands for, or undefined for what is gone */
export async function readResource(
  type: ResourceType,
  cloud: Cloud,
  known: Known,
  inputs: Properties,
): Promise<{ state: Properties; inputs: Properties } | undefined> {
  const read = await type.read(cloud, known.id, known.state);
  if (read === undefined) return undefined;
  const state = keepDeletionPolicy(type, read, known.state);
  return {
    state: withSecrets(type, state, inputs),
    inputs: { values: inputsOf(type.rules, state, inputs.values), secrets: inputs.secrets },
  };
}

/**
 * @throws {Error} when the cloud refuses, or when the resource's own `deletionPolicy` does
 */
export async function deleteResource(type: ResourceType, cloud: Cloud, known: Known): Promise<void> {
  try {
    const policy = textOf(known.state["deletionPolicy"]);
    const isOurs = type.rules["deletionPolicy"] !== undefined && type.ownDeletionPolicy !== true;
    const decided = policy === "" ? cloud.config.deletionPolicy : policy;
    if (isOurs && decided === "ABANDON") return;
    if (isOurs && decided === "PREVENT") {
      throw new Error(
        `cannot destroy ${type.label} without setting deletion_policy="DELETE" and running \`terraform apply\``,
      );
    }
    await type.delete(cloud, known.id, known.state);
  } catch (error) {
    throw inContext("deleting", known.urn, error);
  }
}

async function readMade(
  type: ResourceType,
  cloud: Cloud,
  made: Known,
  inputs: Properties,
  operation: "Create" | "Update",
): Promise<Properties> {
  const incomplete = { id: made.id, state: made.state, secrets: inputs.secrets };
  let read: Fields | undefined;
  try {
    read = await type.read(cloud, made.id, inputs.values);
  } catch (error) {
    const { message } = inContext(operation === "Create" ? "creating" : "updating", made.urn, error);
    throw new IncompleteResourceError(message, incomplete);
  }
  if (read === undefined)
    throw new Error(`expected non-nil error with nil state during ${operation} of ${made.urn}`);
  return withSecrets(type, keepDeletionPolicy(type, read, inputs.values), inputs);
}

function keepDeletionPolicy(type: ResourceType, state: Fields, known: Fields): Fields {
  const policy: unknown = known["deletionPolicy"];
  return type.rules["deletionPolicy"] === undefined || policy === undefined
    ? state
    : { ...state, deletionPolicy: policy };
}

/** Properties are secret that the program gave as secrets, and those that always are. */
function withSecrets(type: ResourceType, values: Fields, inputs: Properties): Properties {
  const always = Object.entries(type.rules).filter(([, rule]) => wordsOf(rule).has("secret"));
  return { values, secrets: new Set([...inputs.secrets, ...always.map(([name]) => name)]) };
}

function inContext(doing: string, urn: string, error: unknown): Error {
  const text = error instanceof Error ? error.message : String(error);
  return new Error(`${doing} ${urn}: 1 error occurred:\n\t* ${text}`, { cause: error });
}
