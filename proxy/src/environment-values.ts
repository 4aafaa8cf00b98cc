import * as z from "zod";

/** How one kind of value is written in an environment variable, in both directions. */
interface TextForm<Value> {
  /** What a valid text is, as it reads after "must be"; also the type column of the documentation. */
  readonly expected: string;
  /** `undefined` for a text that is not valid. */
  readonly parse: (text: string) => Value | undefined;
  readonly format: (value: Value) => string;
}

/** The `expected` text of each variable, for the documentation. */
export const expectedTexts = z.registry<{ expected: string }>();

const MAX_SHOWN_CHARACTERS = 60;

/** A text that was refused, as messages show it: cut, and not at all where it may be a URL with a password. */
export function describeText(text: string): string {
  return text.includes("@")
    ? "a value with an @, not shown as it may hold a password"
    : JSON.stringify(text.slice(0, MAX_SHOWN_CHARACTERS));
}

function codecOf<Value>(form: TextForm<Value>) {
  const codec = z.codec(z.string(), z.custom<Value>(), {
    decode(text, context) {
      const value = form.parse(text);
      if (value !== undefined) return value;
      const message = `must be ${form.expected}, got ${describeText(text)}`;
      context.issues.push({ code: "custom", input: text, message });
      return z.NEVER;
    },
    encode: form.format,
  });
  return codec.register(expectedTexts, { expected: form.expected });
}

export function integer(min: number, max: number) {
  return codecOf<number>({
    expected: `an integer from ${min} to ${max}`,
    parse: (text) => parseInteger(text, min, max),
    format: String,
  });
}

function parseInteger(text: string, min: number, max: number): number | undefined {
  const value = /^(0|[1-9]\d*)$/.test(text) ? Number(text) : Number.NaN;
  return value >= min && value <= max ? value : undefined;
}

export function choice<const Option extends string>(options: readonly Option[]) {
  return codecOf<Option>({
    expected: `one of ${options.join(", ")}`,
    parse: (text) => options.find((option) => option === text),
    format: String,
  });
}

/** A text that matches the whole of a pattern. */
export function matching(pattern: RegExp, expected: string) {
  const whole = new RegExp(`^(?:${pattern.source})$`);
  return codecOf<string>({
    expected,
    parse: (text) => (whole.test(text) ? text : undefined),
    format: String,
  });
}

/** A lower-cased HTTP field name (RFC 9110 §5.1). */
export function fieldName() {
  return codecOf<string>({
    expected: "the name of an HTTP header field",
    parse: (text) => (/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/.test(text) ? text.toLowerCase() : undefined),
    format: String,
  });
}

/** `http://host[:port]`, nothing behind it. */
export function httpOrigin() {
  return codecOf<string>({
    expected: "an address of the form http://host:port",
    parse: (text) => parseOrigin(text, ["http:"]),
    format: String,
  });
}

/**
 * Origin of a service that gets tokens: https, or http to this very machine (the local trust services). Tokens never
 * travel over a network in clear, also not by a slip in a variable.
 */
export function serviceOrigin() {
  return codecOf<string>({
    expected: "an address of the form https://host (http only for 127.0.0.1, [::1] or localhost)",
    parse: (text) => {
      const origin = parseOrigin(text, ["https:", "http:"]);
      if (origin === undefined || origin.startsWith("https:")) return origin;
      return /^http:\/\/(127(\.\d+){3}|localhost|\[::1\])(:\d+)?$/.test(origin) ? origin : undefined;
    },
    format: String,
  });
}

function parseOrigin(text: string, protocols: readonly string[]): string | undefined {
  if (!/^https?:\/\/[^/?#@\\\s]+\/?$/.test(text) || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  return protocols.includes(url.protocol) ? url.origin : undefined;
}

/** The longest path of a Unix socket that every system takes (`sun_path` has 104 bytes on macOS, 108 on Linux). */
export const MAX_SOCKET_PATH_BYTES = 103;

export function socketPath() {
  return codecOf<string>({
    expected: `an absolute path of at most ${MAX_SOCKET_PATH_BYTES} bytes`,
    parse: (text) =>
      text.startsWith("/") && !text.includes("\0") && Buffer.byteLength(text) <= MAX_SOCKET_PATH_BYTES
        ? text
        : undefined,
    format: String,
  });
}

/** Which web pages may use the endpoint: nobody's, `*` alone for everybody's, or those of some origins. */
export function webOrigins() {
  return codecOf<readonly string[]>({
    expected: "*, or different origins of the form https://host, between commas",
    parse: (text) => (text.trim() === "*" ? ["*"] : parseList(text, parseWebOrigin)),
    format: (origins) => origins.join(","),
  });
}

/** An origin as browsers send it (RFC 6454 §6.2): scheme, host, port if it is not the scheme's own. */
function parseWebOrigin(text: string): string | undefined {
  return parseOrigin(text, ["https:", "http:"]) === text ? text : undefined;
}

/** Different integers, at most `maxCount` of them. */
export function integers(min: number, max: number, maxCount: number) {
  return codecOf<readonly number[]>({
    expected: `up to ${maxCount} different integers from ${min} to ${max}, between commas`,
    parse: (text) => {
      const values = parseList(text, (one) => parseInteger(one, min, max));
      return values !== undefined && values.length <= maxCount ? values : undefined;
    },
    format: (values) => values.join(","),
  });
}

/** What stands between commas, without the blanks around it; `undefined` if one is not valid or stands there twice. */
function parseList<Value extends string | number>(
  text: string,
  parseOne: (text: string) => Value | undefined,
): readonly Value[] | undefined {
  if (text.trim() === "") return [];
  const values = text.split(",").map((one) => parseOne(one.trim()));
  return values.every((value) => value !== undefined) && new Set(values).size === values.length
    ? values
    : undefined;
}
