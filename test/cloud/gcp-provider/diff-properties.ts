import { fieldsOf, isEmpty, isSame, listOf, textsOf } from "./fields.ts";
import type { Fields } from "./fields.ts";
import { isEqual } from "./property-equality.ts";
import { wordsOf } from "./property-rules.ts";
import type { Block, Rules } from "./property-rules.ts";
import { hasUnknown } from "./property-values.ts";

export interface Change {
  /** As Pulumi writes it: `networkInterfaces[0].nicType`, `metadata["user-data"]`. */
  readonly path: string;
  readonly kind: "add" | "delete" | "update";
  readonly replace: boolean;
}

/** What the state, as it was read from the cloud, lacks of what the program wants. */
export function diffProperties(rules: Rules, state: Fields, inputs: Fields): readonly Change[] {
  return diffRules(rules, state, inputs, "");
}

function diffRules(rules: Rules, state: Fields, inputs: Fields, parent: string): readonly Change[] {
  return Object.entries(rules).flatMap(([name, rule]) => {
    const path = parent === "" ? name : `${parent}.${name}`;
    const words = wordsOf(rule);
    const [before, after] = [state[name], inputs[name]];
    if (words.has("output")) return [];
    if (after === undefined && (words.has("computed") || isEmpty(before))) return [];
    if (typeof rule !== "string") return diffBlock(rule, before, after, path);
    if (words.has("map") && typeof after === "object") return diffMap(words, before, after, path);
    if (isEqual(words, before, after)) return [];
    if (Array.isArray(after)) return diffTexts(words, before, after, path);
    return [describeChange(path, before, after, words.has("replace"))];
  });
}

function diffBlock(block: Block, before: unknown, after: unknown, path: string): readonly Change[] {
  const replace = wordsOf(block).has("replace");
  if (typeof after === "string" && hasUnknown(after)) return [describeChange(path, before, after, replace)];
  if (block.shape === "one") {
    if (after === undefined || isEmpty(before) !== isEmpty(after)) {
      return [describeChange(path, before, after, replace), ...markReplacing(block, before, after, path)];
    }
    return diffRules(block.rules, fieldsOf(before), fieldsOf(after), path);
  }
  const [old, wanted] = [listOf(before), listOf(after)];
  if (block.shape === "set") return diffUnordered(old, wanted, path, replace);
  const changes = wanted.flatMap((element, index) =>
    index < old.length
      ? diffRules(block.rules, fieldsOf(old[index]), fieldsOf(element), `${path}[${index}]`)
      : [describeChange(`${path}[${index}]`, undefined, element, replace)],
  );
  const gone = old
    .map((element, index) => describeChange(`${path}[${index}]`, element, undefined, replace))
    .slice(wanted.length);
  return [...changes, ...gone];
}

/** Inside a block that comes or goes, a field can still say that the resource is made anew. */
function markReplacing(block: Block, before: unknown, after: unknown, path: string): readonly Change[] {
  return diffRules(block.rules, fieldsOf(before), fieldsOf(after), path).filter(({ replace }) => replace);
}

function diffUnordered(
  old: readonly unknown[],
  wanted: readonly unknown[],
  path: string,
  replace: boolean,
): readonly Change[] {
  const isIn = (list: readonly unknown[], element: unknown): boolean =>
    list.some((other) => isSame(pruned(other), pruned(element)));
  return [
    ...wanted.flatMap((element, index) =>
      isIn(old, element) ? [] : [describeChange(`${path}[${index}]`, old[index], element, replace)],
    ),
    ...old.flatMap((element, index) =>
      isIn(wanted, element) || index < wanted.length
        ? []
        : [describeChange(`${path}[${index}]`, element, undefined, replace)],
    ),
  ];
}

function pruned(element: unknown): Fields {
  return Object.fromEntries(Object.entries(fieldsOf(element)).filter(([, value]) => !isEmpty(value)));
}

function diffMap(
  words: ReadonlySet<string>,
  before: unknown,
  after: unknown,
  path: string,
): readonly Change[] {
  const [old, wanted] = [fieldsOf(before), fieldsOf(after)];
  return [...new Set([...Object.keys(old), ...Object.keys(wanted)])]
    .filter((key) => old[key] !== wanted[key])
    .map((key) => describeChange(joinKey(path, key), old[key], wanted[key], words.has("replace")));
}

function diffTexts(
  words: ReadonlySet<string>,
  before: unknown,
  after: readonly unknown[],
  path: string,
): readonly Change[] {
  const [old, wanted] = [textsOf(before), textsOf(after)];
  const indices = Array.from({ length: Math.max(old.length, wanted.length) }, (_, index) => index);
  return indices
    .filter((index) => old[index] !== wanted[index])
    .map((index) => describeChange(`${path}[${index}]`, old[index], wanted[index], words.has("replace")));
}

function describeChange(path: string, before: unknown, after: unknown, replace: boolean): Change {
  const kind = before === undefined || before === null ? "add" : after === undefined ? "delete" : "update";
  return { path, kind, replace };
}

function joinKey(path: string, key: string): string {
  return /^[A-Za-z_]\w*$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`;
}

/** The property that a path begins with. */
export function topLevelName(path: string): string {
  return path.split(/[.[]/, 1)[0] ?? path;
}
