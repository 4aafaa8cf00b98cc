/** Unit files of systemd as data (systemd.syntax). */

/** Lines of one section: a name may stand there several times. */
export type UnitLines = readonly (readonly [name: string, value: string])[];

export interface UnitFile {
  /** With its suffix: `polaris-proxy.service`. */
  readonly name: string;
  /** Sections in their order: `Unit`, `Service`, … */
  readonly sections: Readonly<Record<string, UnitLines>>;
}

/** The text of a unit file: printable ASCII and line feeds alone. Values have to be lines already. */
export function formatUnitFile({ sections }: UnitFile): string {
  return Object.entries(sections)
    .map(([section, lines]) =>
      [`[${section}]`, ...lines.map(([name, value]) => `${name}=${value}`), ""].join("\n"),
    )
    .join("\n");
}

/** How systemd treats a command beside starting it (systemd.service, table 1). */
interface CommandOptions {
  /** Whether a failure counts. */
  readonly mayFail?: boolean;
}

/**
 * A command line of a unit, which starts exactly this program with exactly these arguments. The colon turns off that
 * variables are put in place of `$NAME`.
 *
 * @param argv  absolute path of the program, then its arguments: any text without NUL and lone surrogates
 */
export function formatCommand(argv: readonly string[], { mayFail = false }: CommandOptions = {}): string {
  const [program = "", ...args] = argv;
  return [`${mayFail ? "-" : ""}:${program}`, ...args.map(quoteArgument)].join(" ");
}

const PLAIN = /^[A-Za-z0-9_./:@=,+-]+$/;

/**
 * One word of a command line or an assignment. Within quotes systemd decodes the escapes of C, and puts specifiers in place of
 * `%x`, also where the percent sign was an escape: so that one is doubled. What is no printable ASCII is written byte by byte.
 */
export function quoteArgument(text: string): string {
  if (PLAIN.test(text)) return text;
  let quoted = "";
  for (const byte of Buffer.from(text)) {
    const character = String.fromCharCode(byte);
    if (character === "%") quoted += "%%";
    else if (character === '"' || character === "\\") quoted += `\\${character}`;
    else if (byte >= 0x20 && byte < 0x7f) quoted += character;
    else quoted += `\\x${byte.toString(16).padStart(2, "0")}`;
  }
  return `"${quoted}"`;
}
