import type { AccessTokens } from "./access-token.ts";
import type { Authenticate } from "./authenticate.ts";
import { errorInfo, googleError } from "./google-error.ts";
import { parseJsonBody, parseQuery, wantsNumericEnums } from "./google-request.ts";
import type { Binding, IsAllowed } from "./iam-roles.ts";
import { pathSegments, type Service, type ServiceRequest } from "./service.ts";

export interface IamCredentialsOptions {
  readonly authenticate: Authenticate;
  /** Who may act as a service account, by its e-mail address; undefined if there is no such account. */
  readonly findServiceAccount: (email: string) => readonly Binding[] | undefined;
  readonly isAllowed: IsAllowed<{ readonly serviceAccount: string }>;
  readonly accessTokens: AccessTokens;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

const API_METHOD = {
  service: "iamcredentials.googleapis.com",
  method: "google.iam.credentials.v1.IAMCredentials.GenerateAccessToken",
} as const;
/** Google takes any scope; of those, these two open the key service, which is all that is here. */
const SCOPES: readonly unknown[] = [
  "https://www.googleapis.com/auth/cloud-platform",
  "https://www.googleapis.com/auth/cloudkms",
];
const MAX_LIFETIME_SECONDS = 3600;
const VERB = ":generateAccessToken";

/** Google's IAM Credentials API: `POST /v1/projects/-/serviceAccounts/<email>:generateAccessToken`. */
export function createIamCredentials(options: IamCredentialsOptions): Service {
  return (request) => {
    const [version, projects, project, accounts, last, ...rest] = pathSegments(request.path) ?? [];
    if (request.method !== "POST" || rest.length > 0 || last?.endsWith(VERB) !== true) return undefined;
    if (version !== "v1" || projects !== "projects" || project !== "-" || accounts !== "serviceAccounts") {
      return undefined;
    }
    const email = last.slice(0, -VERB.length);
    return {
      operation: "iamCredentials.generateAccessToken",
      handle: async () => ({ status: 200, body: generateAccessToken(options, request, email) }),
    };
  };
}

function generateAccessToken(
  options: IamCredentialsOptions,
  request: ServiceRequest,
  email: string,
): { accessToken: string; expireTime: string } {
  const caller = options.authenticate(request, API_METHOD);
  parseQuery(request, []);
  wantsNumericEnums(request);
  const body = parseJsonBody(request, ["scope", "lifetime", "delegates"]);
  if (!Array.isArray(body.scope) || !body.scope.some((scope) => SCOPES.includes(scope))) {
    throw googleError("INVALID_ARGUMENT", "Request contains an invalid argument.", {
      reason: "scope opens nothing here",
    });
  }
  if (body.delegates !== undefined && !(Array.isArray(body.delegates) && body.delegates.length === 0)) {
    throw googleError("INVALID_ARGUMENT", "Request contains an invalid argument.", { reason: "delegates" });
  }
  const lifetimeSeconds = parseLifetime(body.lifetime);
  const bindings = options.findServiceAccount(email) ?? [];
  const permission = "iam.serviceAccounts.getAccessToken";
  if (!options.isAllowed(caller, permission, { project: "-", serviceAccount: email, bindings })) {
    throw googleError(
      "PERMISSION_DENIED",
      `Permission '${permission}' denied on resource (or it may not exist).`,
      {
        reason: "caller may not act as the service account",
        details: [errorInfo("IAM_PERMISSION_DENIED", "iam.googleapis.com", { permission })],
      },
    );
  }
  const principal = `serviceAccount:${email}`;
  const expireTime = new Date((Math.floor(options.now() / 1000) + lifetimeSeconds) * 1000);
  return {
    accessToken: options.accessTokens.issue({ principal, memberships: [principal] }, lifetimeSeconds),
    expireTime: expireTime.toISOString().replace(".000Z", "Z"),
  };
}

function parseLifetime(value: unknown): number {
  if (value === undefined) return MAX_LIFETIME_SECONDS;
  const seconds = typeof value === "string" && /^[0-9]{1,5}s$/.test(value) ? Number(value.slice(0, -1)) : 0;
  if (seconds < 1 || seconds > MAX_LIFETIME_SECONDS) {
    throw googleError("INVALID_ARGUMENT", "Request contains an invalid argument.", {
      reason: "wrong lifetime",
    });
  }
  return seconds;
}
