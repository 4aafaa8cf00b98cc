import type { Call } from "../api.ts";
import { invalidValue } from "./compute-errors.ts";
import { linkTo } from "./links.ts";

const DEFAULT_MAX_RESULTS = 500;

/**
 * The answer of a list method.
 *
 * @param kind for example `compute#instanceList`
 * @throws {GoogleError} INVALID_ARGUMENT for a filter that is more than one `field = value`, or a foreign page token
 */
export function listOf(call: Call, kind: string, path: string, items: readonly object[]): unknown {
  const matches = compileFilter(call.query.get("filter") ?? "");
  const found = items.filter((item) => matches(item as Readonly<Record<string, unknown>>));
  const token = call.query.get("pageToken") ?? "0";
  const start = /^\d{1,6}$/.test(token) ? Number(token) : -1;
  if (start < 0 || start > found.length)
    throw invalidValue("pageToken", token, "The token is not of this list.");
  const size = Math.min(Number(call.query.get("maxResults") ?? DEFAULT_MAX_RESULTS), DEFAULT_MAX_RESULTS);
  const page = found.slice(start, start + size);
  return {
    kind,
    id: path,
    ...(page.length === 0 ? {} : { items: page }),
    ...(start + size < found.length ? { nextPageToken: String(start + size) } : {}),
    selfLink: linkTo(path),
  };
}

function compileFilter(filter: string): (item: Readonly<Record<string, unknown>>) => boolean {
  if (filter.trim() === "") return () => true;
  const match = /^\s*\(?\s*([\w.-]+)\s*(?:=|eq)\s*"?([^"()]*?)"?\s*\)?\s*$/.exec(filter);
  if (match === null) throw invalidValue("filter", filter, "Invalid list filter expression.");
  const [, field = "", expected] = match;
  return (item) =>
    field
      .split(".")
      .reduce<unknown>((at, key) => (at as Readonly<Record<string, unknown>> | undefined)?.[key], item) ===
    expected;
}
