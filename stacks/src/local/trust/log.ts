export type LogLevel = "info" | "warn" | "error";

/**
 * What a log line may say besides `time`, `level`, `service` and `event`. A closed list: tokens, keys, credentials and
 * plaintexts have no field to be in.
 */
export interface LogFields {
  readonly port?: number;
  readonly operation?: string;
  readonly method?: string;
  readonly status?: number;
  readonly outcome?: string;
  /** A fixed text of ours. */
  readonly reason?: string;
  readonly durationMs?: number;
  /** Verified identity of the caller. */
  readonly principal?: string;
  /** Resource name of a key or a key version. */
  readonly resource?: string;
  readonly code?: string;
  readonly message?: string;
  readonly retryMs?: number;
}

export type Log = (level: LogLevel, event: string, fields?: LogFields) => void;

/** One JSON object per line. */
export function createLog(service: string, now: () => number, write: (line: string) => void): Log {
  return (level, event, fields = {}) => {
    write(`${JSON.stringify({ time: new Date(now()).toISOString(), level, service, event, ...fields })}\n`);
  };
}
