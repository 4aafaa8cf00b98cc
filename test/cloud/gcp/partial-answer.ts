import { badRequest } from "./google-error.ts";

type Mask = Map<string, Mask>;

/**
 * What the `fields` parameter leaves of an answer: `services/name,nextPageToken` or `items(id,name)`.
 *
 * @throws {GoogleError} INVALID_ARGUMENT for a mask that cannot be read
 */
export function takeFields(answer: unknown, fields: string): unknown {
  const tokens = fields.match(/[\w*]+|[(),/]/g) ?? [];
  const isReadable = tokens.join("") === fields;
  const mask = isReadable ? readList(tokens) : undefined;
  if (mask === undefined || tokens.length > 0) {
    throw badRequest(`Invalid field mask: ${fields.slice(0, 100)}`, "fields");
  }
  return apply(answer, mask);
}

/** `a,b/c,d(e,f)`: takes its tokens from the front; undefined if they are not a list. */
function readList(tokens: string[]): Mask | undefined {
  const mask: Mask = new Map();
  do {
    let inner = mask;
    do {
      const name = tokens.shift();
      if (name === undefined || /[(),/]/.test(name)) return undefined;
      const next: Mask = inner.get(name) ?? new Map();
      inner.set(name, next);
      inner = next;
    } while (takeToken(tokens, "/"));
    if (takeToken(tokens, "(")) {
      const list = readList(tokens);
      if (list === undefined || !takeToken(tokens, ")")) return undefined;
      for (const [name, next] of list) inner.set(name, next);
    }
  } while (takeToken(tokens, ","));
  return mask;
}

function takeToken(tokens: string[], token: string): boolean {
  if (tokens[0] !== token) return false;
  tokens.shift();
  return true;
}

function apply(value: unknown, mask: Mask): unknown {
  if (mask.size === 0) return value;
  if (Array.isArray(value)) return value.map((item) => apply(item, mask));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, item]) => {
      const inner = mask.get(key) ?? mask.get("*");
      return inner === undefined ? [] : [[key, apply(item, inner)]];
    }),
  );
}
