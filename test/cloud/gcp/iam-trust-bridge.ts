import { Refusal } from "@polaris-cvm/stacks/local/trust/google-error.ts";
import type { Caller as TrustCaller } from "@polaris-cvm/stacks/local/trust/iam-roles.ts";
import type { Service, ServiceRequest } from "@polaris-cvm/stacks/local/trust/service.ts";
import type { Caller } from "./api.ts";
import { GoogleError, type GoogleStatus } from "./google-error.ts";

/**
 * Key service, token exchange and service-account tokens are the services of the local trust room themselves. They speak
 * HTTP: a call of the box goes to them as a request, and their refusal comes back as an error of the box.
 *
 * @param request.path  with the version: `/v1/token`
 * @throws {GoogleError} with the body that the service answered
 */
export async function callTrust(
  service: Service,
  request: {
    readonly method: string;
    readonly path: string;
    readonly query?: Readonly<Record<string, string>>;
    readonly contentType?: string;
    readonly body?: string;
  },
): Promise<unknown> {
  const serviceRequest: ServiceRequest = {
    method: request.method,
    path: request.path,
    query: new URLSearchParams(request.query),
    headers: { "content-type": request.contentType ?? "application/json" },
    body: Buffer.from(request.body ?? ""),
  };
  const route = service(serviceRequest);
  if (route === undefined) throw new Error(`no trust service answers ${request.method} ${request.path}`);
  try {
    return (await route.handle()).body;
  } catch (error) {
    if (error instanceof Refusal) throw new TrustRefusal(error);
    throw error;
  }
}

/** The caller as the trust services name one. What it may do is asked of the world, not of its roles. */
export function toTrustCaller({ member, memberships }: Caller): TrustCaller {
  return { principal: member, memberships: [member, ...memberships], projectRoles: [] };
}

/** A refusal whose body is already written: errors of the token endpoint have a shape of their own. */
class TrustRefusal extends GoogleError {
  readonly #body: unknown;

  constructor({ response, outcome, reason }: Refusal) {
    const isGoogleStatus = outcome === outcome.toUpperCase();
    super(isGoogleStatus ? (outcome as GoogleStatus) : "INVALID_ARGUMENT", reason, {
      httpStatus: response.status,
    });
    this.#body = response.body;
  }

  override toJson(): unknown {
    return this.#body;
  }
}
