import { PolarisError } from "@polaris-cvm/sdk/errors";

/** Words of a command line, with single and double quotes as a shell has them; nothing is expanded. */
export function splitCommand(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote: string | undefined;
  for (const character of text) {
    if (quote !== undefined) {
      if (character === quote) quote = undefined;
      else word = (word ?? "") + character;
    } else if (character === '"' || character === "'") {
      quote = character;
      word ??= "";
    } else if (/\s/.test(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      word = (word ?? "") + character;
    }
  }
  if (quote !== undefined)
    throw new PolarisError("USAGE_INVALID", `a quote ${quote} is not closed in: ${text}`);
  if (word !== undefined) words.push(word);
  return words;
}
