/** What the provider does with each property that it handles. A test compares this with the provider's own schema. */

/**
 * Words for a property:
 *
 * - `replace`: a change makes a new resource
 * - `computed`: the cloud chooses where the program gives nothing
 * - `output`: the cloud's alone
 * - `virtual`: the provider's own, never sent
 * - `list`, `set`, `map`: of texts; a set has no order, a map is compared key by key
 * - `link`: Compute's ways of naming a resource are equal, long or short
 * - `image`: as a link, and a family is equal to its images
 * - `member`: an IAM member, whose address has no case
 * - `secret`: never shown
 */
export type Words = string;

export interface Block {
  /** As for a property; `replace` is about how many there are. */
  readonly words: Words;
  readonly shape: "one" | "list" | "set";
  readonly rules: Rules;
}

export type Rule = Words | Block;
export type Rules = Readonly<Record<string, Rule>>;

export function one(words: Words, rules: Rules): Block {
  return { words, shape: "one", rules };
}

export function many(words: Words, rules: Rules): Block {
  return { words, shape: "list", rules };
}

export function anyOrder(words: Words, rules: Rules): Block {
  return { words, shape: "set", rules };
}

export function wordsOf(rule: Rule): ReadonlySet<string> {
  return new Set((typeof rule === "string" ? rule : rule.words).split(" ").filter((word) => word !== ""));
}

/** Labels of a resource: what the program gave, and with what the provider adds. */
export const LABEL_RULES: Rules = {
  labels: "map",
  effectiveLabels: "output map secret",
  pulumiLabels: "output map secret",
};

/** Whether a delete deletes. */
export const DELETION_RULES: Rules = { deletionPolicy: "computed virtual" };
