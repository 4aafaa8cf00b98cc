/** Longest line of generated JSON: the width of the repository's formatter, so that it leaves these files as they are. */
const WIDTH = 110;

/** JSON with two spaces of indentation, and lists on one line where they fit. */
export function formatJson(value: unknown): string {
  return `${formatValue(value, 0, 0)}\n`;
}

/** `used`: characters on the first line that are already taken, the indentation included. */
function formatValue(value: unknown, indent: number, used: number): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const inner = " ".repeat(indent + 2);
  if (Array.isArray(value)) {
    const line = formatOnOneLine(value);
    if (line !== undefined && used + line.length + 1 <= WIDTH) return line;
    const items = value.map((item) => `${inner}${formatValue(item, indent + 2, indent + 2)}`);
    return `[\n${items.join(",\n")}\n${" ".repeat(indent)}]`;
  }
  const entries = Object.entries(value).map(([key, item]) => {
    const start = `${inner}${JSON.stringify(key)}: `;
    return `${start}${formatValue(item, indent + 2, start.length)}`;
  });
  return entries.length === 0 ? "{}" : `{\n${entries.join(",\n")}\n${" ".repeat(indent)}}`;
}

/** Undefined if a map with entries is in it: those always stand on lines of their own. */
function formatOnOneLine(value: unknown): string | undefined {
  if (Array.isArray(value)) {
    const items = value.map(formatOnOneLine);
    return items.some((item) => item === undefined) ? undefined : `[${items.join(", ")}]`;
  }
  if (typeof value === "object" && value !== null && Object.keys(value).length > 0) return undefined;
  return JSON.stringify(value);
}
