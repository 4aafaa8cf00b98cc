/** What a resource will look like, as far as it is known before anything is made; and the inputs that a state stands for. */
import { fieldsOf, isEmpty, listOf } from "./fields.ts";
import type { Fields } from "./fields.ts";
import { isEqual } from "./property-equality.ts";
import { wordsOf } from "./property-rules.ts";
import type { Rule, Rules } from "./property-rules.ts";
import { UNKNOWN } from "./property-values.ts";

/** The state after a create: what the cloud will choose is unknown. */
export function planState(rules: Rules, inputs: Fields): Fields {
  const planned: Record<string, unknown> = { ...inputs };
  for (const [name, rule] of Object.entries(rules)) {
    const words = wordsOf(rule);
    const given = inputs[name];
    if (given === undefined) {
      if ((words.has("output") || words.has("computed")) && !words.has("virtual")) planned[name] = UNKNOWN;
    } else if (typeof rule !== "string") {
      planned[name] = planBlock(rule.rules, given);
    }
  }
  return planned;
}

function planBlock(rules: Rules, given: unknown): unknown {
  if (Array.isArray(given)) return given.map((element) => planBlock(rules, element));
  return typeof given === "object" ? planState(rules, fieldsOf(given)) : given;
}

/** The state after an update: what the cloud chose and the program leaves open stays, also inside of blocks. */
export function planChange(rules: Rules, state: Fields, inputs: Fields): Fields {
  return { ...state, ...keepChosen(rules, state, inputs) };
}

function keepChosen(rules: Rules, before: Fields, after: Fields): Fields {
  const kept: Record<string, unknown> = { ...after };
  for (const [name, rule] of Object.entries(rules)) {
    const words = wordsOf(rule);
    if (after[name] !== undefined) {
      if (typeof rule === "string" || rule.shape === "set") continue;
      kept[name] = keepInBlock(rule.rules, before[name], after[name]);
    } else if (before[name] !== undefined && (words.has("computed") || words.has("output"))) {
      kept[name] = before[name];
    }
  }
  return kept;
}

function keepInBlock(rules: Rules, before: unknown, after: unknown): unknown {
  if (Array.isArray(after)) {
    return after.map((element, index) => keepInBlock(rules, listOf(before)[index], element));
  }
  return typeof after === "object" ? keepChosen(rules, fieldsOf(before), fieldsOf(after)) : after;
}

/**
 * The inputs after a refresh: those that were there, with the cloud's values where they differ; for an import, everything that a
 * program could have given.
 */
export function inputsOf(rules: Rules, state: Fields, inputs: Fields): Fields {
  const isImport = Object.keys(inputs).length === 0;
  const read: Record<string, unknown> = {};
  for (const [name, rule] of Object.entries(rules)) {
    const words = wordsOf(rule);
    if (words.has("output") || (inputs[name] === undefined && !isImport)) continue;
    if (isImport && isEmpty(state[name])) continue;
    read[name] = inputOf(rule, state[name], inputs[name]);
  }
  const defaults = inputs["__defaults"];
  return defaults === undefined ? read : { ...read, __defaults: defaults };
}

function inputOf(rule: Rule, state: unknown, input: unknown): unknown {
  if (typeof rule === "string") return isEqual(wordsOf(rule), state, input) ? (input ?? state) : state;
  if (rule.shape === "one")
    return state === undefined ? undefined : inputsOf(rule.rules, fieldsOf(state), fieldsOf(input));
  return listOf(state).map((element, index) =>
    inputsOf(rule.rules, fieldsOf(element), fieldsOf(listOf(input)[index])),
  );
}
