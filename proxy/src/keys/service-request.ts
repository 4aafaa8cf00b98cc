import { PolarisError } from "@polaris-cvm/sdk/errors";
import { Agent } from "undici";
import type { Dispatcher } from "undici";

const CONNECT_TIMEOUT_MS = 5_000;
const ANSWER_TIMEOUT_MS = 10_000;

/** Far above any answer that these services give. */
const MAX_ANSWER_BYTES = 256 * 1024;

/**
 * Connections to the services that a key provider asks.
 *
 * @param socketPath  Unix socket that answers for all of them; undefined: they are asked over the network
 */
export function createServiceAgent(socketPath: string | undefined): Agent {
  return new Agent({
    connect: { timeout: CONNECT_TIMEOUT_MS, ...(socketPath !== undefined && { socketPath }) },
    headersTimeout: ANSWER_TIMEOUT_MS,
    bodyTimeout: ANSWER_TIMEOUT_MS,
    maxResponseSize: MAX_ANSWER_BYTES,
  });
}

export interface ServiceRequest {
  /** How errors call the service. */
  readonly service: string;
  readonly method: "GET" | "POST";
  readonly url: string;
  readonly accessToken?: string;
  /** A form is sent as one, an object as JSON. */
  readonly body?: URLSearchParams | object;
}

export interface ServiceAnswer {
  readonly status: number;
  /** Empty if the body is not a JSON object. */
  readonly json: Readonly<Record<string, unknown>>;
}

/**
 * Sends one request to a service and reads its JSON answer, whatever its status. Redirects are not followed: they could
 * carry a token to another host.
 *
 * @throws {PolarisError} KEY_UNAVAILABLE if there is no answer, or none before `signal` aborts
 */
export async function requestService(
  agent: Dispatcher,
  { service, method, url, accessToken, body }: ServiceRequest,
  signal: AbortSignal,
): Promise<ServiceAnswer> {
  const isForm = body instanceof URLSearchParams;
  try {
    const { origin, pathname } = new URL(url);
    const answer = await agent.request({
      origin,
      path: pathname,
      method,
      signal,
      headers: {
        accept: "application/json",
        ...(accessToken !== undefined && { authorization: `Bearer ${accessToken}` }),
        ...(body !== undefined && {
          "content-type": isForm ? "application/x-www-form-urlencoded" : "application/json",
        }),
      },
      ...(body !== undefined && { body: isForm ? body.toString() : JSON.stringify(body) }),
    });
    return { status: answer.statusCode, json: parseObject(await answer.body.text()) };
  } catch (cause) {
    throw new PolarisError("KEY_UNAVAILABLE", `no answer of ${service}`, { cause });
  }
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === "object" && json !== null && !Array.isArray(json) ? { ...json } : {};
  } catch {
    return {};
  }
}

/**
 * The error for an answer that is a refusal. 403 and 404 are also what a service says for minutes until a new grant or
 * name has spread; see {@link isWorthWaiting}.
 */
export function refusal(service: string, { status }: ServiceAnswer): PolarisError {
  const isDenied = status === 400 || status === 401 || status === 403;
  return new PolarisError(
    isDenied ? "KEY_RELEASE_DENIED" : "KEY_UNAVAILABLE",
    `${service} refused with status ${status}`,
    { details: { status } },
  );
}

/** False only for a refusal that time alone does not mend. */
export function isWorthWaiting(error: unknown): boolean {
  return !(
    error instanceof PolarisError &&
    error.code === "KEY_RELEASE_DENIED" &&
    error.details?.["status"] !== 403
  );
}
