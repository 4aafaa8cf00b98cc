import * as z from "zod";

import { findCidrProblem } from "./cidr.ts";

const NAME_RULE = "expected 1 to 30 characters of a-z, 0-9 and -, starting with a letter";

/** Name of a project or a stack: short enough to stand, with a suffix, in the names of cloud resources. */
export const nameFormat = z.string().regex(/^[a-z][a-z0-9-]{0,29}$/, { error: NAME_RULE });

/** Name of an environment variable (POSIX XBD 8.1, with small letters). */
export const environmentNameFormat = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, { error: "expected letters, digits and _, not starting with a digit" })
  .max(256, { error: "expected at most 256 characters" });

/**
 * Name of a variable that the workload may be given. PORT and HOST tell the workload where to listen, and
 * POLARIS_* belongs to Polaris: the target sets them, a second value would be lost or would win silently.
 */
export const workloadVariableFormat = environmentNameFormat.regex(/^(?!(?:PORT|HOST)$)(?!POLARIS_)/, {
  error: "this name is reserved: the target sets PORT, HOST and POLARIS_* itself",
});

/** An argument or a variable's value: the operating system ends both at the first NUL character. */
export const argumentFormat = z
  .string()
  // oxlint-disable-next-line no-control-regex -- NUL is the very character that is refused
  .regex(/^[^\u0000]*$/, { error: "expected text without a NUL character" })
  .max(32_768, { error: "expected at most 32768 characters" });

const PORT_RULE = "expected a port from 1 to 65535";

export const portFormat = z.int().min(1, { error: PORT_RULE }).max(65_535, { error: PORT_RULE });

export const urlPathFormat = z
  .string()
  .regex(/^\/(?!\/)[!-"$-~]*$/, {
    error: "expected a path such as /healthz: one slash first, no spaces, no #",
  })
  .max(1024, { error: "expected at most 1024 characters" });

export const cidrFormat = z.string().superRefine((text, context) => {
  const problem = findCidrProblem(text);
  if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
});

const DURATION_RULE = "expected a duration from 1s to 30m, such as 60s or 2m";
const MAX_DURATION_MS = 30 * 60_000;

export const durationFormat = z
  .string({ error: DURATION_RULE })
  .regex(/^[1-9][0-9]{0,3}[sm]$/, { error: DURATION_RULE })
  .refine((text) => parseDurationMs(text) <= MAX_DURATION_MS, { error: DURATION_RULE });

/** Milliseconds of a duration that {@link durationFormat} accepts. */
export function parseDurationMs(text: string): number {
  return Number(text.slice(0, -1)) * (text.endsWith("m") ? 60_000 : 1000);
}

/** The inverse of {@link parseDurationMs}, in seconds unless it is a round number of minutes above one. */
export function formatDuration(durationMs: number): string {
  const seconds = durationMs / 1000;
  return seconds > 60 && seconds % 60 === 0 ? `${seconds / 60}m` : `${seconds}s`;
}

/** Path of a file; whether it can be read is for the target to check. */
export const filePathFormat = z
  .string()
  // oxlint-disable-next-line no-control-regex -- NUL is the very character that is refused
  .regex(/^[^\u0000]+$/, { error: "expected the path of a file, relative to the project folder" })
  .max(1024, { error: "expected at most 1024 characters" });

const ORIGIN_RULE = "expected an origin such as https://app.example, without a path, or *";

/** An origin as browsers send it (RFC 6454 section 6.2), or `*` for all of them. */
export const webOriginFormat = z
  .string()
  .regex(/^(?:\*|https?:\/\/(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::[1-9][0-9]{0,4})?)$/, {
    error: ORIGIN_RULE,
    abort: true,
  })
  .refine((text) => text === "*" || (URL.canParse(text) && new URL(text).origin === text), {
    error: ORIGIN_RULE,
  });

/**
 * Pattern of project files, relative to the project folder. Three wildcards and nothing else, so that two
 * readers of a pattern cannot disagree about which files make the workload's identity.
 */
export const filePatternFormat = z
  .string()
  .regex(/^[^/\\[\]{}!][^\\[\]{}!]*$/, {
    error: "expected a pattern relative to the project folder; its wildcards are *, ** and ?",
  })
  .refine((pattern) => !pattern.split("/").some((part) => part === "." || part === ".."), {
    error: "expected a pattern without . and .. folders",
  });
