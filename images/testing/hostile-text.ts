import * as fc from "fast-check";

/** Pieces that mean something to a shell, systemd, YAML, JSON, Docker or a terminal. */
const PIECES = [
  '"',
  "'",
  "`",
  "$(touch /tmp/x)",
  "${HOME}",
  "$HOME",
  "$$",
  "%",
  "%%",
  "%n",
  "%h",
  "\\",
  "\\n",
  "\\x41",
  "\n",
  "\r",
  "\r\n",
  "\t",
  " ",
  "  ",
  ";",
  " ; ",
  "&&",
  "|",
  "#",
  "\n# x",
  "-",
  "--",
  "--privileged",
  "=",
  ",",
  ": ",
  "- ",
  "{{ v1 }}",
  "[Service]\nExecStart=/bin/x\n",
  "\u0001",
  "\u001b[31m",
  "\u007f",
  "\u0085",
  "\u2028",
  "\ufeff",
  "\uffff",
  "é",
  "日本",
  "💥",
  "\u202e",
  "yes",
  "0600",
  "1:30",
  "~",
  "null",
  "a",
] as const;

/** Texts that an argument or a variable can have: no NUL, no half of a surrogate pair. */
export const hostileText: fc.Arbitrary<string> = fc
  .array(fc.oneof(fc.constantFrom(...PIECES), fc.string({ unit: "binary", maxLength: 3 })), { maxLength: 6 })
  .map((pieces) => pieces.join("").replaceAll("\0", ""));

/** Names that a variable can have. */
export const variableName: fc.Arbitrary<string> = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,8}$/);

export const hostileEnvironment: fc.Arbitrary<Record<string, string>> = fc.dictionary(
  variableName,
  hostileText,
  {
    maxKeys: 5,
    noNullPrototype: true,
  },
);

/** One text of every piece, and each piece alone. */
export const HOSTILE_SAMPLES: readonly string[] = [
  "",
  PIECES.join(""),
  PIECES.toReversed().join(""),
  ...PIECES,
];
