/**
 * The environment of the Polaris Secure Proxy: the one contract between those who start a proxy and the proxy. Pure:
 * reads nothing, starts nothing. `stacks` writes an environment with {@link formatProxyEnvironment}, the proxy reads it
 * with {@link parseProxyEnvironment}, and docs/proxy.md is a print of {@link PROXY_VARIABLES}.
 */
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { nearestName } from "@polaris-cvm/sdk/nearest-name";
import * as z from "zod";
import { describeText } from "./environment-values.ts";
import {
  PROXY_VARIABLES,
  ephemeralEnvironmentSchema,
  googleEnvironmentSchema,
} from "./environment-variables.ts";
import type { EncryptionMode, LogLevel } from "./environment-variables.ts";
import { readOriginalNames } from "./original-environment.ts";

export { ENCRYPTION_MODES, LOG_LEVELS, PROXY_VARIABLES } from "./environment-variables.ts";
export type { EncryptionMode, LogLevel, ProxyVariable } from "./environment-variables.ts";

/** Everything the proxy can be told, typed. */
export interface ProxySettings {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly workload: {
    /** Origin, `http://host:port`. */
    readonly url: string;
    /** Path that answers 2xx or 3xx when the workload is ready; absent: an open port is enough. */
    readonly healthPath?: string;
    /** Longest wait for the head of an answer, and between two pieces of its body. */
    readonly timeoutMs: number;
  };
  /** `<name>/<stack>`. */
  readonly stack: string;
  readonly encryption: { readonly requests: EncryptionMode; readonly responses: EncryptionMode };
  /** Lower case, all different. */
  readonly headerNames: { readonly url: string; readonly secure: string; readonly responseKey: string };
  readonly logLevel: LogLevel;
  /** Of either direction, as received. */
  readonly maxBodyBytes: number;
  /** Absolute path of a Unix socket. */
  readonly tokenAgentSocket?: string;
  readonly key: KeySettings;
}

export type KeySettings = { readonly kind: "ephemeral" } | GoogleFederatedKeySettings;

export interface GoogleFederatedKeySettings {
  readonly kind: "google-federated";
  readonly project: string;
  readonly location: string;
  readonly keyRing: string;
  readonly key: string;
  readonly keyVersion: number;
  /** `//iam.googleapis.com/projects/<number>/locations/global/workloadIdentityPools/<pool>/providers/<provider>` */
  readonly audience: string;
  /** E-mail address to act as; absent: the attested principal itself uses the key. */
  readonly serviceAccount?: string;
  readonly tokenFile: string;
  /** Origins, without a path. */
  readonly stsUrl: string;
  readonly kmsUrl: string;
  readonly iamCredentialsUrl: string;
}

type CommonEnvironment = z.output<typeof ephemeralEnvironmentSchema>;
type GoogleEnvironment = z.output<typeof googleEnvironmentSchema>;

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
  if (settings !== undefined) problems.push(...checkHeaderNames(settings.headerNames));
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

/** Fields that HTTP itself gives a meaning: none of them can carry a sealed part. */
const RESERVED_FIELD_NAMES = new Set([
  "host",
  "connection",
  "content-length",
  "content-type",
  "transfer-encoding",
]);

function checkHeaderNames(headerNames: ProxySettings["headerNames"]): string[] {
  const names = Object.values(headerNames);
  const problems = names
    .filter((name) => RESERVED_FIELD_NAMES.has(name))
    .map((name) => `header ${name} has a meaning of its own, it cannot carry a sealed part`);
  if (new Set(names).size < names.length) {
    problems.push(`the three header names must differ, got ${names.join(", ")}`);
  }
  return problems;
}

function commonSettings(values: CommonEnvironment): Omit<ProxySettings, "key"> {
  const healthPath = values.POLARIS_PROXY_WORKLOAD_HEALTH_PATH;
  const tokenAgentSocket = values.POLARIS_PROXY_TOKEN_AGENT_SOCKET;
  return {
    host: values.POLARIS_PROXY_HOST,
    port: values.POLARIS_PROXY_PORT,
    workload: {
      url: values.POLARIS_PROXY_WORKLOAD_URL,
      ...(healthPath !== undefined && { healthPath }),
      timeoutMs: values.POLARIS_PROXY_WORKLOAD_TIMEOUT_MS,
    },
    stack: values.POLARIS_PROXY_STACK,
    encryption: {
      requests: values.POLARIS_PROXY_ENCRYPT_REQUESTS,
      responses: values.POLARIS_PROXY_ENCRYPT_RESPONSES,
    },
    headerNames: {
      url: values.POLARIS_PROXY_URL_HEADER,
      secure: values.POLARIS_PROXY_SECURE_HEADER,
      responseKey: values.POLARIS_PROXY_RESPONSE_KEY_HEADER,
    },
    logLevel: values.POLARIS_PROXY_LOG_LEVEL,
    maxBodyBytes: values.POLARIS_PROXY_MAX_BODY_BYTES,
    ...(tokenAgentSocket !== undefined && { tokenAgentSocket }),
  };
}

function googleSettings(values: GoogleEnvironment): GoogleFederatedKeySettings {
  const serviceAccount = values.POLARIS_PROXY_GOOGLE_SERVICE_ACCOUNT;
  return {
    kind: "google-federated",
    project: values.POLARIS_PROXY_GOOGLE_PROJECT,
    location: values.POLARIS_PROXY_GOOGLE_LOCATION,
    keyRing: values.POLARIS_PROXY_GOOGLE_KEY_RING,
    key: values.POLARIS_PROXY_GOOGLE_KEY,
    keyVersion: values.POLARIS_PROXY_GOOGLE_KEY_VERSION,
    audience: values.POLARIS_PROXY_GOOGLE_AUDIENCE,
    ...(serviceAccount !== undefined && { serviceAccount }),
    tokenFile: values.POLARIS_PROXY_GOOGLE_TOKEN_FILE,
    stsUrl: values.POLARIS_PROXY_GOOGLE_STS_URL,
    kmsUrl: values.POLARIS_PROXY_GOOGLE_KMS_URL,
    iamCredentialsUrl: values.POLARIS_PROXY_GOOGLE_IAM_CREDENTIALS_URL,
  };
}

/** The way back of {@link commonSettings}. */
function commonValues(settings: ProxySettings): CommonEnvironment {
  return {
    POLARIS_PROXY_PORT: settings.port,
    POLARIS_PROXY_HOST: settings.host,
    POLARIS_PROXY_WORKLOAD_URL: settings.workload.url,
    POLARIS_PROXY_WORKLOAD_HEALTH_PATH: settings.workload.healthPath,
    POLARIS_PROXY_WORKLOAD_TIMEOUT_MS: settings.workload.timeoutMs,
    POLARIS_PROXY_STACK: settings.stack,
    POLARIS_PROXY_ENCRYPT_REQUESTS: settings.encryption.requests,
    POLARIS_PROXY_ENCRYPT_RESPONSES: settings.encryption.responses,
    POLARIS_PROXY_URL_HEADER: settings.headerNames.url,
    POLARIS_PROXY_SECURE_HEADER: settings.headerNames.secure,
    POLARIS_PROXY_RESPONSE_KEY_HEADER: settings.headerNames.responseKey,
    POLARIS_PROXY_LOG_LEVEL: settings.logLevel,
    POLARIS_PROXY_MAX_BODY_BYTES: settings.maxBodyBytes,
    POLARIS_PROXY_TOKEN_AGENT_SOCKET: settings.tokenAgentSocket,
    POLARIS_PROXY_KEY: settings.key.kind,
  };
}

/** The way back of {@link googleSettings}. */
function googleValues(key: GoogleFederatedKeySettings): Omit<GoogleEnvironment, keyof CommonEnvironment> {
  return {
    POLARIS_PROXY_GOOGLE_PROJECT: key.project,
    POLARIS_PROXY_GOOGLE_LOCATION: key.location,
    POLARIS_PROXY_GOOGLE_KEY_RING: key.keyRing,
    POLARIS_PROXY_GOOGLE_KEY: key.key,
    POLARIS_PROXY_GOOGLE_KEY_VERSION: key.keyVersion,
    POLARIS_PROXY_GOOGLE_AUDIENCE: key.audience,
    POLARIS_PROXY_GOOGLE_SERVICE_ACCOUNT: key.serviceAccount,
    POLARIS_PROXY_GOOGLE_TOKEN_FILE: key.tokenFile,
    POLARIS_PROXY_GOOGLE_STS_URL: key.stsUrl,
    POLARIS_PROXY_GOOGLE_KMS_URL: key.kmsUrl,
    POLARIS_PROXY_GOOGLE_IAM_CREDENTIALS_URL: key.iamCredentialsUrl,
  };
}
