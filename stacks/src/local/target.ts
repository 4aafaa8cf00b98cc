import { existsSync } from "node:fs";
import { readdir, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { isPolarisError, PolarisError } from "@polaris-cvm/sdk/errors";
import { errnoOf, stateUnwritable, writeFileAtomic } from "../atomic-file.ts";
import type { DeployedStack } from "../lock-file/schema.ts";
import type { Plan } from "../plan.ts";
import type {
  Change,
  DeployOperation,
  Finding,
  KeptKey,
  OpenProxyImage,
  StackLocation,
  StackOperation,
  StackStatus,
  Target,
} from "../target.ts";
import { findAliveParts } from "./alive-parts.ts";
import type { AliveParts } from "./alive-parts.ts";
import { isImagePlan } from "./containers/container-plan.ts";
import { requireEngine } from "./containers/engine.ts";
import type { EngineName } from "./containers/engine.ts";
import {
  checkContainers,
  findContainerParts,
  findEnginesOf,
  prepareContainers,
  previewContainers,
  removeFromEngine,
  removeFromEngines,
  sharedGroup,
} from "./containers/stack-containers.ts";
import { readControlPlane } from "./control-plane.ts";
import { ensureCredentials, loadCredentials } from "./credentials.ts";
import type { Credentials } from "./credentials.ts";
import { endpointScheme, localEndpoint, trustUrl } from "./endpoints.ts";
import { planPartConfigs } from "./part-configs.ts";
import { planParts } from "./parts.ts";
import { checkPorts, choosePorts } from "./ports.ts";
import { acquireStackLock, breakStackLock } from "./stack-lock.ts";
import { stackPaths } from "./stack-paths.ts";
import type { StackPaths } from "./stack-paths.ts";
import { createStackFolders, loadState, removeState, saveState } from "./state.ts";
import type { LocalState } from "./state.ts";
import { describeParts } from "./status.ts";
import { judgeAnswers } from "./supervisor/answer.ts";
import { compileCacheEnvironment } from "./supervisor/compile-cache.ts";
import { converge } from "./supervisor/converge.ts";
import { planChanges } from "./supervisor/next-step.ts";
import { observe } from "./supervisor/observe.ts";
import { fingerprintSecrets, PART_NAMES } from "./supervisor/part-spec.ts";
import { readLog } from "./supervisor/read-log.ts";
import { checkTlsFiles, hashTlsFiles } from "./tls-files.ts";

/** How long a container engine may take to answer a preview, in milliseconds. */
const PREVIEW_TIMEOUT_MS = 60_000;

/** This machine: child processes, real cryptography, simulated evidence (docs/local.md). */
export const localTarget: Target = {
  name: "local",
  check,
  preview,
  deploy,
  exists,
  status,
  parts: PART_NAMES,
  readLog: ({ projectDir, stack }, options) => readLog(stackPaths(projectDir, stack).stackDir, options),
  destroy,
  findKey: async ({ projectDir, stack }) => findKey(stackPaths(projectDir, stack)),
  findKeyApi: async ({ projectDir, stack }) => findKeyApi(stackPaths(projectDir, stack)),
  unlock: ({ projectDir, stack }, options) => breakStackLock(stackPaths(projectDir, stack).stackDir, options),
};

async function check(plan: Plan, { projectDir, stack }: StackLocation): Promise<Finding[]> {
  if (isImagePlan(plan)) await requireEngine(plan.engine);
  const paths = stackPaths(projectDir, stack);
  const state = await loadState(paths);
  return [
    ...(await checkPorts(plan, state, await findOwnParts(paths, state))),
    ...(await checkTlsFiles(plan, paths)),
    ...(isImagePlan(plan) ? checkContainers(plan) : []),
  ];
}

async function preview(
  plan: Plan,
  { projectDir, stack }: StackLocation,
  secrets: Readonly<Record<string, string>>,
  openProxyImage: OpenProxyImage,
): Promise<Change[]> {
  const paths = stackPaths(projectDir, stack);
  const state = await loadState(paths);
  const credentials = await loadCredentials(paths);
  if (state === undefined || credentials === undefined) {
    return PART_NAMES.map((part) => ({ part, action: "create", reason: "not deployed" }));
  }
  const { ports } = await choosePorts(plan, state, await findOwnParts(paths, state));
  const next = { ...state, ports };
  const signal = AbortSignal.timeout(PREVIEW_TIMEOUT_MS);
  const containers = isImagePlan(plan)
    ? await previewContainers(plan, paths, { state: next, secrets, openProxyImage, signal })
    : undefined;
  const desired = planParts(plan, paths, {
    state: next,
    configs: planPartConfigs(plan, paths, next, credentials, sharedGroup(plan)),
    ...(containers !== undefined && { containers }),
    secrets: await fingerprintSecrets(paths.stackDir, secrets, { create: false }),
    tlsFilesSha256: await hashTlsFiles(plan, paths),
    workloadAmbient: {},
    ownAmbient: {},
  });
  const changes = planChanges(desired, await judgeAnswers(await observe(paths.stackDir)));
  const scheme = endpointScheme(plan);
  return changes.map((change) =>
    change.part === "proxy" && scheme !== state.scheme
      ? { ...change, reason: `${change.reason}; the endpoint becomes ${scheme}` }
      : change,
  );
}

async function deploy(
  plan: Plan,
  { projectDir, stack }: StackLocation,
  secrets: Readonly<Record<string, string>>,
  operation: DeployOperation,
): Promise<DeployedStack> {
  const paths = stackPaths(projectDir, stack);
  await createStackFolders(paths);
  const release = await acquireStackLock(paths.stackDir, operation);
  try {
    await operation.onHeld();
    await warnOfOtherKeys(plan, paths, operation);
    const engine = isImagePlan(plan) ? (await requireEngine(plan.engine, operation.signal)).name : undefined;
    const { state, formerEngine } = await settleState(plan, paths, { engine, operation });
    const credentials = await ensureCredentials(paths);
    const configs = planPartConfigs(plan, paths, state, credentials, sharedGroup(plan));
    await writeFileAtomic(paths.trustConfig, configs.trust);
    await writeFileAtomic(paths.tokenAgentConfig, configs.tokenAgent);
    const containers =
      isImagePlan(plan) && engine !== undefined
        ? await prepareContainers(plan, paths, { engine, state, secrets, operation })
        : undefined;
    await converge({
      stackDir: paths.stackDir,
      desired: planParts(plan, paths, {
        state,
        configs,
        secrets: await fingerprintSecrets(paths.stackDir, secrets, { create: true }),
        tlsFilesSha256: await hashTlsFiles(plan, paths),
        workloadAmbient: operation.ambient,
        ownAmbient: compileCacheEnvironment(),
        ...(containers !== undefined && { containers }),
      }),
      secretEnv: secrets,
      onEvent: operation.onProgress,
      signal: operation.signal,
    });
    if (formerEngine !== undefined) await forgetEngine(paths, state, formerEngine);
    return await readDeployment(plan, state, credentials, operation.signal);
  } finally {
    await release();
  }
}

/** The parts of which anything lives, also containers that have lost their processes: they hold the published port. */
async function findOwnParts(paths: StackPaths, state: LocalState | undefined): Promise<AliveParts> {
  const alive = await findAliveParts(paths.stackDir);
  if (state?.engine === undefined) return alive;
  const left = await findContainerParts(state.engine, paths.containers.stackId);
  return new Map([...left.map((part) => [part, new Set<number>()] as const), ...alive]);
}

/**
 * The stack's ports, kept or chosen, and its engine: written down before anything listens, and before there is a container.
 *
 * @returns also the engine that it had and has no more, whose containers are to be removed when others run in their place
 */
async function settleState(
  plan: Plan,
  paths: StackPaths,
  { engine, operation }: { readonly engine: EngineName | undefined; readonly operation: StackOperation },
): Promise<{ readonly state: LocalState; readonly formerEngine: EngineName | undefined }> {
  const previous = await loadState(paths);
  const { ports, moved } = await choosePorts(plan, previous, await findOwnParts(paths, previous));
  for (const part of moved) {
    operation.warn(
      "port-moved",
      `somebody else listens on the port that ${part} had: it is ${ports[part]} now`,
    );
  }
  const scheme = endpointScheme(plan);
  const formerEngine = previous?.engine === engine ? undefined : previous?.engine;
  const kept = engine ?? formerEngine;
  const state: LocalState = {
    version: 1,
    name: plan.name,
    stack: plan.stack,
    ports,
    scheme,
    ...(kept !== undefined && { engine: kept }),
  };
  await saveState(paths, state);
  return { state, formerEngine };
}

/** Removes what is left in an engine that the stack is not in any more. */
async function forgetEngine(paths: StackPaths, state: LocalState, former: EngineName): Promise<void> {
  await removeFromEngine(former, paths.containers.stackId);
  if (state.engine !== former) return;
  const { engine: _former, ...rest } = state;
  await saveState(paths, rest);
}

/** What polaris.lock remembers: asked from the control plane, never from the endpoint. */
async function readDeployment(
  plan: Plan,
  state: LocalState,
  credentials: Credentials,
  signal: AbortSignal,
): Promise<DeployedStack> {
  const facts = await readControlPlane(plan, {
    trustUrl: trustUrl(state),
    administratorCredential: credentials.administrator,
    signal,
  });
  return {
    target: "local",
    endpoint: localEndpoint(state),
    encryption: { requests: plan.proxy.encryptRequests, responses: plan.proxy.encryptResponses },
    tls: plan.proxy.tls.mode === "attested" ? "attested" : "unbound",
    onDestroy: plan.key.onDestroy,
    publicKeyFingerprint: facts.key?.publicKeyFingerprint ?? null,
    keyVersion: facts.key?.version ?? null,
    instanceId: plan.identity.instanceId,
    issuer: facts.issuer,
    jwks: facts.jwks,
    workload: plan.workload.kind === "image" ? plan.workload.platformDigest : plan.workload.filesSha256,
    deployedAt: new Date().toISOString(),
  };
}

/** A stack is there if its state is, or if anything of it runs: a lost state must not hide processes. */
async function exists({ projectDir, stack }: StackLocation): Promise<boolean> {
  const paths = stackPaths(projectDir, stack);
  if (existsSync(paths.state)) return true;
  return isAnythingThere(paths);
}

async function isAnythingThere(paths: StackPaths): Promise<boolean> {
  const observed = await observe(paths.stackDir);
  if (observed.some((part) => part.state !== "absent") || (await findAliveParts(paths.stackDir)).size > 0) {
    return true;
  }
  return (await findEnginesOf(paths.containers.stackId)).length > 0;
}

async function status({ projectDir, stack }: StackLocation): Promise<StackStatus | undefined> {
  const paths = stackPaths(projectDir, stack);
  const state = await loadState(paths);
  if (state === undefined) {
    if (!(await isAnythingThere(paths))) return undefined;
    throw new PolarisError("STATE_CORRUPT", `parts of stack "${stack}" are there, but its state is gone`, {
      hint: "polaris destroy ends them, polaris deploy puts the stack in order",
      details: { path: paths.state },
    });
  }
  const parts = await describeParts(await observe(paths.stackDir));
  return { endpoint: localEndpoint(state), healthy: parts.every((part) => part.state === "running"), parts };
}

async function destroy(
  { projectDir, stack }: StackLocation,
  options: { readonly destroyKey: boolean },
  operation: StackOperation,
): Promise<KeptKey | undefined> {
  const paths = stackPaths(projectDir, stack);
  // Also without a folder: its processes may run. The lock makes one.
  const hadHome = existsSync(paths.home);
  const release = await acquireStackLock(paths.stackDir, operation);
  try {
    // Destroying goes on without a state: then every engine is asked.
    const state = await loadStateOrLost(paths);
    await converge({
      stackDir: paths.stackDir,
      desired: "absent",
      onEvent: operation.onProgress,
      signal: operation.signal,
    });
    if (state === "lost" || state.engine !== undefined) {
      await removeFromEngines(paths.containers.stackId, state === "lost" ? undefined : state.engine);
    }
    if (options.destroyKey || (await findKey(paths)) === undefined) await removeTrustFolder(paths);
    await removeState(paths);
    return await findKey(paths);
  } finally {
    await release();
    await removeIfEmpty(paths.stackDir);
    if (!hadHome) await removeIfEmpty(paths.home);
  }
}

/** For what goes on without a state, be it gone or damaged. */
async function loadStateOrLost(paths: StackPaths): Promise<LocalState | "lost"> {
  try {
    return (await loadState(paths)) ?? "lost";
  } catch (error) {
    if (isPolarisError(error)) return "lost";
    throw error;
  }
}

async function removeTrustFolder(paths: StackPaths): Promise<void> {
  await rm(paths.trustDir, { recursive: true, force: true }).catch((cause: unknown) => {
    throw stateUnwritable(paths.trustDir, cause);
  });
}

/** The key rings that the trust services keep; the folder of one that has a key is never empty. */
async function listKeyRings(paths: StackPaths): Promise<string[]> {
  return readdir(join(paths.trustDir, "kms")).catch((cause: unknown) => {
    if (errnoOf(cause) === "ENOENT") return [];
    throw new PolarisError("STATE_CORRUPT", `cannot read ${paths.trustDir}`, { cause });
  });
}

async function findKey(paths: StackPaths): Promise<KeptKey | undefined> {
  return (await listKeyRings(paths)).length > 0 ? { where: paths.trustDir } : undefined;
}

/**
 * Of whichever the stack is, programs or containers: the other one's socket may be left from before. One that nobody listens
 * on any more says so itself.
 */
async function findKeyApi(paths: StackPaths): Promise<string | undefined> {
  const state = await loadStateOrLost(paths);
  const isContainer = state !== "lost" && state.engine !== undefined;
  const path = isContainer ? paths.containers.keyApiSocket : paths.keyApiSocket;
  return existsSync(path) ? path : undefined;
}

/** With other names in polaris.lock the stack gets another key: that must not happen unnoticed. */
async function warnOfOtherKeys(plan: Plan, paths: StackPaths, operation: StackOperation): Promise<void> {
  const others = (await listKeyRings(paths)).filter((keyRing) => keyRing !== plan.key.keyRing);
  if (others.length === 0) return;
  operation.warn(
    "other-key",
    `this stack had another key, of another polaris.lock: it is still in ${join(paths.trustDir, "kms", others.join(", "))}, and not in use`,
  );
}

async function removeIfEmpty(folder: string): Promise<void> {
  try {
    await rmdir(folder);
  } catch (cause) {
    if (["ENOTEMPTY", "EEXIST", "ENOENT", "ENOTDIR"].includes(errnoOf(cause) ?? "")) return;
    throw new PolarisError("STATE_UNWRITABLE", `cannot remove ${folder}`, { cause });
  }
}
