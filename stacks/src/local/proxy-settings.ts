import { parseProxyEnvironment } from "@polaris-cvm/proxy/environment";
import type { ProxySettings, TlsSettings } from "@polaris-cvm/proxy/environment";
import type { Plan } from "../plan.ts";
import { trustUrl } from "./endpoints.ts";
import type { LocalState } from "./state.ts";

/** Where a proxy finds what it works with: on this machine, or in its container. */
export interface ProxySurroundings {
  readonly host: string;
  readonly port: number;
  readonly workloadUrl: string;
  readonly tls: TlsSettings;
  readonly tokenAgentSocket: string;
  readonly tokenFile: string;
  /** Where it is to serve its key API, if the plan wants one. */
  readonly keyApiSocket: string;
  /** To whom; absent: to its own user. */
  readonly keyApiAccess?: ProxySettings["workloadKeyApiAccess"];
  /** Absent: the trust services are asked over the loopback interface. */
  readonly trustSocket?: string;
}

/** The settings of a local stack's proxy: what the plan decides, and where it is. */
export function planProxySettings(
  plan: Plan,
  state: LocalState,
  surroundings: ProxySurroundings,
): ProxySettings {
  const { key, proxy, workload } = plan;
  const { host, port, workloadUrl, tls, tokenAgentSocket, tokenFile, trustSocket } = surroundings;
  const { keyApiSocket, keyApiAccess = "owner" } = surroundings;
  const { settings: defaults } = parseProxyEnvironment({ POLARIS_PROXY_WORKLOAD_URL: workloadUrl });
  return {
    ...defaults,
    host,
    port,
    stack: plan.qualifiedName,
    workload: {
      ...defaults.workload,
      timeoutMs: proxy.workloadTimeoutMs,
      ...(workload.healthPath === undefined ? {} : { healthPath: workload.healthPath }),
    },
    encryption: { requests: proxy.encryptRequests, responses: proxy.encryptResponses },
    limits: { ...defaults.limits, maxBodyBytes: proxy.maxBodyBytes },
    cors: { origins: proxy.corsOrigins },
    tls,
    tokenAgentSocket,
    ...(workload.keyApi && { workloadKeyApiSocket: keyApiSocket, workloadKeyApiAccess: keyApiAccess }),
    key:
      key.kind === "ephemeral"
        ? { kind: "ephemeral" }
        : {
            kind: "google-federated",
            project: key.project,
            location: key.location,
            keyRing: key.keyRing,
            key: key.name,
            keyVersion: 1,
            olderKeyVersions: [],
            audience: plan.keyPolicy.audience,
            tokenFile,
            stsUrl: trustUrl(state),
            kmsUrl: trustUrl(state),
            iamCredentialsUrl: trustUrl(state),
            ...(trustSocket !== undefined && { localServicesSocket: trustSocket }),
          },
  };
}
