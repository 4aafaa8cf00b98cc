import { PolarisError, isPolarisError } from "@polaris-cvm/sdk/errors";
import { SYSTEM_PATH_PREFIX } from "@polaris-cvm/sdk/headers";
import { createAttestationDocument } from "./attestation.ts";
import type { AttestationSource } from "./attestation.ts";
import { sendWhole } from "./client-answer.ts";
import type { Workload } from "./forward.ts";
import type { Answering } from "./handle-request.ts";
import { KEY_DEADLINE_MS } from "./keys/key-provider.ts";
import { SYSTEM_METHODS } from "./problem.ts";
import type { ReceivedRequest } from "./received-request.ts";

/** Longest wait for what readiness depends on, so that the one who asks gets an answer. */
const READY_DEADLINE_MS = 2_000;

export interface SystemContext extends AttestationSource {
  readonly workload: Workload;
  /** True from the moment the proxy was told to stop: it finishes what it has, and wants nothing new. */
  readonly isStopping: () => boolean;
  /** Longest time that a client takes nothing of its answer. */
  readonly idleTimeoutMs: number;
}

type SystemRoute = (
  context: SystemContext,
  query: URLSearchParams,
  gone: AbortSignal,
) => Promise<SystemAnswer>;

interface SystemAnswer {
  readonly status: number;
  readonly json: object;
}

const ROUTES: Readonly<Record<string, SystemRoute>> = {
  health: async () => ({ status: 200, json: { status: "ok" } }),

  async ready({ keys, workload, isStopping }, _query, gone) {
    if (isStopping()) return { status: 503, json: { status: "not-ready", reasons: ["STOPPING"] } };
    const signal = withDeadline(gone, READY_DEADLINE_MS);
    const results = await Promise.allSettled([keys.publicKey(signal), workload.probe(signal)]);
    const reasons = results.flatMap((result) =>
      result.status === "rejected" ? [toReason(result.reason)] : [],
    );
    return reasons.length === 0
      ? { status: 200, json: { status: "ready" } }
      : { status: 503, json: { status: "not-ready", reasons } };
  },

  async publicKey({ keys }, _query, gone) {
    const { pem } = await keys.publicKey(withDeadline(gone, KEY_DEADLINE_MS));
    return { status: 200, json: { publicKey: pem } };
  },

  async attestation(context, query, gone) {
    const nonces = query.getAll("nonce");
    if (nonces.length !== 1 || query.size !== 1) {
      throw new PolarisError("NONCE_INVALID", "the query must be one nonce and nothing else");
    }
    const document = await createAttestationDocument(
      context,
      nonces[0] ?? "",
      withDeadline(gone, KEY_DEADLINE_MS),
    );
    return { status: 200, json: document };
  },
};

/** True for requests that are the proxy's own to answer. */
export function isSystemTarget(target: string): boolean {
  return target.startsWith(SYSTEM_PATH_PREFIX);
}

/** Routes that are asked every few seconds, by those who watch over the proxy. */
const HEALTH_TARGET = `${SYSTEM_PATH_PREFIX}health`;
const PROBE_TARGETS: ReadonlySet<string> = new Set([HEALTH_TARGET, `${SYSTEM_PATH_PREFIX}ready`]);

/** The one route that asks nobody else, and is answered however much there is to do. */
export function isHealthTarget(target: string): boolean {
  return target === HEALTH_TARGET;
}

export function isProbeTarget(target: string): boolean {
  return PROBE_TARGETS.has(target);
}

/**
 * Answers a request for one of the proxy's own documents. They are never sealed: a client needs them before it can seal.
 *
 * @throws {PolarisError} with an HTTP status; nothing has been sent then
 */
export async function handleSystemRequest(
  context: SystemContext,
  { method, target }: ReceivedRequest,
  { response, ownLines, client, traffic }: Answering,
): Promise<void> {
  const [path = "", query = ""] = splitOnce(target.slice(SYSTEM_PATH_PREFIX.length), "?");
  const route = Object.hasOwn(ROUTES, path) ? ROUTES[path] : undefined;
  if (route === undefined) {
    throw new PolarisError("ROUTE_NOT_FOUND", `there is no such route below ${SYSTEM_PATH_PREFIX}`);
  }
  if (method !== "GET" && method !== "HEAD") {
    throw new PolarisError("METHOD_NOT_ALLOWED", `expected one of ${SYSTEM_METHODS}`);
  }
  const { status, json } = await route(context, new URLSearchParams(query), client.signal);
  const body = JSON.stringify(json);
  traffic.bytesOut = Buffer.byteLength(body);
  const lines = [
    "content-type",
    "application/json",
    "content-length",
    String(traffic.bytesOut),
    "cache-control",
    "no-store",
    ...ownLines,
  ];
  sendWhole(response, status, lines, body, context.idleTimeoutMs);
}

function splitOnce(text: string, separator: string): string[] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function withDeadline(gone: AbortSignal, deadlineMs: number): AbortSignal {
  return AbortSignal.any([gone, AbortSignal.timeout(deadlineMs)]);
}

function toReason(error: unknown): string {
  return isPolarisError(error) ? error.code : "INTERNAL";
}
