/**
 * Compiles a pattern of `targets.local.files` into a test for paths relative to the project (`lib/a.js`, `/` between
 * folders). `*` and `?` stay within a folder, `**` crosses folders, everything else stands for itself. A pattern that
 * matches a folder takes everything in it.
 */
export function compileFilePattern(pattern: string): (path: string) => boolean {
  const parts = pattern.replace(/\/+$/, "").split("/");
  const source = parts.map((part, index) => compilePart(part, index === parts.length - 1)).join("");
  const expression = new RegExp(`^${source}(?:/|$)`, "su");
  return (path) => expression.test(path);
}

function compilePart(part: string, isLast: boolean): string {
  if (part === "**") return isLast ? ".+" : "(?:[^/]+/)*";
  const name = part
    .replaceAll(/[.+^${}()|[\]\\]/g, String.raw`\$&`)
    .replaceAll(/\*+/g, "[^/]*")
    .replaceAll("?", "[^/]");
  return isLast ? name : `${name}/`;
}
