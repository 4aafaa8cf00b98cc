/** The provider's own arguments. The engine hands each over as text; lists and objects are JSON in it. */
import { fieldsOf, isEmpty, textOf } from "./fields.ts";
import type { Fields } from "./fields.ts";
import { ENDPOINT_PATTERN } from "./google-apis.ts";
import { hasUnknown } from "./property-values.ts";
import { loadProviderSchema, pulumiName, terraformName } from "./provider-schema.ts";

export interface ProviderConfig {
  readonly project: string;
  readonly region: string;
  readonly zone: string;
  readonly accessToken: string;
  /** By argument, `kmsCustomEndpoint` and so on. */
  readonly endpoints: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  /** Between two looks at an operation, in milliseconds. */
  readonly pollIntervalMs: number;
  /** How long a batch waits for others to join it, in milliseconds; 0 where batching is off. */
  readonly batchWaitMs: number;
  readonly defaultLabels: Readonly<Record<string, string>>;
  /** Whether each labelled resource gets `goog-pulumi-provisioned`. */
  readonly attributionLabel: boolean;
  readonly deletionPolicy: string;
}

/** Nothing here is worth the real provider's 10 s and 3 s. */
const LONGEST_POLL_MS = 200;
const LONGEST_BATCH_WAIT_MS = 50;

const DURATION_UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 };

/** Names that the engine adds to what the program gave. */
const ENGINE_KEYS = new Set(["version", "pluginDownloadURL", "__internal", "__defaults"]);

/**
 * @returns what is wrong with the arguments, in the real provider's words
 */
export function findConfigFaults(args: Fields): readonly string[] {
  const faults: string[] = [];
  const known = loadProviderSchema()?.provider.schema;
  for (const [key, value] of Object.entries(args)) {
    if (ENGINE_KEYS.has(key) || hasUnknown(value)) continue;
    if (key.endsWith("CustomEndpoint") && !ENDPOINT_PATTERN.test(textOf(value))) {
      const pattern = ENDPOINT_PATTERN.source.replaceAll("\\/", "/");
      const argument = `${JSON.stringify(terraformName(key))} (${JSON.stringify(value)})`;
      faults.push(`${argument} doesn't match regexp ${JSON.stringify(pattern)}`);
    } else if (known !== undefined && !isKnownArgument(known, key)) {
      faults.push("Invalid or unknown key");
    }
  }
  return faults;
}

function isKnownArgument(known: Readonly<Record<string, unknown>>, key: string): boolean {
  if (key === "addPulumiAttributionLabel" || key === "pulumiAttributionLabelAdditionStrategy") return true;
  return Object.keys(known).some((name) => pulumiName(name) === key);
}

/**
 * @throws {Error} without a token, as the real provider does where there are no credentials at all
 */
export function parseProviderConfig(args: Fields): ProviderConfig {
  const accessToken = textOf(args["accessToken"]);
  if (accessToken === "") {
    throw new Error("failed to load application credentials. google: could not find default credentials.");
  }
  const batching = fieldsOf(parseStructured(args["batching"]));
  const batchOn = isEmpty(batching) || parseBoolean(batching["enableBatching"], true);
  const endpoints = Object.entries(args).filter(([key]) => key.endsWith("CustomEndpoint"));
  const userProject = parseBoolean(args["userProjectOverride"], false) ? textOf(args["billingProject"]) : "";
  const reason = textOf(args["requestReason"]);
  return {
    project: textOf(args["project"]),
    region: textOf(args["region"]),
    zone: textOf(args["zone"]),
    accessToken,
    endpoints: Object.fromEntries(endpoints.map(([key, value]) => [key, textOf(value)])),
    headers: {
      ...(userProject === "" ? {} : { "x-goog-user-project": userProject }),
      ...(reason === "" ? {} : { "x-goog-request-reason": reason }),
    },
    pollIntervalMs: Math.min(parseDurationMs(args["pollInterval"]), LONGEST_POLL_MS),
    batchWaitMs: batchOn ? Math.min(parseDurationMs(batching["sendAfter"]), LONGEST_BATCH_WAIT_MS) : 0,
    defaultLabels: fieldsOf(parseStructured(args["defaultLabels"])) as Readonly<Record<string, string>>,
    attributionLabel: parseBoolean(args["addPulumiAttributionLabel"], true),
    deletionPolicy: textOf(args["deletionPolicy"]),
  };
}

function parseStructured(value: unknown): unknown {
  return typeof value === "string" && value !== "" ? JSON.parse(value) : value;
}

function parseBoolean(value: unknown, otherwise: boolean): boolean {
  return value === undefined || value === "" ? otherwise : value === true || value === "true";
}

/**
 * A duration as Go writes it, in one unit. Nothing means: as long as may be.
 *
 * @throws {Error} for anything else
 */
function parseDurationMs(value: unknown): number {
  if (value === undefined || value === "") return Number.POSITIVE_INFINITY;
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(textOf(value));
  const unit = DURATION_UNITS_MS[match?.[2] ?? ""];
  if (match === null || unit === undefined) {
    throw new Error(`time: invalid duration ${JSON.stringify(value)}`);
  }
  return Number(match[1]) * unit;
}
