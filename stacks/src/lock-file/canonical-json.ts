/**
 * JSON with one spelling for one value: keys sorted by UTF-16 code units, two spaces of indentation, a line feed at the end.
 * Two people who lock the same thing get the same bytes, and a difference in version control is a difference in fact.
 */
export function formatCanonicalJson(value: unknown): string {
  return `${JSON.stringify(sortKeys(value), null, 2)}\n`;
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, item]) => [key, sortKeys(item)]));
}
