import { isPolarisError } from "@polaris-cvm/sdk/errors";
import type { LogLevel } from "./environment.ts";
import { createLogWriter } from "./log-writer.ts";
import type { LogWriter } from "./log-writer.ts";

/** Everything that a log line may say. No field is free text of a client. */
export interface LogFields {
  readonly event: string;
  readonly requestId?: string;
  /** Of W3C Trace Context: 32 lower-case hex digits, nothing else. */
  readonly traceId?: string | undefined;
  readonly method?: string;
  readonly status?: number | undefined;
  readonly durationMs?: number;
  /** Bytes of the body as received and as sent, without headers. */
  readonly bytesIn?: number;
  readonly bytesOut?: number;
  readonly keyProvider?: string;
  readonly keyId?: string;
  readonly port?: number;
  readonly code?: string | undefined;
  /** {@link describeFailure} of a fault of ours. */
  readonly reason?: string | undefined;
  /** Lines that nobody took in time. */
  readonly droppedLines?: number;
}

/** What the proxy writes; the other levels of {@link LogLevel} only set how much of it. */
export type LineLevel = "debug" | "info" | "warn" | "error";

export interface ProxyLog extends Record<LineLevel, (fields: LogFields) => void> {
  /** Writes what still waits, before it returns: for the end of the process. */
  flush(): void;
}

const LEVEL_ORDER: readonly LogLevel[] = ["trace", "debug", "info", "warn", "error", "fatal", "silent"];

const STDOUT = 1;

/**
 * JSON lines: level, time and {@link LogFields}. Written here and not by a library: it is one of the dearer things that
 * happen for every request, and this takes a third of what the fastest one does.
 *
 * @param writer  default: standard output, in batches, never holding up a request
 */
export function createLog(
  level: LogLevel,
  writer: Pick<LogWriter, "write"> & Partial<LogWriter> = createLogWriter(STDOUT, describeDropped),
): ProxyLog {
  const lowest = LEVEL_ORDER.indexOf(level);
  const at = (lineLevel: LineLevel): ((fields: LogFields) => void) =>
    LEVEL_ORDER.indexOf(lineLevel) < lowest
      ? () => undefined
      : (fields) => writer.write(formatLine(lineLevel, fields));
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    flush: () => writer.flush?.(),
  };
}

function describeDropped(droppedLines: number): string {
  return formatLine("warn", { event: "log-lines-dropped", droppedLines });
}

/** Field by field and by name: whatever else is in an object stays out, and a loop over names takes twice as long. */
function formatLine(level: LineLevel, fields: LogFields): string {
  return (
    `{"level":"${level}","time":"${formatNow()}"` +
    formatText(',"event":', fields.event) +
    formatText(',"requestId":', fields.requestId) +
    formatText(',"traceId":', fields.traceId) +
    formatText(',"method":', fields.method) +
    formatNumber(',"status":', fields.status) +
    formatNumber(',"durationMs":', fields.durationMs) +
    formatNumber(',"bytesIn":', fields.bytesIn) +
    formatNumber(',"bytesOut":', fields.bytesOut) +
    formatText(',"keyProvider":', fields.keyProvider) +
    formatText(',"keyId":', fields.keyId) +
    formatNumber(',"port":', fields.port) +
    formatText(',"code":', fields.code) +
    formatText(',"reason":', fields.reason) +
    formatNumber(',"droppedLines":', fields.droppedLines) +
    "}\n"
  );
}

/** What JSON writes as it is, except for letters beyond ASCII. */
const PLAIN = /^[ !#-[\]-~]*$/;

/** Nearly every text is plain, and looking takes a fraction of what JSON.stringify does. */
function formatText(member: string, value: string | undefined): string {
  if (value === undefined) return "";
  return PLAIN.test(value) ? `${member}"${value}"` : member + JSON.stringify(value);
}

/** JSON has no NaN and no infinity. */
function formatNumber(member: string, value: number | undefined): string {
  return value === undefined ? "" : member + (Number.isFinite(value) ? value : "null");
}

let formattedMs = 0;
let formatted = "";

/** Under load many lines fall into one millisecond. */
function formatNow(): string {
  const nowMs = Date.now();
  if (nowMs !== formattedMs) {
    formattedMs = nowMs;
    formatted = new Date(nowMs).toISOString();
  }
  return formatted;
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
