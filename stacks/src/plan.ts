import { PolarisError } from "@polaris-cvm/sdk/errors";
import { attestationCondition, subjectMapping } from "./attestation-condition.ts";
import { parseDurationMs } from "./config/field-formats.ts";
import type { Config } from "./config/schema.ts";
import type { LockedImage, LockedWorkload, StackLock } from "./lock-file/schema.ts";
import { simulatedHardware } from "./local/simulated-hardware.ts";

/** TLS of the endpoint; the files' paths are relative to the project folder. */
export type PlannedTls =
  | { readonly mode: "off" }
  | { readonly mode: "attested" }
  | { readonly mode: "files"; readonly certificate: string; readonly key: string };

/** Encryption of one direction at the proxy. */
export type EncryptionMode = "off" | "optional" | "required";

/** A program of the project folder. */
export interface ProcessWorkload {
  readonly kind: "process";
  readonly run: readonly string[];
  /** Identity of the workload: SHA-256 over its files, from the lock. */
  readonly filesSha256: string;
}

/** A container image, as the lock has it. */
export interface ImageWorkload {
  readonly kind: "image";
  /** Canonical, as it was asked for: for people. What runs is `platformDigest`. */
  readonly reference: string;
  readonly digest: string;
  /** Identity of the workload: the image for linux/amd64. */
  readonly platformDigest: string;
  /** Program and arguments: those of the image, or what the configuration puts in their place. Never empty. */
  readonly command: readonly string[];
  /** `NAME=value`, from the image; `env` wins. */
  readonly imageEnv: readonly string[];
  /** Empty: root. */
  readonly user: string;
  readonly workingDir: string;
  /** `8080/tcp` */
  readonly exposedPorts: readonly string[];
}

/**
 * Everything that a target needs to know, decided once: a pure function of the configuration (with the stack's overrides)
 * and the stack's lock. Targets and programs get a Plan and never read configuration.
 */
export interface Plan {
  readonly target: "local";
  /** What runs the workload, as it was asked for: with auto the target chooses among those that can. */
  readonly engine: "auto" | "docker" | "podman" | "process";
  readonly name: string;
  readonly stack: string;
  /** `<name>/<stack>`: what the evidence and the proxy call this stack. */
  readonly qualifiedName: string;
  readonly workload: (ProcessWorkload | ImageWorkload) & {
    /** Asked for in the configuration; absent means that the target chooses. */
    readonly port: number | undefined;
    readonly env: Readonly<Record<string, string>>;
    readonly healthPath: string | undefined;
    readonly healthTimeoutMs: number;
    /** Whether it gets the proxy's socket, to open data that is sealed to the stack's key. */
    readonly keyApi: boolean;
  };
  readonly proxy: {
    readonly port: number | undefined;
    readonly encryptRequests: EncryptionMode;
    readonly encryptResponses: EncryptionMode;
    readonly tls: PlannedTls;
    readonly corsOrigins: readonly string[];
    readonly maxBodyBytes: number;
    /** Longest wait for the head of the workload's answer, and between two pieces of its body. */
    readonly workloadTimeoutMs: number;
  };
  readonly key: {
    readonly kind: "hsm" | "ephemeral";
    readonly onDestroy: "keep" | "destroy";
    readonly project: string;
    readonly location: string;
    readonly keyRing: string;
    readonly name: string;
  };
  readonly identity: {
    readonly projectId: string;
    readonly projectNumber: string;
    readonly zone: string;
    readonly instanceName: string;
    readonly instanceId: string;
    readonly serviceAccount: string;
  };
  readonly keyPolicy: KeyPolicy;
  /** Residuals accepted by name (`trust.accept`). */
  readonly acceptedResiduals: readonly string[];
}

/** Who may use the key: the condition on the evidence, and the one principal that the key's grant names. */
export interface KeyPolicy {
  readonly poolId: string;
  readonly providerId: string;
  /** Audience of the token exchange: the provider's full resource name. */
  readonly audience: string;
  /** CEL, made by the typed builder. */
  readonly condition: string;
  /** CEL expression of `google.subject`. */
  readonly subjectMapping: string;
  /** The attested principal: exactly one instance. */
  readonly member: string;
}

/** Location of the simulated key service: the same word in names, conditions and documents. */
const LOCAL_LOCATION = "local";

const MEBIBYTE = 1024 * 1024;

/** @throws {PolarisError} CONFIG_INVALID if neither the image nor the configuration says which program to start */
export function planStack(config: Config, stack: string, lock: StackLock): Plan {
  const { workload, proxy, key } = config;
  return {
    target: "local",
    engine: config.targets.local.engine,
    name: config.name,
    stack,
    qualifiedName: `${config.name}/${stack}`,
    workload: {
      ...planWorkload(config, lock.workload),
      port: workload.port,
      env: workload.env,
      healthPath: workload.health.path,
      healthTimeoutMs: workload.health.timeoutMs,
      keyApi: proxy.workloadKeyApi,
    },
    proxy: {
      port: proxy.port,
      encryptRequests: proxy.encryption.requests,
      encryptResponses: proxy.encryption.responses,
      tls: planTls(proxy.tls),
      corsOrigins: proxy.cors.origins,
      maxBodyBytes: proxy.limits.maxBodyMb * MEBIBYTE,
      workloadTimeoutMs: parseDurationMs(proxy.limits.answerTimeout),
    },
    key: {
      kind: key.kind,
      onDestroy: key.onDestroy,
      ...planKeyName(lock),
    },
    identity: {
      projectId: lock.projectId,
      projectNumber: lock.projectNumber,
      zone: lock.zone,
      instanceName: lock.names.instance,
      instanceId: lock.instanceId,
      serviceAccount: serviceAccountEmail(lock),
    },
    keyPolicy: planKeyPolicy(lock),
    acceptedResiduals: config.trust.accept,
  };
}

function planWorkload(
  { workload, targets }: Config,
  locked: LockedWorkload,
): ProcessWorkload | ImageWorkload {
  if (locked.kind === "process") {
    return { kind: "process", run: targets.local.run ?? [], filesSha256: locked.files.sha256 };
  }
  const { reference, digest, platformDigest, config } = locked;
  const command = planCommand(workload, config);
  if (command.length === 0) {
    throw new PolarisError("CONFIG_INVALID", `${reference} does not say which program to start`, {
      hint: "name it under workload.entrypoint",
    });
  }
  return {
    kind: "image",
    reference,
    digest,
    platformDigest,
    command,
    imageEnv: config.env,
    user: config.user,
    workingDir: config.workingDir,
    exposedPorts: config.exposedPorts,
  };
}

/** As of Docker and Kubernetes: arguments that were made for the image's own entrypoint are not for another one. */
function planCommand(
  { entrypoint, args }: Config["workload"],
  image: LockedImage["config"],
): readonly string[] {
  if (entrypoint.length > 0) return [...entrypoint, ...args];
  return [...image.entrypoint, ...(args.length > 0 ? args : image.cmd)];
}

function planTls(tls: Config["proxy"]["tls"]): PlannedTls {
  return typeof tls === "string" ? { mode: tls } : { mode: "files", ...tls };
}

/** Where a stack's key is in the key service. */
type KeyName = Pick<Plan["key"], "project" | "location" | "keyRing" | "name">;

export function planKeyName(lock: Pick<StackLock, "projectId" | "names">): KeyName {
  return {
    project: lock.projectId,
    location: LOCAL_LOCATION,
    keyRing: lock.names.keyRing,
    name: lock.names.key,
  };
}

/** Resource name of the one version that a stack's key has. */
export function keyVersionName({ project, location, keyRing, name }: KeyName): string {
  return `projects/${project}/locations/${location}/keyRings/${keyRing}/cryptoKeys/${name}/cryptoKeyVersions/1`;
}

/** The policy of a stack depends on names only: `polaris lock` can write it before anything exists. */
export function planKeyPolicy(names: Omit<StackLock, "policy" | "workload">): KeyPolicy {
  const pool = `projects/${names.projectNumber}/locations/global/workloadIdentityPools/${names.names.pool}`;
  return {
    poolId: names.names.pool,
    providerId: names.names.provider,
    audience: `//iam.googleapis.com/${pool}/providers/${names.names.provider}`,
    condition: attestationCondition({
      softwareName: simulatedHardware.softwareName,
      hardwareModels: [simulatedHardware.hardwareModel],
      secureBoot: true,
      projectNumber: names.projectNumber,
      instanceId: names.instanceId,
      zone: names.zone,
      serviceAccount: serviceAccountEmail(names),
    }),
    subjectMapping: subjectMapping(),
    member: `principal://iam.googleapis.com/${pool}/subject/gcpcvm::${names.projectNumber}::${names.instanceId}`,
  };
}

/** The service account of the (simulated) machine, as its evidence names it. */
export function serviceAccountEmail(lock: Pick<StackLock, "names" | "projectId">): string {
  return `${lock.names.serviceAccount}@${lock.projectId}.iam.gserviceaccount.com`;
}
