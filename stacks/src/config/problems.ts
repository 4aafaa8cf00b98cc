import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { ErrorCode } from "@polaris-cvm/sdk/errors";

import type { ConfigPath, Position, YamlSource } from "./parse-yaml.ts";

/** Something wrong in the configuration, before anybody knows where it stands in the file. */
export interface ConfigProblem {
  readonly code: Extract<ErrorCode, "CONFIG_INVALID" | "TARGET_NOT_AVAILABLE">;
  readonly path: ConfigPath;
  /** Whether to point at the key or at its value. */
  readonly part: "key" | "value";
  readonly message: string;
}

const HINTS: Readonly<Record<ConfigProblem["code"], string>> = {
  CONFIG_INVALID: '"polaris config schema" prints every key with its meaning',
  TARGET_NOT_AVAILABLE: "use target: local",
};

/** Problems beyond this many are counted, not printed: nobody reads them before the first ones are mended. */
const MAX_PRINTED_PROBLEMS = 20;

/**
 * One error for all problems, in the order of the file. Its code is that of the problems if they all have the same one.
 *
 * @param stack  whose overrides were merged: where they name a path, the problem stands there
 */
export function problemsError(
  problems: readonly ConfigProblem[],
  options: { readonly source: YamlSource; readonly fileName: string; readonly stack: string },
): PolarisError {
  const located = problems
    .map((problem) => ({ ...problem, ...locate(problem, options.source, options.stack) }))
    .toSorted((a, b) => a.line - b.line || a.column - b.column);
  const lines = located.map(
    ({ line, column, message }) => `${options.fileName}:${line}:${column}: ${message}`,
  );
  const codes = new Set(problems.map((problem) => problem.code));
  const code = codes.size === 1 ? (problems[0]?.code ?? "CONFIG_INVALID") : "CONFIG_INVALID";
  return new PolarisError(code, joinLines(lines, options.fileName), {
    hint: HINTS[code],
    details: {
      problems: located.map(({ line, column, path, message }) => ({
        line,
        column,
        path: formatPath(path),
        message,
      })),
    },
  });
}

function locate(problem: ConfigProblem, source: YamlSource, stack: string): Position {
  const inOverride = source.locate(["stacks", stack, ...problem.path], problem.part);
  const { line, column } = inOverride.complete ? inOverride : source.locate(problem.path, problem.part);
  return { line, column };
}

function joinLines(lines: readonly string[], fileName: string): string {
  const [only] = lines;
  if (lines.length === 1 && only !== undefined) return only;
  const printed = lines.slice(0, MAX_PRINTED_PROBLEMS);
  const more = lines.length - printed.length;
  return [
    `${lines.length} problems in ${fileName}`,
    ...printed.map((line) => `  ${line}`),
    ...(more > 0 ? [`  and ${more} more`] : []),
  ].join("\n");
}

/** `targets.local.run[0]`: a path as people write it. */
export function formatPath(path: ConfigPath): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === "number") return `${text}[${step}]`;
    return text === "" ? step : `${text}.${step}`;
  }, "");
}
