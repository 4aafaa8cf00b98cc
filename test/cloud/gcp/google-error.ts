/** google.rpc.Code names and the HTTP status that Google answers with for each. */
const HTTP_STATUS = {
  INVALID_ARGUMENT: 400,
  FAILED_PRECONDITION: 400,
  OUT_OF_RANGE: 400,
  UNAUTHENTICATED: 401,
  PERMISSION_DENIED: 403,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  ABORTED: 409,
  RESOURCE_EXHAUSTED: 429,
  INTERNAL: 500,
  UNIMPLEMENTED: 501,
  UNAVAILABLE: 503,
  DEADLINE_EXCEEDED: 504,
} as const;

export type GoogleStatus = keyof typeof HTTP_STATUS;

export type ErrorDetail = Readonly<Record<string, unknown>> & { readonly "@type": string };

export interface GoogleErrorOptions {
  /** Reason of the older error format, for example `notFound`. With it the answer has `errors[]` too. */
  readonly reason?: string;
  readonly details?: readonly ErrorDetail[];
  /** Where Google's status differs from the usual one of the code: compute answers 412 for a stale fingerprint. */
  readonly httpStatus?: number;
}

/** A refusal in Google's own words. Handlers throw it, and the server answers it. */
export class GoogleError extends Error {
  override readonly name = "GoogleError";
  readonly status: GoogleStatus;
  readonly httpStatus: number;
  readonly reason: string | undefined;
  readonly details: readonly ErrorDetail[] | undefined;

  constructor(status: GoogleStatus, message: string, options: GoogleErrorOptions = {}) {
    super(message);
    this.status = status;
    this.httpStatus = options.httpStatus ?? HTTP_STATUS[status];
    this.reason = options.reason;
    this.details = options.details;
  }

  /** The body of the answer (AIP-193), with the older format's `errors[]` where there is a reason. */
  toJson(): unknown {
    return {
      error: {
        code: this.httpStatus,
        message: this.message,
        ...(this.reason === undefined
          ? {}
          : { errors: [{ message: this.message, domain: "global", reason: this.reason }] }),
        status: this.status,
        ...(this.details === undefined ? {} : { details: this.details }),
      },
    };
  }
}

/** google.rpc.ErrorInfo. */
export function errorInfo(
  reason: string,
  domain: string,
  metadata: Readonly<Record<string, string>>,
): ErrorDetail {
  return { "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason, domain, metadata };
}

/** google.rpc.Help with one link. */
export function help(description: string, url: string): ErrorDetail {
  return { "@type": "type.googleapis.com/google.rpc.Help", links: [{ description, url }] };
}

/** google.rpc.BadRequest: what Google says about a body or a query that its schema refuses. */
export function badRequest(description: string, field?: string): GoogleError {
  return new GoogleError("INVALID_ARGUMENT", description, {
    details: [
      {
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        fieldViolations: [{ ...(field === undefined ? {} : { field }), description }],
      },
    ],
  });
}

/** What the APIs other than compute say when a permission is missing. */
export function permissionDenied(service: string, permission: string, resource: string): GoogleError {
  return new GoogleError(
    "PERMISSION_DENIED",
    `Permission '${permission}' denied on resource '//${service}/${resource}' (or it may not exist).`,
    { details: [errorInfo("IAM_PERMISSION_DENIED", service, { permission, resource })] },
  );
}

/** An API that nobody enabled in the project. `title` is the API's name for people. */
export function serviceDisabled(service: string, title: string, projectNumber: string): GoogleError {
  const url = `https://console.developers.google.com/apis/api/${service}/overview?project=${projectNumber}`;
  return new GoogleError(
    "PERMISSION_DENIED",
    `${title} has not been used in project ${projectNumber} before or it is disabled. Enable it by visiting ${url} ` +
      "then retry. If you enabled this API recently, wait a few minutes for the action to propagate to our systems and retry.",
    {
      reason: "accessNotConfigured",
      details: [
        errorInfo("SERVICE_DISABLED", "googleapis.com", {
          service,
          serviceTitle: title,
          consumer: `projects/${projectNumber}`,
          containerInfo: projectNumber,
          activationUrl: url,
        }),
        help("Google developers console API activation", url),
      ],
    },
  );
}

/** A paid API in a project without an open billing account. */
export function billingDisabled(service: string, projectNumber: string): GoogleError {
  const url = `https://console.developers.google.com/billing/enable?project=${projectNumber}`;
  return new GoogleError(
    "PERMISSION_DENIED",
    `This API method requires billing to be enabled. Please enable billing on project #${projectNumber} by visiting ` +
      `${url} then retry. If you enabled billing for this project recently, wait a few minutes for the action to ` +
      "propagate to our systems and retry.",
    {
      reason: "forbidden",
      details: [
        errorInfo("BILLING_DISABLED", "googleapis.com", { service, consumer: `projects/${projectNumber}` }),
        help("Google developers console billing", url),
      ],
    },
  );
}
