import { isMap } from "./overrides.ts";

/** Text that YAML reads as this very text without quotes, wherever it stands. */
const PLAIN_TEXT = /^(?!(?:true|false|null)$)(?:[a-z_/][\w./-]*|\d+[sm])$/i;

/** Characters that JSON may leave as they are and YAML counts as breaks or as not printable (YAML 1.2 §5.1, §5.4). */
// oxlint-disable-next-line no-control-regex -- these are the characters to be found
const UNPRINTABLE = /[\u007f-\u009f\u2028\u2029\ufeff]/g;

/** Text, numbers, and lists and maps of them as YAML on one line, fit to stand after `key: `. */
export function formatInlineYaml(value: unknown): string {
  if (typeof value === "string") return formatText(value);
  if (Array.isArray(value)) return `[${value.map(formatInlineYaml).join(", ")}]`;
  if (!isMap(value)) return JSON.stringify(value);
  const entries = Object.entries(value).map(([key, item]) => `${formatText(key)}: ${formatInlineYaml(item)}`);
  return entries.length === 0 ? "{}" : `{ ${entries.join(", ")} }`;
}

/** A JSON text is a double-quoted YAML text (YAML 1.2 §1.3). */
function formatText(text: string): string {
  if (PLAIN_TEXT.test(text)) return text;
  return JSON.stringify(text).replaceAll(
    UNPRINTABLE,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
