/**
 * Who has to act on an error. Families follow the person, not the module: the same person
 * reads the message, whichever file threw it.
 */
export type ErrorActor = "user" | "operator" | "client" | "relying-party" | "polaris";

interface ErrorCodeFacts {
  readonly actor: ErrorActor;
  /** Exit code of the command line (docs/cli.md). */
  readonly exit: number;
  /** HTTP status of the proxy's answer; absent where the proxy never answers with this code. */
  readonly http?: number;
}

/**
 * Every error code of Polaris with its exit code and HTTP status: the one table.
 * Codes are API: match on them, never on texts; a code is never renamed.
 */
export const ERROR_CODES = {
  // The user edits a file or a command line.
  USAGE_INVALID: { actor: "user", exit: 2 },
  CONFIG_FILE_NOT_FOUND: { actor: "user", exit: 2 },
  CONFIG_UNREADABLE: { actor: "user", exit: 2 },
  CONFIG_SYNTAX: { actor: "user", exit: 2 },
  CONFIG_INVALID: { actor: "user", exit: 2 },
  TARGET_NOT_AVAILABLE: { actor: "user", exit: 2 },
  IMAGE_NOT_SUPPORTED: { actor: "user", exit: 2 },
  IMAGE_REFERENCE_INVALID: { actor: "user", exit: 2 },
  IMAGE_NOT_FOUND: { actor: "user", exit: 2 },
  IMAGE_PLATFORM_MISSING: { actor: "user", exit: 2 },
  IMAGE_NOT_LOCKED: { actor: "user", exit: 5 },
  SECRET_MISSING: { actor: "user", exit: 2 },
  WORKLOAD_FILES_INVALID: { actor: "user", exit: 2 },
  CLOUD_ENDPOINTS_INVALID: { actor: "user", exit: 2 },
  KEY_CHANGE_REFUSED: { actor: "user", exit: 5 },
  CONFIRMATION_REQUIRED: { actor: "user", exit: 2 },
  LOCK_FILE_CORRUPT: { actor: "user", exit: 2 },
  PROXY_ENVIRONMENT_INVALID: { actor: "user", exit: 2 },
  TLS_FILES_INVALID: { actor: "user", exit: 2 },
  KEY_NOT_PERMANENT: { actor: "user", exit: 2 },
  STACK_NOT_FOUND: { actor: "user", exit: 6 },
  LOCK_FILE_STALE: { actor: "user", exit: 7 },
  UNEXPECTED_CHANGES: { actor: "user", exit: 7 },
  CANCELLED: { actor: "user", exit: 8 },
  STACK_LOCKED: { actor: "user", exit: 12 },
  PREFLIGHT_FAILED: { actor: "user", exit: 13 },
  PORT_TAKEN: { actor: "user", exit: 13 },

  // The operator looks after the machine or the deployment.
  STATE_CORRUPT: { actor: "operator", exit: 1 },
  STATE_UNWRITABLE: { actor: "operator", exit: 1 },
  REGISTRY_UNREACHABLE: { actor: "operator", exit: 1 },
  REGISTRY_RATE_LIMITED: { actor: "operator", exit: 1 },
  REGISTRY_FAILED: { actor: "operator", exit: 1 },
  REGISTRY_DENIED: { actor: "operator", exit: 3 },
  CREDENTIAL_HELPER_FAILED: { actor: "operator", exit: 3 },
  IMAGE_INVALID: { actor: "operator", exit: 5 },
  IMAGE_DIGEST_MISMATCH: { actor: "operator", exit: 5 },
  IMAGE_TOO_LARGE: { actor: "operator", exit: 5 },
  IMAGE_BUILD_FAILED: { actor: "operator", exit: 1 },
  CONTAINER_ENGINE_FAILED: { actor: "operator", exit: 4 },
  CONTAINER_ENGINE_UNAVAILABLE: { actor: "operator", exit: 13 },
  CLOUD_CREDENTIALS_MISSING: { actor: "operator", exit: 3 },
  CLOUD_RESOURCE_FAILED: { actor: "operator", exit: 4 },
  ENGINE_FAILED: { actor: "operator", exit: 4 },
  ENGINE_MISSING: { actor: "operator", exit: 13 },
  PLUGIN_UNAVAILABLE: { actor: "operator", exit: 13 },
  ENDPOINT_UNREACHABLE: { actor: "operator", exit: 1 },
  PART_FAILED: { actor: "operator", exit: 4 },
  TIMEOUT: { actor: "operator", exit: 9 },
  WORKLOAD_EXITED: { actor: "operator", exit: 11 },
  WORKLOAD_UNHEALTHY: { actor: "operator", exit: 11 },
  PROXY_UNHEALTHY: { actor: "operator", exit: 11 },
  KEY_UNAVAILABLE: { actor: "operator", exit: 11, http: 503 },
  KEY_RELEASE_DENIED: { actor: "operator", exit: 11, http: 503 },
  DATA_KEY_UNAVAILABLE: { actor: "operator", exit: 11 },
  OVERLOADED: { actor: "operator", exit: 11, http: 503 },
  ATTESTATION_UNAVAILABLE: { actor: "operator", exit: 10, http: 503 },
  WORKLOAD_UNREACHABLE: { actor: "operator", exit: 11, http: 502 },
  WORKLOAD_TIMEOUT: { actor: "operator", exit: 11, http: 504 },
  WORKLOAD_RESPONSE_INVALID: { actor: "operator", exit: 11, http: 502 },

  // The client of the proxy sends something else.
  ENVELOPE_MALFORMED: { actor: "client", exit: 1, http: 400 },
  ENVELOPE_OPEN_FAILED: { actor: "client", exit: 1, http: 400 },
  ENCRYPTION_REQUIRED: { actor: "client", exit: 1, http: 400 },
  ENCRYPTION_OFF: { actor: "client", exit: 1, http: 400 },
  /** Said by the command line of an answer from 400 on. */
  REQUEST_FAILED: { actor: "client", exit: 1 },
  REQUEST_INVALID: { actor: "client", exit: 1, http: 400 },
  NONCE_INVALID: { actor: "client", exit: 1, http: 400 },
  PUBLIC_KEY_INVALID: { actor: "client", exit: 1, http: 400 },
  ROUTE_NOT_FOUND: { actor: "client", exit: 1, http: 404 },
  METHOD_NOT_ALLOWED: { actor: "client", exit: 1, http: 405 },
  REQUEST_TIMEOUT: { actor: "client", exit: 1, http: 408 },
  BODY_TOO_LARGE: { actor: "client", exit: 1, http: 413 },
  KEY_UNKNOWN: { actor: "client", exit: 1, http: 422 },
  DATA_MALFORMED: { actor: "client", exit: 1 },
  DATA_OPEN_FAILED: { actor: "client", exit: 1, http: 400 },

  // The relying party must not trust the endpoint.
  EVIDENCE_MALFORMED: { actor: "relying-party", exit: 10 },
  TOKEN_INVALID: { actor: "relying-party", exit: 10 },
  VERIFICATION_FAILED: { actor: "relying-party", exit: 10 },
  TLS_KEY_MISMATCH: { actor: "relying-party", exit: 10 },
  EXPECTATIONS_MISSING: { actor: "relying-party", exit: 2 },
  RESPONSE_NOT_SEALED: { actor: "relying-party", exit: 1 },

  // A bug of ours.
  INTERNAL: { actor: "polaris", exit: 255, http: 500 },
} as const satisfies Record<string, ErrorCodeFacts>;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface PolarisErrorOptions {
  /** What to do about it: one line, a command if there is one. */
  readonly hint?: string;
  /** Machine-readable facts for `--json`; never a secret. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/** The one error of Polaris. `message`: what happened, lower case, no full stop, nothing secret. */
export class PolarisError extends Error {
  override readonly name = "PolarisError";
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>> | undefined;

  constructor(code: ErrorCode, message: string, options: PolarisErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.details = options.details;
  }

  get exitCode(): number {
    return ERROR_CODES[this.code].exit;
  }

  /** HTTP status of the proxy's answer; 500 for codes that are not the proxy's to say. */
  get httpStatus(): number {
    const facts: ErrorCodeFacts = ERROR_CODES[this.code];
    return facts.http ?? 500;
  }
}

/** True for errors of Polaris, also those of a second copy of this module (matched by name and code). */
export function isPolarisError(error: unknown): error is PolarisError {
  return error instanceof Error && error.name === "PolarisError" && "code" in error;
}
