import { isPolarisError } from "@polaris-cvm/sdk/errors";
import { pino } from "pino";
import type { DestinationStream } from "pino";
import type { LogLevel } from "./environment.ts";

/** Everything that a log line may say. No field is free text of a client. */
export interface LogFields {
  readonly event: string;
  readonly requestId?: string;
  readonly method?: string;
  readonly status?: number;
  readonly durationMs?: number;
  /** Bytes of the body as received and as sent, without headers. */
  readonly bytesIn?: number;
  readonly bytesOut?: number;
  readonly keyProvider?: string;
  readonly keyId?: string;
  readonly port?: number;
  readonly code?: string;
  /** {@link describeFailure} of a fault of ours. */
  readonly reason?: string;
}

/** The fields again, for the program: whatever else is in an object stays out of the log. */
const ALLOWED_FIELDS = [
  "event",
  "requestId",
  "method",
  "status",
  "durationMs",
  "bytesIn",
  "bytesOut",
  "keyProvider",
  "keyId",
  "port",
  "code",
  "reason",
] as const satisfies readonly (keyof LogFields)[];

export type ProxyLog = Record<"debug" | "info" | "warn" | "error", (fields: LogFields) => void>;

/** JSON lines: time, level and {@link LogFields}. */
export function createLog(level: LogLevel, destination?: DestinationStream): ProxyLog {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  const logger = destination === undefined ? pino(options) : pino(options, destination);
  return {
    debug: (fields) => logger.debug(pickAllowed(fields)),
    info: (fields) => logger.info(pickAllowed(fields)),
    warn: (fields) => logger.warn(pickAllowed(fields)),
    error: (fields) => logger.error(pickAllowed(fields)),
  };
}

function pickAllowed(fields: LogFields): Record<string, unknown> {
  const picked: Record<string, unknown> = {};
  for (const name of ALLOWED_FIELDS) if (fields[name] !== undefined) picked[name] = fields[name];
  return picked;
}

/**
 * What a log may say about a fault of ours: the message of an error that we wrote, which never holds a client's data, and
 * the code of what caused it; of any other error only its class and the place in the code, for its message may quote what
 * it was given.
 */
export function describeFailure(error: unknown): string {
  if (isPolarisError(error)) return error.message + describeCause(error.cause);
  if (!(error instanceof Error)) return typeof error;
  const place = /\n\s+at (?:.*[(/])?([\w.-]+:\d+):\d+\)?/.exec(
    error.stack?.slice(error.message.length) ?? "",
  )?.[1];
  return place === undefined ? error.name : `${error.name} at ${place}`;
}

/** Codes like ENOENT or UND_ERR_SOCKET are words of the system, never of a client. */
function describeCause(cause: unknown): string {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  return /^[A-Z][A-Z0-9_]+$/.test(code) ? ` (${code})` : "";
}
