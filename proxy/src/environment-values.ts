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
    parse: (text) => {
      const value = /^(0|[1-9]\d*)$/.test(text) ? Number(text) : Number.NaN;
      return value >= min && value <= max ? value : undefined;
    },
    format: String,
  });
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
