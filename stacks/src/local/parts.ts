import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { PROXY_NODE_FLAGS, formatProxyEnvironment } from "@polaris-cvm/proxy/environment";
import type { TlsSettings } from "@polaris-cvm/proxy/environment";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { Plan, ProcessWorkload } from "../plan.ts";
import { STOP_SECONDS } from "./containers/left-containers.ts";
import { endpointScheme, LOCAL_HOST, localEndpoint, trustUrl } from "./endpoints.ts";
import type { PartConfigs } from "./part-configs.ts";
import { planProxySettings } from "./proxy-settings.ts";
import type { StackPaths } from "./stack-paths.ts";
import type { LocalState } from "./state.ts";
import type { PartSpec, Probe, SecretsFingerprint } from "./supervisor/part-spec.ts";

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
  /** There if the workload is an image. */
  readonly containers?: ContainerParts;
}

/** What the parts that are containers run with. */
export interface ContainerParts {
  /** Their configuration files, as text. No secret is in them. */
  readonly workloadConfig: string;
  readonly proxyConfig: string;
  /** What the engine's program gets of the deployer's environment: where its service is. */
  readonly ambient: Readonly<Record<string, string>>;
}

/** How long a container may take to end: the engine's patience with it, and then some for the engine, in milliseconds. */
const CONTAINER_GRACE_MS = STOP_SECONDS * 1000 + 15_000;

/** The processes of a local stack, in the order in which they start: a pure function. */
export function planParts(plan: Plan, paths: StackPaths, choices: LocalChoices): PartSpec[] {
  const { state, configs, ownAmbient } = choices;
  return [
    { ...planTrust(paths, state, configs.trust), ambient: ownAmbient },
    { ...planTokenAgent(plan, paths, configs.tokenAgent), ambient: ownAmbient },
    ...planServers(plan, paths, choices),
  ];
}

/** Workload and proxy: containers if the workload is an image, else programs. */
function planServers(plan: Plan, paths: StackPaths, choices: LocalChoices): PartSpec[] {
  const { workload } = plan;
  if (workload.kind === "process") {
    const proxy = { ...planProxy(plan, paths, choices), ambient: choices.ownAmbient };
    return [planWorkload(plan, workload, paths, choices), proxy];
  }
  const { containers } = choices;
  if (containers === undefined)
    throw new PolarisError("INTERNAL", "an image without the plan of its container");
  return [
    planWorkloadContainer(paths, containers, choices),
    planProxyContainer(plan, paths, containers, choices),
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
  const socket = plan.workload.kind === "image" ? paths.containers.tokenAgentSocket : paths.tokenAgentSocket;
  return {
    name: "token-agent",
    command: [process.execPath, ownModule("./token-agent/main.ts"), paths.tokenAgentConfig],
    cwd: paths.stackDir,
    env: {},
    probes: [
      { kind: "socket", path: socket },
      ...(plan.key.kind === "hsm" ? [{ kind: "file", path: paths.tokenFile } as const] : []),
    ],
    readyTimeoutMs: OWN_PART_READY_MS,
    identity: digest(config),
  };
}

function planWorkload(
  plan: Plan,
  workload: ProcessWorkload,
  paths: StackPaths,
  choices: LocalChoices,
): PartSpec {
  const { env, keyApi, healthPath, healthTimeoutMs } = plan.workload;
  const { state, secrets, workloadAmbient } = choices;
  const port = state.ports.workload;
  return {
    name: "workload",
    command: [...workload.run],
    cwd: paths.projectDir,
    ambient: workloadAmbient,
    env: {
      ...env,
      HOST: "127.0.0.1",
      PORT: String(port),
      ...(keyApi && { POLARIS_KEY_API_SOCKET: paths.keyApiSocket }),
    },
    secrets,
    probes: [
      healthPath === undefined
        ? { kind: "tcp", port }
        : { kind: "http", url: `http://127.0.0.1:${port}${healthPath}`, expect: "2xx-3xx" },
    ],
    readyTimeoutMs: healthTimeoutMs,
    // Not an argument or variable of the process, but what it is: changed files are another workload.
    identity: workload.filesSha256,
  };
}

function planProxy(plan: Plan, paths: StackPaths, { state, tlsFilesSha256 }: LocalChoices): PartSpec {
  const settings = planProxySettings(plan, state, {
    host: LOCAL_HOST,
    port: state.ports.proxy,
    workloadUrl: `http://127.0.0.1:${state.ports.workload}`,
    tls: planTls(plan, paths),
    tokenAgentSocket: paths.tokenAgentSocket,
    tokenFile: paths.tokenFile,
    keyApiSocket: paths.keyApiSocket,
  });
  return {
    name: "proxy",
    command: [
      process.execPath,
      ...PROXY_NODE_FLAGS,
      fileURLToPath(import.meta.resolve("@polaris-cvm/proxy/bin")),
    ],
    cwd: paths.stackDir,
    env: formatProxyEnvironment(settings),
    probes: [
      proxyReady(plan, state),
      ...(plan.workload.keyApi ? [{ kind: "socket", path: paths.keyApiSocket } as const] : []),
    ],
    readyTimeoutMs: OWN_PART_READY_MS,
    // It reads them when it starts: a renewed certificate needs another process.
    ...(tlsFilesSha256 !== undefined && { identity: tlsFilesSha256 }),
  };
}

function proxyReady(plan: Plan, state: LocalState): Probe {
  const endpoint = localEndpoint({ ...state, scheme: endpointScheme(plan) });
  return { kind: "http", url: `${endpoint}/polaris-container/ready`, expect: "200" };
}

/** Whether it works is the proxy's to say, which alone can reach it. */
function planWorkloadContainer(
  paths: StackPaths,
  containers: ContainerParts,
  choices: LocalChoices,
): PartSpec {
  return {
    ...planContainer(paths, paths.containers.workloadConfig, containers),
    name: "workload",
    secrets: choices.secrets,
    probes: [{ kind: "socket", path: paths.containers.workloadReady }],
    readyTimeoutMs: OWN_PART_READY_MS,
    identity: digest(containers.workloadConfig),
  };
}

function planProxyContainer(
  plan: Plan,
  paths: StackPaths,
  containers: ContainerParts,
  { state, tlsFilesSha256 }: LocalChoices,
): PartSpec {
  return {
    ...planContainer(paths, paths.containers.proxyConfig, containers),
    name: "proxy",
    probes: [{ kind: "socket", path: paths.containers.proxyReady }, proxyReady(plan, state)],
    // It is not ready before the workload is.
    readyTimeoutMs: Math.max(OWN_PART_READY_MS, plan.workload.healthTimeoutMs),
    identity: digest(containers.proxyConfig + (tlsFilesSha256 ?? "")),
  };
}

function planContainer(paths: StackPaths, configFile: string, { ambient }: ContainerParts) {
  return {
    command: [process.execPath, ownModule("./containers/run-container.ts"), configFile],
    cwd: paths.stackDir,
    ambient,
    env: {},
    graceMs: CONTAINER_GRACE_MS,
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
