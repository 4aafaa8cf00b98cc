import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import {
  PROXY_NODE_FLAGS,
  formatProxyEnvironment,
  parseProxyEnvironment,
} from "@polaris-cvm/proxy/environment";
import type { TlsSettings } from "@polaris-cvm/proxy/environment";
import type { Plan } from "../plan.ts";
import { endpointScheme, LOCAL_HOST, localEndpoint, trustUrl } from "./endpoints.ts";
import type { PartConfigs } from "./part-configs.ts";
import type { StackPaths } from "./stack-paths.ts";
import type { LocalState } from "./state.ts";
import type { PartSpec, SecretsFingerprint } from "./supervisor/part-spec.ts";

/** How long a part of ours may take to become ready; making a new RSA-4096 key is the longest of it. */
const OWN_PART_READY_MS = 60_000;

/** What a plan does not decide: choices of this machine. */
export interface LocalChoices {
  readonly state: LocalState;
  readonly configs: PartConfigs;
  readonly secrets: SecretsFingerprint;
  /** Of the files that the proxy reads its certificate and key from; absent where it reads none. */
  readonly tlsFilesSha256: string | undefined;
  /** What the workload gets of the deployer's environment (docs/local.md). */
  readonly workloadAmbient: Readonly<Record<string, string>>;
  /** The same for the parts of ours. */
  readonly ownAmbient: Readonly<Record<string, string>>;
}

/** The processes of a local stack, in the order in which they start: a pure function. */
export function planParts(plan: Plan, paths: StackPaths, choices: LocalChoices): PartSpec[] {
  const { state, configs, ownAmbient } = choices;
  return [
    { ...planTrust(paths, state, configs.trust), ambient: ownAmbient },
    { ...planTokenAgent(plan, paths, configs.tokenAgent), ambient: ownAmbient },
    planWorkload(plan, paths, choices),
    { ...planProxy(plan, paths, choices), ambient: ownAmbient },
  ];
}

function planTrust(paths: StackPaths, state: LocalState, config: string): PartSpec {
  return {
    name: "trust",
    command: [process.execPath, ownModule("./trust/main.ts"), paths.trustConfig],
    cwd: paths.stackDir,
    env: {},
    probes: [{ kind: "http", url: `${trustUrl(state)}/healthz`, expect: "200" }],
    readyTimeoutMs: OWN_PART_READY_MS,
    identity: digest(config),
  };
}

function planTokenAgent(plan: Plan, paths: StackPaths, config: string): PartSpec {
  return {
    name: "token-agent",
    command: [process.execPath, ownModule("./token-agent/main.ts"), paths.tokenAgentConfig],
    cwd: paths.stackDir,
    env: {},
    probes: [
      { kind: "socket", path: paths.tokenAgentSocket },
      ...(plan.key.kind === "hsm" ? [{ kind: "file", path: paths.tokenFile } as const] : []),
    ],
    readyTimeoutMs: OWN_PART_READY_MS,
    identity: digest(config),
  };
}

function planWorkload(plan: Plan, paths: StackPaths, choices: LocalChoices): PartSpec {
  const { workload } = plan;
  const { state, secrets, workloadAmbient } = choices;
  const port = state.ports.workload;
  return {
    name: "workload",
    command: [...workload.run],
    cwd: paths.projectDir,
    ambient: workloadAmbient,
    env: {
      ...workload.env,
      HOST: "127.0.0.1",
      PORT: String(port),
      ...(workload.keyApi && { POLARIS_KEY_API_SOCKET: paths.keyApiSocket }),
    },
    secrets,
    probes: [
      workload.healthPath === undefined
        ? { kind: "tcp", port }
        : { kind: "http", url: `http://127.0.0.1:${port}${workload.healthPath}`, expect: "2xx-3xx" },
    ],
    readyTimeoutMs: workload.healthTimeoutMs,
    // Not an argument or variable of the process, but what it is: changed files are another workload.
    identity: workload.filesSha256,
  };
}

function planProxy(plan: Plan, paths: StackPaths, { state, tlsFilesSha256 }: LocalChoices): PartSpec {
  const { key, proxy, workload } = plan;
  const endpoint = localEndpoint({ ...state, scheme: endpointScheme(plan) });
  const { settings: defaults } = parseProxyEnvironment({
    POLARIS_PROXY_WORKLOAD_URL: `http://127.0.0.1:${state.ports.workload}`,
  });
  return {
    name: "proxy",
    command: [
      process.execPath,
      ...PROXY_NODE_FLAGS,
      fileURLToPath(import.meta.resolve("@polaris-cvm/proxy/bin")),
    ],
    cwd: paths.stackDir,
    env: formatProxyEnvironment({
      ...defaults,
      host: LOCAL_HOST,
      port: state.ports.proxy,
      stack: plan.qualifiedName,
      workload: {
        ...defaults.workload,
        timeoutMs: proxy.workloadTimeoutMs,
        ...(workload.healthPath === undefined ? {} : { healthPath: workload.healthPath }),
      },
      encryption: { requests: proxy.encryptRequests, responses: proxy.encryptResponses },
      limits: { ...defaults.limits, maxBodyBytes: proxy.maxBodyBytes },
      cors: { origins: proxy.corsOrigins },
      tls: planTls(plan, paths),
      tokenAgentSocket: paths.tokenAgentSocket,
      ...(workload.keyApi && { workloadKeyApiSocket: paths.keyApiSocket }),
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
              tokenFile: paths.tokenFile,
              stsUrl: trustUrl(state),
              kmsUrl: trustUrl(state),
              iamCredentialsUrl: trustUrl(state),
            },
    }),
    probes: [
      { kind: "http", url: `${endpoint}/polaris-container/ready`, expect: "200" },
      ...(workload.keyApi ? [{ kind: "socket", path: paths.keyApiSocket } as const] : []),
    ],
    readyTimeoutMs: OWN_PART_READY_MS,
    // It reads them when it starts: a renewed certificate needs another process.
    ...(tlsFilesSha256 !== undefined && { identity: tlsFilesSha256 }),
  };
}

function planTls({ proxy: { tls } }: Plan, { projectDir }: StackPaths): TlsSettings {
  return tls.mode === "files"
    ? {
        mode: "files",
        certificateFile: resolve(projectDir, tls.certificate),
        keyFile: resolve(projectDir, tls.key),
      }
    : tls;
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function ownModule(path: string): string {
  return fileURLToPath(import.meta.resolve(path));
}
