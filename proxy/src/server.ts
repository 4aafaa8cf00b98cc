import { randomUUID } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { createBodyMemory } from "./body-memory.ts";
import { createCors } from "./cors.ts";
import type { ProxySettings } from "./environment.ts";
import { createWorkload } from "./forward.ts";
import type { KeyProvider } from "./keys/key-provider.ts";
import { formatLastAnswer } from "./last-bytes.ts";
import { createListener } from "./listener.ts";
import type { ProxyLog } from "./log.ts";
import { createMetricsServer } from "./metrics-server.ts";
import { createMetrics } from "./metrics.ts";
import type { ProxyMetrics } from "./metrics.ts";
import { describeProblem, problemLines } from "./problem.ts";
import { breakBody } from "./request-body.ts";
import { createServing } from "./serve-request.ts";
import { createUpgrades } from "./serve-upgrade.ts";
import type { TlsIdentity } from "./tls-identity.ts";
import { createWireV1 } from "./wire-v1.ts";
import { createWorkloadKeyApi } from "./workload-key-api.ts";

export interface ProxyOptions {
  readonly settings: ProxySettings;
  readonly keys: KeyProvider;
  /** Absent: plain HTTP. */
  readonly tls?: TlsIdentity;
  readonly log: ProxyLog;
  readonly nowMs?: () => number;
}

/** Where the proxy listens. */
export interface ProxyPorts {
  readonly port: number;
  readonly metricsPort: number | undefined;
}

export interface Proxy {
  /** Begins to listen. Rejects with Node's error if it cannot have a port, with STATE_UNWRITABLE for the workload's socket. */
  listen(): Promise<ProxyPorts>;
  /** Takes no new connections, finishes the requests in flight, lets go of workload and key. */
  close(): Promise<void>;
}

/** Puts a proxy together; nothing listens yet. */
export function createProxy({ settings, keys, tls, log, nowMs = Date.now }: ProxyOptions): Proxy {
  const { stack, tokenAgentSocket, limits, metricsPort } = settings;
  const { workloadKeyApiSocket, workloadKeyApiAccess = "owner" } = settings;
  const wire = createWireV1(settings);
  const workload = createWorkload(settings);
  const memory = createBodyMemory(limits);
  let closing: Promise<void> | undefined;

  const metrics: ProxyMetrics | undefined =
    metricsPort === undefined
      ? undefined
      : createMetrics({
          connections: () => listener.connectionCount(),
          requests: () => serving.requestCount(),
          heldBytes: () => memory.heldBytes,
          privateOperations: () => keys.privateOperations(),
        });
  const metricsServer = metrics && createMetricsServer(metrics, metricsPort ?? 0);
  const serving = createServing({
    proxy: { wire, keys, workload, memory, limits },
    system: {
      stack,
      tokenAgentSocket,
      keys,
      workload,
      nowMs,
      idleTimeoutMs: limits.idleTimeoutMs,
      tlsSpki: tls?.bound === true ? tls.publicKeySpki : undefined,
      isStopping: () => closing !== undefined,
    },
    cors: createCors(settings.cors),
    limits,
    log,
    metrics,
  });
  const workloadKeyApi =
    workloadKeyApiSocket === undefined
      ? undefined
      : createWorkloadKeyApi({
          socketPath: workloadKeyApiSocket,
          access: workloadKeyApiAccess,
          keys,
          log,
        });
  const upgrades = createUpgrades({ wire, workload, serving });
  const listener = createListener(limits, tls, {
    request: (request, response, isExcess) => void serving.serve(request, response, isExcess),
    takesUpgrade: (request) => upgrades.takes(request),
    upgrade: (request, socket, head) => void upgrades.serve(request, socket, head),
    refusal: (error) => refuseBytes(error, log, metrics),
    brokenBody: (request, cause) => {
      breakBody(
        request,
        new PolarisError("REQUEST_INVALID", "the body is not what HTTP lets it be", { cause }),
      );
    },
  });

  async function close(): Promise<void> {
    metricsServer?.close();
    if (listener.server.listening) {
      const deadline = setTimeout(() => {
        log.warn({ event: "stop-deadline" });
        upgrades.cut();
        listener.cut();
      }, limits.shutdownTimeoutMs);
      await listener.close();
      clearTimeout(deadline);
    }
    await Promise.all([workload.close(), workloadKeyApi?.close()]);
    keys.close();
  }

  return {
    async listen() {
      await workloadKeyApi?.listen();
      listener.server.listen({ port: settings.port, host: settings.host });
      await once(listener.server, "listening");
      const { port } = listener.server.address() as AddressInfo;
      return { port, metricsPort: await metricsServer?.listen() };
    },
    close: () => (closing ??= close()),
  };
}

/** @returns the answer to bytes that are no request */
function refuseBytes(cause: NodeJS.ErrnoException, log: ProxyLog, metrics: ProxyMetrics | undefined): string {
  const requestId = randomUUID();
  const refusal =
    cause.code === "ERR_HTTP_REQUEST_TIMEOUT"
      ? new PolarisError("REQUEST_TIMEOUT", "the headers of a request did not come in time", { cause })
      : new PolarisError("REQUEST_INVALID", "what came is not a request that this proxy reads", { cause });
  const problem = describeProblem(refusal, requestId, cause.code === "HPE_HEADER_OVERFLOW" ? 431 : undefined);
  metrics?.requestEnded(problem.status, problem.code, 0, { bytesIn: 0, bytesOut: 0 });
  log.warn({ event: "request", requestId, status: problem.status, code: problem.code });
  return formatLastAnswer(problem.status, problemLines(problem), problem.body);
}
