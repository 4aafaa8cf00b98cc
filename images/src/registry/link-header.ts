/** What an answer points to (RFC 8288 §3). */
export interface Link {
  /** As it came: relative to who answered. */
  readonly target: string;
  /** What the target is to the answer, in lower case: `next`, `prev` … */
  readonly relations: readonly string[];
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const TARGET = /[ \t,]*<([^<>]*)>/y;
const PARAMETER = new RegExp(
  String.raw`[ \t]*;[ \t]*(?:(${TOKEN})(?:[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|(${TOKEN})))?)?`,
  "y",
);
/** Behind a link: the next one, or nothing more. */
const END = /[ \t]*(?:,[ \t,]*|$)/y;

/**
 * Reads the Link header, with the parameters of each link in any order.
 *
 * @param header  its value, or its values if it was there several times
 * @returns undefined if any of it is not as RFC 8288 has it
 */
export function parseLinks(header: string | readonly string[] | undefined): readonly Link[] | undefined {
  const text = typeof header === "string" ? header : (header ?? []).join(", ");
  const links: Link[] = [];
  let position = 0;
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = position;
    const match = pattern.exec(text) ?? undefined;
    if (match !== undefined) position = pattern.lastIndex;
    return match;
  };
  while (position < text.length) {
    const target = take(TARGET)?.[1];
    if (target === undefined) return undefined;
    let relations: readonly string[] | undefined;
    for (let match = take(PARAMETER); match !== undefined; match = take(PARAMETER)) {
      const [, name, quoted, plain] = match;
      // The first one counts (RFC 8288 §3.3).
      if (name?.toLowerCase() === "rel")
        relations ??= splitRelations(quoted?.replaceAll(/\\(.)/g, "$1") ?? plain);
    }
    if (take(END) === undefined) return undefined;
    links.push({ target, relations: relations ?? [] });
  }
  return links;
}

function splitRelations(text = ""): readonly string[] {
  return text
    .toLowerCase()
    .split(/[ \t]+/)
    .filter((relation) => relation !== "");
}
