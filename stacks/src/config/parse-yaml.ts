import { isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument, visit } from "yaml";
import type { Alias, Document, ErrorCode, Node, Pair, YAMLMap } from "yaml";

import { PolarisError } from "@polaris-cvm/sdk/errors";

/** A place in the file, both numbers from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Keys and list indexes from the top of the file. */
export type ConfigPath = readonly (string | number)[];

/** Parsed YAML that still knows where everything stands. */
export interface YamlSource {
  readonly value: unknown;
  /**
   * Where a path stands: its key or its value. For a path that is not in the file, `complete` is false and the
   * position is that of the nearest thing around it.
   */
  locate(path: ConfigPath, part: "key" | "value"): Position & { readonly complete: boolean };
}

/** A configuration has a handful. A few lines of nested aliases can stand for billions of values. */
const MAX_ALIASES = 100;

type Fail = (offset: number, message: string) => never;

/** The parser's own texts quote the document; these do not, and say what to do. */
const SYNTAX_TEXTS: Readonly<Record<ErrorCode, string>> = {
  ALIAS_PROPS: "an alias (*name) can have no anchor or tag of its own",
  BAD_ALIAS: "there is no anchor (&name) for this alias before it; quote text that begins with *",
  BAD_DIRECTIVE: "directives (%) are not supported",
  BAD_DQ_ESCAPE: "unknown escape in a double-quoted text; write \\\\ for a backslash, or use single quotes",
  BAD_INDENT: "wrong indentation: keys of one map begin in the same column",
  BAD_PROP_ORDER: "anchors and tags stand before the value, not before the dash",
  BAD_SCALAR_START: "text cannot begin with this character; put it in quotes",
  BLOCK_AS_IMPLICIT_KEY:
    'a key inside a value; check the indentation, and put text that contains ": " in quotes',
  BLOCK_IN_FLOW: "lists with dashes and indented maps cannot stand inside [ ] or { }",
  DUPLICATE_KEY: "this key stands twice in the same map",
  IMPOSSIBLE: "not YAML",
  KEY_OVER_1024_CHARS: "a key longer than 1024 characters",
  MISSING_CHAR: "a quote, bracket, colon, comma or space is missing here",
  MULTILINE_IMPLICIT_KEY: "a key has to stand on one line; is a colon missing?",
  MULTIPLE_ANCHORS: "a value can have one anchor only",
  MULTIPLE_DOCS: "a second document (---) begins here; the file must hold exactly one",
  MULTIPLE_TAGS: "a value can have one tag only",
  NON_STRING_KEY: "a key must be plain text",
  RESOURCE_EXHAUSTION: "nested too deeply",
  TAB_AS_INDENT: "a tab in the indentation; use spaces",
  TAG_RESOLVE_FAILED: "a tag (!) that does not fit; write the value without it",
  UNEXPECTED_TOKEN: "this does not belong here; is a quote or a colon missing before it?",
  BAD_COLLECTION_TYPE: "a tag (!) that does not fit; write the value without it",
};

/**
 * Parses one YAML 1.2 document, strictly: one document, unique keys that are plain text, no tags of others.
 *
 * @param fileName  how messages call the file
 * @throws {PolarisError} CONFIG_SYNTAX with line and column
 */
export function parseYaml(text: string, fileName: string): YamlSource {
  const lines = new LineCounter();
  const fail: Fail = (offset, message) => {
    const { line, column } = positionOf(lines, offset);
    throw new PolarisError("CONFIG_SYNTAX", `${fileName}:${line}:${column}: ${message}`, {
      details: { problems: [{ line, column, path: "", message }] },
    });
  };

  const document = composeDocument(text, lines) ?? fail(0, SYNTAX_TEXTS.RESOURCE_EXHAUSTION);
  // A tag that the parser does not know is only a warning to it, and the value would mean something else than written.
  const [problem] = [...document.errors, ...document.warnings].toSorted((a, b) => a.pos[0] - b.pos[0]);
  if (problem !== undefined) fail(problem.pos[0], SYNTAX_TEXTS[problem.code]);
  if (document.directives?.yaml.version !== "1.2")
    fail(0, "%YAML must be 1.2: older versions read off and no as false");
  if (document.contents === null) fail(0, "the file is empty");
  checkKeys(document, fail);
  checkAliases(document, fail);

  const findPair = indexKeys();
  return {
    value: document.toJS({ maxAliasCount: MAX_ALIASES }) as unknown,
    locate: (path, part) => {
      const { node, complete } = findNode(document, { path, part, findPair });
      return { ...positionOf(lines, node?.range?.[0] ?? 0), complete };
    },
  };
}

/** Undefined if nested so deeply that the parser's own recursion ends. */
function composeDocument(text: string, lineCounter: LineCounter): Document.Parsed | undefined {
  try {
    return parseDocument(text, {
      lineCounter,
      prettyErrors: false,
      schema: "core",
      stringKeys: true,
      uniqueKeys: false,
    });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function positionOf(lines: LineCounter, offset: number): Position {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(1, line), column: Math.max(1, col) };
}

/**
 * Refuses a key that stands twice (the parser's own check takes seconds for a file of thousands of keys), and `__proto__`:
 * it is no ordinary key in JavaScript, and libraries drop it without a word.
 */
function checkKeys(document: Document.Parsed, fail: Fail): void {
  visit(document, {
    Map: (_, map) => {
      const seen = new Set<unknown>();
      for (const { key } of map.items) {
        if (!isScalar(key)) continue;
        const offset = key.range?.[0] ?? 0;
        if (key.value === "__proto__") fail(offset, 'the key "__proto__" is not allowed');
        if (seen.has(key.value)) fail(offset, `the key "${String(key.value)}" stands twice in the same map`);
        seen.add(key.value);
      }
    },
  });
}

/** Refuses aliases that multiply, and those that are a part of what they stand for: their value would have no end. */
function checkAliases(document: Document.Parsed, fail: Fail): void {
  const aliases: { readonly alias: Alias; readonly ancestors: readonly unknown[] }[] = [];
  visit(document, { Alias: (_, alias, ancestors) => void aliases.push({ alias, ancestors }) });
  const offsetOf = (alias: Alias | undefined): number => alias?.range?.[0] ?? 0;
  if (aliases.length > MAX_ALIASES) {
    fail(offsetOf(aliases[MAX_ALIASES]?.alias), `more than ${MAX_ALIASES} aliases; write the values out`);
  }
  for (const { alias, ancestors } of aliases) {
    const meant = alias.resolve(document);
    if (meant === undefined) fail(offsetOf(alias), SYNTAX_TEXTS.BAD_ALIAS);
    if (ancestors.includes(meant))
      fail(offsetOf(alias), "this alias stands for something that it is a part of");
  }
  try {
    document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (error) {
    if (!(error instanceof ReferenceError)) throw error;
    fail(offsetOf(aliases[0]?.alias), "aliases that stand for too much; write the values out");
  }
}

type FindPair = (map: YAMLMap, key: string) => Pair | undefined;

/** Finds entries of maps by key; a map is indexed at the first search, as a file may have thousands of problems. */
function indexKeys(): FindPair {
  const indexes = new WeakMap<YAMLMap, Map<string, Pair>>();
  return (map, key) => {
    let index = indexes.get(map);
    if (index === undefined) {
      index = new Map(
        map.items.flatMap((pair) => (isScalar(pair.key) ? [[String(pair.key.value), pair]] : [])),
      );
      indexes.set(map, index);
    }
    return index.get(key);
  };
}

/** The node of a path; if it is not in the file, the nearest key around it. */
function findNode(
  document: Document.Parsed,
  wanted: { readonly path: ConfigPath; readonly part: "key" | "value"; readonly findPair: FindPair },
): { readonly node: Node | undefined; readonly complete: boolean } {
  let key: Node | undefined;
  let value: Node | undefined = document.contents ?? undefined;
  for (const step of wanted.path) {
    const around: Node | undefined = isAlias(value) ? value.resolve(document) : value;
    const pair = isMap(around) ? wanted.findPair(around, String(step)) : undefined;
    const item = isSeq(around) && typeof step === "number" ? around.items[step] : undefined;
    if (isNode(pair?.key)) {
      key = pair.key;
      value = isNode(pair.value) ? pair.value : undefined;
    } else if (isNode(item)) {
      key = item;
      value = item;
    } else {
      return { node: key ?? document.contents ?? undefined, complete: false };
    }
  }
  const isEmpty = value === undefined || (isScalar(value) && value.value === null && value.source === "");
  return { node: wanted.part === "key" || isEmpty ? (key ?? value) : value, complete: true };
}
