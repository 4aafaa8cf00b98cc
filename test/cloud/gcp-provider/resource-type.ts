import type { Cloud } from "./cloud.ts";
import { fieldsOf, textOf } from "./fields.ts";
import type { Fields } from "./fields.ts";
import type { Rules } from "./property-rules.ts";

/** What is to become of a resource that is there. */
export interface Update {
  readonly id: string;
  readonly inputs: Fields;
  readonly state: Fields;
  /** Top-level properties that differ. */
  readonly changed: ReadonlySet<string>;
}

/**
 * One resource type: the calls that the real provider makes for it. What the cloud made of it comes from `read` alone, after a
 * create and an update too.
 */
export interface ResourceType {
  /** `gcp:kms/keyRing:KeyRing` */
  readonly token: string;
  /** The real provider's name for it in its errors about `deletionPolicy`. */
  readonly label: string;
  readonly rules: Rules;
  /** The property that gets a made-up name where the program gives none. */
  readonly autonamed?: string;
  /** Values of the real provider where the program gives none; of a block, where the program gives the block. */
  readonly defaults?: Fields;
  /** Places that come from the provider's arguments where the program gives none. */
  readonly places?: readonly Place[];
  /** @returns the new id */
  create(cloud: Cloud, inputs: Fields): Promise<string>;
  /**
   * @param known what was given or known before: properties that the provider keeps to itself come from there
   * @returns the state, or undefined for what is gone
   */
  read(cloud: Cloud, id: string, known: Fields): Promise<Fields | undefined>;
  /** Absent where the real provider has no update. */
  update?(cloud: Cloud, update: Update): Promise<void>;
  delete(cloud: Cloud, id: string, state: Fields): Promise<void>;
  /** Paths whose change replaces the resource although the schema does not say so. */
  findReplacing?(state: Fields, inputs: Fields): readonly string[];
  /** Whether `deletionPolicy` is for the type's own `delete` to read. */
  readonly ownDeletionPolicy?: boolean;
}

export type Place = "project" | "region" | "zone";

/**
 * Where a resource is: its own property, or the provider's argument.
 *
 * @throws {Error} where neither says it
 */
export function placeOf(cloud: Cloud, inputs: Fields, place: Place): string {
  const given = textOf(inputs[place]);
  const found = given === "" ? cloud.config[place] : given;
  if (found === "") throw new Error(missingPlace(place));
  return found.slice(found.lastIndexOf("/") + 1);
}

export function missingPlace(place: Place): string {
  return `Failed to retrieve ${place}, pid: , err: ${place}: required field is not set`;
}

/**
 * The variable parts of an id: `projects/{project}/secrets/{secretId}`.
 *
 * @throws {Error} for an id of another form
 */
export function parseId(template: string, id: string): Readonly<Record<string, string>> {
  const names: string[] = [];
  const pattern = template.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    names.push(name);
    return "([^/]+)";
  });
  const match = new RegExp(`^${pattern}$`).exec(id);
  if (match === null)
    throw new Error(`Import id "${id}" doesn't match any of the accepted formats: [${template}]`);
  return Object.fromEntries(names.map((name, index) => [name, match[index + 1] ?? ""]));
}

/** Labels as they are sent when a resource is made: the program's, the provider's, and the mark of Pulumi. */
export function labelsToSend(cloud: Cloud, inputs: Fields): Readonly<Record<string, string>> {
  const mark = cloud.config.attributionLabel ? { "goog-pulumi-provisioned": "true" } : {};
  return { ...mark, ...cloud.config.defaultLabels, ...givenLabels(inputs) };
}

/** Labels after an update: those that the resource has from others stay as they are. */
export function labelsToUpdate(cloud: Cloud, { inputs, state }: Update): Readonly<Record<string, string>> {
  const wanted = givenLabels(inputs);
  const dropped = Object.keys(givenLabels(state)).filter((key) => wanted[key] === undefined);
  const others = Object.entries(fieldsOf(state["effectiveLabels"])).filter(([key]) => !dropped.includes(key));
  return {
    ...(Object.fromEntries(others) as Record<string, string>),
    ...cloud.config.defaultLabels,
    ...wanted,
  };
}

/** The three label properties of a state; labels of others show in `effectiveLabels` only. */
export function readLabels(cloud: Cloud, answer: Fields, known: Fields): Fields {
  const all = fieldsOf(answer["labels"]);
  const mine = Object.keys(fieldsOf(known["labels"])).filter((key) => all[key] !== undefined);
  const added = Object.keys(labelsToSend(cloud, known)).filter((key) => all[key] !== undefined);
  const pick = (keys: readonly string[]): Fields => Object.fromEntries(keys.map((key) => [key, all[key]]));
  return { labels: pick(mine), effectiveLabels: all, pulumiLabels: pick(added) };
}

function givenLabels(fields: Fields): Readonly<Record<string, string>> {
  return fieldsOf(fields["labels"]) as Readonly<Record<string, string>>;
}
