/**
 * Docker's `--env-file`: a line is a variable, everything behind `=` its value, nothing is quoted. Which values that can carry
 * is what Docker's client does when it reads one (docker/cli, opts/file.go): it takes lines of less than 64 KiB, and takes a
 * carriage return at the end of one away.
 */
export interface SplitEnvironment {
  /** Text of the file; empty if there are no variables for it. */
  readonly file: string;
  /** What no line can carry, `NAME=value` each, to be given as arguments. */
  readonly others: readonly string[];
}

const MAX_LINE_BYTES = 60 * 1024;

/** Splits an environment into what a file can carry and what it cannot. */
export function splitEnvironment(environment: Readonly<Record<string, string>>): SplitEnvironment {
  const assignments = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  return {
    file: assignments
      .filter(isOneLine)
      .map((line) => `${line}\n`)
      .join(""),
    others: assignments.filter((assignment) => !isOneLine(assignment)),
  };
}

function isOneLine(line: string): boolean {
  return !line.includes("\n") && !line.endsWith("\r") && Buffer.byteLength(line) <= MAX_LINE_BYTES;
}
