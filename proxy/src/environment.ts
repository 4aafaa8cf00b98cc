/**
 * The environment of the Polaris Secure Proxy: the one contract between those who start a proxy and the proxy. Pure:
 * reads nothing, starts nothing. `stacks` writes an environment with {@link formatProxyEnvironment}, the proxy reads it
 * with {@link parseProxyEnvironment}, and docs/proxy.md is a print of {@link PROXY_VARIABLES}.
 */
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { nearestName } from "@polaris-cvm/sdk/nearest-name";
import * as z from "zod";
import { checkSettings } from "./check-settings.ts";
import { commonSettings, commonValues, googleSettings, googleValues } from "./environment-settings.ts";
import { describeText } from "./environment-values.ts";
import {
  PROXY_VARIABLES,
  ephemeralEnvironmentSchema,
  googleEnvironmentSchema,
} from "./environment-variables.ts";
import { readOriginalNames } from "./original-environment.ts";
import type { ProxySettings } from "./proxy-settings.ts";

export { ENCRYPTION_MODES, LOG_LEVELS, PROXY_VARIABLES } from "./environment-variables.ts";
export type { EncryptionMode, LogLevel, ProxyVariable } from "./environment-variables.ts";
export type {
  GoogleFederatedKeySettings,
  KeySettings,
  ProxyLimits,
  ProxySettings,
  TlsSettings,
} from "./proxy-settings.ts";

/**
 * Flags of Node to start a proxy with. What a proxy allocates is dead within a request. A young generation that has its
 * whole size from the start is cleared rarely and never grows; nothing bigger, so that gigabytes through the proxy leave it
 * below 200 MiB. The heap is looked through before much that came out of the young generation dead has gathered: it takes
 * after 20 000 requests what it takes for ever.
 */
export const PROXY_NODE_FLAGS: readonly string[] = [
  "--min-semi-space-size=16",
  "--max-semi-space-size=16",
  "--initial-heap-size=96",
];

/** Prefixes in which an unknown name is an error; the command line's own `POLARIS_*` are none of ours. */
const STRICT_PREFIXES = ["POLARIS_PROXY_", "POLARIS_CONTAINER_"];

/**
 * Reads the settings out of an environment. An empty value counts as not set.
 *
 * @returns the settings, and one warning for each name of the original proxy in use
 * @throws {PolarisError} PROXY_ENVIRONMENT_INVALID naming every problem at once, in one line; `details.problems` lists them
 */
export function parseProxyEnvironment(environment: Readonly<Record<string, string | undefined>>): {
  settings: ProxySettings;
  warnings: readonly string[];
} {
  const { texts, warnings, problems, knownNames } = readOriginalNames(environment, PROXY_VARIABLES);
  for (const name of Object.keys(environment)) {
    if (knownNames.has(name) || !STRICT_PREFIXES.some((prefix) => name.startsWith(prefix))) continue;
    const nearest = nearestName(name, [...knownNames]);
    problems.push(`${name} is not known${nearest === undefined ? "" : `, did you mean ${nearest}`}`);
  }

  const settings = decodeSettings(texts, problems);
  if (settings !== undefined) problems.push(...checkSettings(settings, texts));
  if (settings === undefined || problems.length > 0) {
    throw new PolarisError("PROXY_ENVIRONMENT_INVALID", `invalid environment: ${problems.join("; ")}`, {
      details: { problems },
    });
  }
  return { settings, warnings };
}

/**
 * Writes settings as an environment that {@link parseProxyEnvironment} reads back to the same settings. Every setting is
 * written, defaults too: what a proxy does must not change with the version that reads it.
 *
 * @throws {PolarisError} PROXY_ENVIRONMENT_INVALID for settings that the proxy would refuse
 */
export function formatProxyEnvironment(settings: ProxySettings): Record<string, string> {
  const written =
    settings.key.kind === "google-federated"
      ? z.encode(googleEnvironmentSchema, { ...commonValues(settings), ...googleValues(settings.key) })
      : z.encode(ephemeralEnvironmentSchema, commonValues(settings));
  const texts: Record<string, string> = {};
  for (const [name, text] of Object.entries(written)) if (text !== undefined) texts[name] = text;
  parseProxyEnvironment(texts);
  return texts;
}

/** The settings, or `undefined` after writing down what is wrong. */
function decodeSettings(
  texts: Readonly<Record<string, string>>,
  problems: string[],
): ProxySettings | undefined {
  const keyKind = texts["POLARIS_PROXY_KEY"] ?? "ephemeral";
  if (keyKind === "google-federated") {
    const parsed = googleEnvironmentSchema.safeParse(texts);
    if (parsed.success) return { ...commonSettings(parsed.data), key: googleSettings(parsed.data) };
    problems.push(...parsed.error.issues.map((issue) => describeIssue(issue, texts, keyKind)));
  } else {
    const parsed = ephemeralEnvironmentSchema.safeParse(texts);
    if (parsed.success) return { ...commonSettings(parsed.data), key: { kind: "ephemeral" } };
    problems.push(...parsed.error.issues.map((issue) => describeIssue(issue, texts, keyKind)));
  }
  return undefined;
}

function describeIssue(
  issue: z.core.$ZodIssue,
  texts: Readonly<Record<string, string>>,
  keyKind: string,
): string {
  if (issue.code === "unrecognized_keys") {
    return `${issue.keys.join(", ")} contradicts POLARIS_PROXY_KEY, which is ${describeText(keyKind)}`;
  }
  const name = String(issue.path[0]);
  if (texts[name] === "azure-skr") return `${name} azure-skr is not available in this version`;
  return name in texts ? `${name} ${issue.message}` : `${name} is required`;
}
