import { dirname, resolve } from "node:path";

import { PolarisError } from "@polaris-cvm/sdk/errors";
import { nearestName } from "@polaris-cvm/sdk/nearest-name";

import { checkConfig } from "./check-config.ts";
import { describeIssue } from "./describe-issue.ts";
import { nameFormat } from "./field-formats.ts";
import { freezeTree } from "./immutable.ts";
import { isMap, mergeOverrides } from "./overrides.ts";
import { parseYaml } from "./parse-yaml.ts";
import { problemsError } from "./problems.ts";
import { readConfigFile } from "./read-config-file.ts";
import { configSchema } from "./schema.ts";
import type { Config } from "./schema.ts";

const DEFAULT_FILE = "polaris.yaml";

/** The stack of a command line without --stack. It needs no entry under `stacks`. */
const DEFAULT_STACK = "default";

export interface ConfigChoice {
  /** Folder that relative names are relative to. */
  readonly cwd: string;
  /** Default: polaris.yaml in `cwd`. */
  readonly file?: string;
  /** Default: default. */
  readonly stack?: string;
}

export interface LoadedConfig {
  /** Valid, with the stack's overrides merged and every default filled in; frozen. */
  readonly config: Config;
  readonly stack: string;
  /** Names under `stacks`, in the file's order. */
  readonly stackNames: readonly string[];
  readonly path: string;
  /** Folder of the file: the project. */
  readonly projectDir: string;
}

/**
 * Reads and checks polaris.yaml for one stack.
 *
 * @throws {PolarisError} CONFIG_FILE_NOT_FOUND, CONFIG_UNREADABLE, CONFIG_SYNTAX; CONFIG_INVALID (or
 *   TARGET_NOT_AVAILABLE if that is all) with every problem and its line and column;
 *   STACK_NOT_FOUND; USAGE_INVALID for a stack that nothing could be called
 */
export async function loadConfig({ cwd, file = DEFAULT_FILE, stack }: ConfigChoice): Promise<LoadedConfig> {
  const path = resolve(cwd, file);
  const text = await readConfigFile(path, file);
  const parsed = parseConfig(text, { fileName: file, ...(stack === undefined ? {} : { stack }) });
  return { ...parsed, path, projectDir: dirname(path) };
}

/** The same for a text. `fileName` is how messages call it. */
export function parseConfig(
  text: string,
  { fileName, stack = DEFAULT_STACK }: { readonly fileName: string; readonly stack?: string },
): Pick<LoadedConfig, "config" | "stack" | "stackNames"> {
  const source = parseYaml(text, fileName);
  const stackNames = listStacks(source.value);
  const merged = mergeStack(source.value, stack);

  const wholeFile = configSchema.safeParse(source.value);
  const problems = [
    ...(wholeFile.error?.issues ?? []).flatMap((issue) => describeIssue(issue, source.value)),
    ...checkConfig(merged),
  ];
  if (wholeFile.success) requireStack(stack, stackNames, fileName);
  if (problems.length > 0) throw problemsError(problems, { source, fileName, stack });

  const result = configSchema.safeParse(merged);
  if (!result.success) {
    const mergedProblems = result.error.issues.flatMap((issue) => describeIssue(issue, merged));
    throw problemsError(mergedProblems, { source, fileName, stack });
  }
  return { config: freezeTree(result.data), stack, stackNames };
}

function listStacks(value: unknown): string[] {
  return isMap(value) && isMap(value["stacks"]) ? Object.keys(value["stacks"]) : [];
}

function mergeStack(value: unknown, stack: string): unknown {
  if (!isMap(value) || !isMap(value["stacks"]) || !Object.hasOwn(value["stacks"], stack)) return value;
  return mergeOverrides(value, value["stacks"][stack]);
}

function requireStack(stack: string, stackNames: readonly string[], fileName: string): void {
  if (!nameFormat.safeParse(stack).success) {
    throw new PolarisError("USAGE_INVALID", `"${stack}" is no name of a stack`, {
      hint: "1 to 30 characters of a-z, 0-9 and -, starting with a letter",
    });
  }
  if (stackNames.length === 0 || stack === DEFAULT_STACK || stackNames.includes(stack)) return;
  const near = nearestName(stack, stackNames);
  const suggestion = near === undefined ? `it has ${stackNames.join(", ")}` : `did you mean "${near}"?`;
  throw new PolarisError("STACK_NOT_FOUND", `${fileName} has no stack "${stack}"; ${suggestion}`, {
    hint: "choose a stack with --stack, or add it under stacks",
    details: { stack, known: stackNames },
  });
}
