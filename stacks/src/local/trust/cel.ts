import { Environment } from "@marcbachmann/cel-js";
import { PolarisError } from "@polaris-cvm/sdk/errors";

/** Claims of a verified token. */
export type Claims = Readonly<Record<string, unknown>>;

/** What a provider's attribute mapping made of the claims. */
export interface MappedAttributes {
  /** `google.subject` */
  readonly subject: string;
  /** `google.groups` */
  readonly groups: readonly string[];
  /** `attribute.*` by name */
  readonly attributes: Readonly<Record<string, string>>;
}

/** True only if the condition is exactly `true` for the claims; a condition that fails is not true. */
export type Condition = (claims: Claims, mapped: MappedAttributes) => boolean;

/** Undefined where an expression fails, or gives something that the attribute cannot be. */
export type Mapping = (claims: Claims) => MappedAttributes | undefined;

/** Limits of Google's workload identity federation. */
export const MAX_CONDITION_CHARACTERS = 4096;
export const MAX_MAPPING_CHARACTERS = 2048;
// A variable that does not exist is found when the provider is made, not when the first token comes.
const mappingEnvironment = new Environment().registerVariable("assertion", "dyn");
// Google's `google.subject` is not there in conditions: the evaluator has `google` for itself. It fails, and that is no.
const conditionEnvironment = new Environment()
  .registerVariable("assertion", "dyn")
  .registerVariable("attribute", "dyn");

const MAPPING_TARGET = /^(google\.subject|google\.groups|attribute\.[a-z0-9_]{1,100})$/;

/**
 * Prepares an attribute condition (Common Expression Language).
 *
 * JSON numbers are doubles in it, as in google.protobuf.Struct.
 *
 * @throws {PolarisError} CONFIG_INVALID if it does not parse, cannot be a boolean, or is empty or too long
 */
export function compileCondition(source: string): Condition {
  const { evaluate, type } = compile(
    conditionEnvironment,
    source,
    MAX_CONDITION_CHARACTERS,
    "attribute condition",
  );
  if (type !== "bool" && type !== "dyn") {
    throw new PolarisError("CONFIG_INVALID", `attribute condition must be a bool, got ${type}`);
  }
  return (claims, mapped) => {
    try {
      // Nothing but `true`: a truthy value is a mistake in the condition, not a yes.
      return evaluate({ assertion: claims, attribute: mapped.attributes }) === true;
    } catch {
      // A missing claim, a wrong type: the condition cannot be shown to hold.
      return false;
    }
  };
}

/**
 * Prepares an attribute mapping: target attribute → expression over `assertion`.
 *
 * @throws {PolarisError} CONFIG_INVALID for an unknown target, an expression that does not parse, or no `google.subject`
 */
export function compileMapping(expressions: Readonly<Record<string, string>>): Mapping {
  if (expressions["google.subject"] === undefined) {
    throw new PolarisError("CONFIG_INVALID", "attribute mapping has no google.subject");
  }
  const compiled = Object.entries(expressions).map(([target, source]) => {
    if (!MAPPING_TARGET.test(target)) {
      throw new PolarisError("CONFIG_INVALID", `attribute mapping has the unknown target "${target}"`);
    }
    const what = `attribute mapping of ${target}`;
    return { target, evaluate: compile(mappingEnvironment, source, MAX_MAPPING_CHARACTERS, what).evaluate };
  });
  return (claims) => {
    let subject: string | undefined;
    let groups: readonly string[] = [];
    const attributes: Record<string, string> = {};
    try {
      for (const { target, evaluate } of compiled) {
        const value = evaluate({ assertion: claims });
        if (target === "google.groups") {
          if (!isListOfStrings(value)) return undefined;
          groups = value;
        } else if (typeof value !== "string") {
          return undefined;
        } else if (target === "google.subject") {
          subject = value;
        } else {
          attributes[target.slice("attribute.".length)] = value;
        }
      }
    } catch {
      // A claim that the mapping needs is missing.
      return undefined;
    }
    return subject === undefined || subject === "" ? undefined : { subject, groups, attributes };
  };
}

function compile(
  environment: Environment,
  source: string,
  maxCharacters: number,
  what: string,
): { readonly evaluate: (context: Record<string, unknown>) => unknown; readonly type: string } {
  if (source.trim() === "" || source.length > maxCharacters) {
    throw new PolarisError(
      "CONFIG_INVALID",
      `${what} must have 1 to ${maxCharacters} characters, got ${source.length}`,
    );
  }
  try {
    const evaluate = environment.parse(source);
    const checked = evaluate.check();
    if (checked.error !== undefined) throw checked.error;
    return { evaluate: (context): unknown => evaluate(context), type: checked.type ?? "dyn" };
  } catch (cause) {
    const problem = cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : "";
    throw new PolarisError("CONFIG_INVALID", `${what} is not valid CEL: ${problem}`, { cause });
  }
}

function isListOfStrings(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}
