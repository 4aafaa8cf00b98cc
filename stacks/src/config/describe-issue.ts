import { nearestName } from "@polaris-cvm/sdk/nearest-name";
import type * as z from "zod";

import { knownKeysAt } from "./json-schema.ts";
import type { ConfigPath } from "./parse-yaml.ts";
import { formatPath } from "./problems.ts";
import type { ConfigProblem } from "./problems.ts";
import { UNAVAILABLE_TARGETS } from "./schema.ts";

type Issue = z.core.$ZodIssue;

const TYPE_WORDS: Readonly<Record<string, string>> = {
  string: "text",
  int: "a whole number",
  number: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a map",
  record: "a map",
};

/**
 * Turns an issue of the schema into problems in our words. Values are not quoted but where the schema lists the allowed
 * ones: a value in the wrong place may be a secret.
 *
 * @param root  what was parsed, to say what stands there instead
 */
export function describeIssue(issue: Issue, root: unknown): ConfigProblem[] {
  const path = issue.path.map((step) => (typeof step === "number" ? step : String(step)));
  if (issue.code === "unrecognized_keys") return issue.keys.map((key) => describeUnknownKey(path, key));
  if (issue.code === "invalid_key") {
    return [problem(path, "key", issue.issues[0]?.message ?? "not allowed here")];
  }
  const value = valueAt(root, path);
  if (value === undefined) return [describeMissing(path)];
  if (value === null) return [problem(path, "value", "has no value; give it one, or remove the key")];
  if (issue.code === "invalid_type") {
    // A rule of our own leads to a valid value; the schema library's words do not.
    if (!issue.message.startsWith("Invalid input")) return [problem(path, "value", issue.message)];
    const expected = TYPE_WORDS[issue.expected] ?? issue.expected;
    const quote = expected === "text" && typeof value !== "object" ? "; put it in quotes" : "";
    return [problem(path, "value", `expected ${expected}, got ${wordFor(value)}${quote}`)];
  }
  if (issue.code === "invalid_value") return [describeWrongChoice(path, issue.values.map(String), value)];
  if (issue.code === "invalid_union") return describeUnion(issue, path, root);
  if (issue.code === "too_small" && issue.origin === "array") {
    return [problem(path, "value", "expected at least one entry")];
  }
  return [problem(path, "value", issue.message)];
}

/** Keys that people look for, and that are not there for a reason. */
const REFUSED_KEYS: Readonly<Record<string, string>> = {
  "attestation.gcp.imageDigest":
    "attestation.gcp.imageDigest: the tokens of Confidential VMs name no container image, so no condition can; what runs there is measured as far as the kernel",
};

function describeUnknownKey(path: ConfigPath, key: string): ConfigProblem {
  if (path.at(-1) === "targets" && UNAVAILABLE_TARGETS.includes(key)) {
    return unavailableTarget([...path, key], "key", key);
  }
  const reason = REFUSED_KEYS[[...path, key].join(".")];
  if (reason !== undefined) {
    return { code: "CONFIG_INVALID", path: [...path, key], part: "key", message: reason };
  }
  const known = knownKeysAt(path);
  const near = nearestName(key, known);
  const where = path.length === 0 ? "" : ` in ${formatPath(path)}`;
  const all = known.length === 0 ? "no keys are allowed here" : `known keys: ${known.join(", ")}`;
  const message = `unknown key "${key}"${where}; ${near === undefined ? all : `did you mean "${near}"?`}`;
  return { code: "CONFIG_INVALID", path: [...path, key], part: "key", message };
}

function describeMissing(path: ConfigPath): ConfigProblem {
  const around = path.slice(0, -1);
  const where = around.length === 0 ? "" : ` in ${formatPath(around)}`;
  return {
    code: "CONFIG_INVALID",
    path,
    part: "key",
    message: `missing key "${String(path.at(-1))}"${where}`,
  };
}

/** Words or a map: of a map, what is wrong inside it; of anything else, what may stand there. */
function describeUnion(
  issue: Extract<Issue, { code: "invalid_union" }>,
  path: ConfigPath,
  root: unknown,
): ConfigProblem[] {
  const inside = issue.errors.find((issues) => issues.every((inner) => inner.path.length > 0));
  if (inside !== undefined) {
    return inside.flatMap((inner) => describeIssue({ ...inner, path: [...issue.path, ...inner.path] }, root));
  }
  const choices = issue.errors.flat().flatMap((inner) => {
    if (inner.code === "invalid_value") return inner.values.map(String);
    return inner.code === "invalid_type" ? [TYPE_WORDS[inner.expected] ?? inner.expected] : [];
  });
  return [describeWrongChoice(path, choices, valueAt(root, path))];
}

function describeWrongChoice(path: ConfigPath, words: readonly string[], value: unknown): ConfigProblem {
  if (path.at(-1) === "target" && typeof value === "string" && UNAVAILABLE_TARGETS.includes(value)) {
    return unavailableTarget(path, "value", value);
  }
  const got = typeof value === "object" ? wordFor(value) : JSON.stringify(value).slice(0, 40);
  const near = typeof value === "string" ? nearestName(value, words) : undefined;
  const suggestion = near === undefined ? "" : `; did you mean "${near}"?`;
  return problem(path, "value", `expected ${joinChoices(words)}, got ${got}${suggestion}`);
}

function unavailableTarget(path: ConfigPath, part: "key" | "value", name: string): ConfigProblem {
  const message = `target "${name}" is not available in this version, only "local" and "gcp" are`;
  return { code: "TARGET_NOT_AVAILABLE", path, part, message };
}

function problem(path: ConfigPath, part: "key" | "value", text: string): ConfigProblem {
  const where = path.length === 0 ? "" : `${formatPath(path)}: `;
  return { code: "CONFIG_INVALID", path, part, message: `${where}${text}` };
}

function joinChoices(words: readonly string[]): string {
  return words.length === 1 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1) ?? ""}`;
}

function wordFor(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "string") return "text";
  if (typeof value === "number") return Number.isSafeInteger(value) ? "a number" : "another number";
  return typeof value === "boolean" ? String(value) : "a map";
}

function valueAt(root: unknown, path: ConfigPath): unknown {
  let value = root;
  for (const step of path) {
    if (typeof value !== "object" || value === null) return undefined;
    value = (value as Readonly<Record<string | number, unknown>>)[step];
  }
  return value;
}
