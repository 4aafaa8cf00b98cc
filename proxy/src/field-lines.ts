import { HOP_BY_HOP_HEADERS } from "@polaris-cvm/sdk/headers";
import { PolarisError } from "@polaris-cvm/sdk/errors";

/**
 * HTTP field lines in the order in which they came: name, value, name, value, … Values are latin1 text, one character a
 * byte, as Node and undici read and write them.
 */
export type FieldLines = readonly string[];

/** Prefix of the proxy's own fields: they are nobody else's to send or to see. */
const OWN_PREFIX = "polaris-";

/** Takes out of a message what does not go on. */
export type FieldFilter = (lines: FieldLines) => string[];

/**
 * Makes the filter for the next hop: without the fields that end at this one (RFC 9110 §7.6.1: the fixed ones and whatever
 * `Connection` names), without the proxy's own, and without `dropped`.
 *
 * @param dropped  lower-case names
 */
export function createFieldFilter(dropped: Iterable<string> = []): FieldFilter {
  const ending = new Set([...HOP_BY_HOP_HEADERS, ...dropped]);
  /** Nearly every name can be told by its length or its first letter, for less than a look into the set takes. */
  const endingLengths = new Set([...ending].map(({ length }) => length));

  function mayEnd(name: string): boolean {
    return endingLengths.has(name.length) || (name.charCodeAt(0) | LETTER_CASE) === OWN_PREFIX.charCodeAt(0);
  }

  return (lines) => {
    const kept: string[] = [];
    let options: Set<string> | undefined;
    for (let index = 0; index < lines.length; index += 2) {
      const name = lines[index] ?? "";
      const value = lines[index + 1] ?? "";
      const lowerName = mayEnd(name) ? name.toLowerCase() : undefined;
      if (lowerName === "connection") options = addConnectionOptions(options, value);
      else if (lowerName === undefined || !(ending.has(lowerName) || lowerName.startsWith(OWN_PREFIX))) {
        kept.push(name, value);
      }
    }
    return options === undefined ? kept : withoutFields(kept, options);
  };
}

/** The bit that upper and lower case of ASCII differ in. */
const LETTER_CASE = 0x20;

/** Names in `Connection`, if there are others than the two everyday ones. */
function addConnectionOptions(known: Set<string> | undefined, value: string): Set<string> | undefined {
  let options = known;
  for (const option of value.split(",")) {
    const name = option.trim().toLowerCase();
    if (name === "" || name === "close" || name === "keep-alive") continue;
    options ??= new Set();
    options.add(name);
  }
  return options;
}

/** Values of a field, in order. @param lowerName  lower-case name */
export function listFieldValues(lines: FieldLines, lowerName: string): string[] {
  const values: string[] = [];
  for (let index = 0; index < lines.length; index += 2) {
    const name = lines[index] ?? "";
    if (name.length === lowerName.length && name.toLowerCase() === lowerName) {
      values.push(lines[index + 1] ?? "");
    }
  }
  return values;
}

/** The lines without the named fields. @param dropped  lower-case names */
export function withoutFields(lines: FieldLines, dropped: ReadonlySet<string>): string[] {
  const kept: string[] = [];
  for (let index = 0; index < lines.length; index += 2) {
    const name = lines[index] ?? "";
    if (!dropped.has(name.toLowerCase())) kept.push(name, lines[index + 1] ?? "");
  }
  return kept;
}

/** RFC 9110 §5.1. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** RFC 9110 §5.5 with obs-text; no CR, LF or NUL, which would end the line and begin another. */
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/**
 * Reads the JSON object of a sealed header part: a value is a text, a number, a truth value, or a list of texts for a
 * field with several lines.
 *
 * @throws {PolarisError} REQUEST_INVALID
 */
export function parseSealedFields(json: string): string[] {
  const lines: string[] = [];
  for (const [name, value] of Object.entries(parseObject(json))) {
    if (!TOKEN.test(name)) throw invalidFields("hold a name that no field can have");
    for (const single of Array.isArray(value) ? value : [value]) {
      const text = typeof single === "number" || typeof single === "boolean" ? String(single) : single;
      if (typeof text !== "string" || !FIELD_VALUE.test(text)) {
        throw invalidFields("hold a value that no field can have");
      }
      lines.push(name, text.trim());
    }
  }
  return lines;
}

function parseObject(json: string): object {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch {
    throw invalidFields("are not JSON");
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw invalidFields("are not a JSON object");
  }
  return parsed;
}

function invalidFields(problem: string): PolarisError {
  return new PolarisError("REQUEST_INVALID", `the sealed headers ${problem}`);
}
