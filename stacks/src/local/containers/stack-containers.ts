import type { Image } from "@polaris-cvm/images/image.ts";
import { isPolarisError, PolarisError } from "@polaris-cvm/sdk/errors";
import { writeFileAtomic } from "../../atomic-file.ts";
import { makeFolder } from "../../make-folder.ts";
import type { Plan } from "../../plan.ts";
import type { DeployOperation, Finding, OpenProxyImage } from "../../target.ts";
import { formatConfig } from "../part-configs.ts";
import type { ContainerParts } from "../parts.ts";
import type { StackPaths } from "../stack-paths.ts";
import type { LocalState } from "../state.ts";
import { exposedTcpPorts, planContainers } from "./container-plan.ts";
import type { ContainerConfigs, ImagePlan } from "./container-plan.ts";
import { chooseContainerUser } from "./container-user.ts";
import type { ContainerUser } from "./container-user.ts";
import { ENGINE_NAMES, findEngine, requireEngine } from "./engine.ts";
import type { EngineName } from "./engine.ts";
import { prepareGivenFolders } from "./given-folders.ts";
import { fetchWorkload, findImage, loadImage } from "./images.ts";
import { listContainers, removeContainers } from "./left-containers.ts";
import { ensureNetworks, listNetworks, removeNetworks } from "./networks.ts";

/** What of a plan cannot be done with containers. */
export function checkContainers(plan: ImagePlan): Finding[] {
  const exposed = exposedTcpPorts(plan.workload);
  if (plan.workload.port !== undefined || exposed.length <= 1) return [];
  return [
    {
      check: "workload-port",
      where: "workload.port",
      problem: `the image exposes ${exposed.join(", ")}, and nothing says which of them the proxy is to speak to`,
      hint: "name it under workload.port",
    },
  ];
}

/** The group that sockets and files for the proxy are given to; null: none. */
export function sharedGroup(plan: Plan): number | null {
  return plan.workload.kind === "image" ? thisContainerUser().group : null;
}

/**
 * Makes what the containers of a stack need before they start: networks, folders, images, configuration files.
 *
 * @throws {PolarisError} CONTAINER_ENGINE_FAILED, STATE_UNWRITABLE, STATE_CORRUPT, and as of `openProxyImage`
 */
export async function prepareContainers(
  plan: ImagePlan,
  paths: StackPaths,
  {
    engine,
    state,
    secrets,
    operation,
  }: {
    readonly engine: EngineName;
    readonly state: LocalState;
    readonly secrets: Readonly<Record<string, string>>;
    readonly operation: DeployOperation;
  },
): Promise<ContainerParts> {
  const { signal } = operation;
  const user = thisContainerUser();
  await ensureNetworks(engine, paths.containers.stackId, signal);
  await prepareGivenFolders(plan, paths, user.group);
  await fetchWorkload(engine, plan.workload, signal);
  const proxyImage = await loadImage(engine, await operation.openProxyImage(), signal);
  const configs = planContainers(plan, paths, state, {
    engine,
    proxyImage,
    proxyUser: user.user,
    secretNames: Object.keys(secrets).sort(),
  });
  await makeFolder(paths.containers.folder, 0o700);
  await writeFileAtomic(paths.containers.workloadConfig, formatConfig(configs.workload));
  await writeFileAtomic(paths.containers.proxyConfig, formatConfig(configs.proxy));
  return toParts(configs, operation.engineEnvironment);
}

/** The same for a preview: nothing is made. */
export async function previewContainers(
  plan: ImagePlan,
  paths: StackPaths,
  {
    state,
    secrets,
    openProxyImage,
    signal,
  }: {
    readonly state: LocalState;
    readonly secrets: Readonly<Record<string, string>>;
    readonly openProxyImage: OpenProxyImage;
    readonly signal: AbortSignal;
  },
): Promise<ContainerParts> {
  const { name: engine } = await requireEngine(plan.engine, signal);
  const image: Image = await openProxyImage();
  const configs = planContainers(plan, paths, state, {
    engine,
    proxyImage: (await findImage(engine, image, signal)) ?? image.config.digest,
    proxyUser: thisContainerUser().user,
    secretNames: Object.keys(secrets).sort(),
  });
  return toParts(configs, {});
}

/**
 * Removes what an engine has of a stack.
 *
 * @throws {PolarisError} CONTAINER_ENGINE_FAILED
 */
export async function removeFromEngine(engine: EngineName, stackId: string): Promise<void> {
  await removeContainers(engine, { stackId });
  await removeNetworks(engine, stackId);
}

/**
 * Removes what any engine has of a stack. One that does not answer is passed over, unless it is the one that the stack is
 * known to be in.
 *
 * @param known  the engine of the stack's state; undefined if that is lost
 * @throws {PolarisError} CONTAINER_ENGINE_UNAVAILABLE, CONTAINER_ENGINE_FAILED
 */
export async function removeFromEngines(stackId: string, known: EngineName | undefined): Promise<void> {
  for (const name of ENGINE_NAMES) {
    if ((await findEngine([name])) !== undefined) await removeFromEngine(name, stackId);
    else if (name === known) {
      throw new PolarisError(
        "CONTAINER_ENGINE_UNAVAILABLE",
        `${name} does not answer, and containers of this stack are in it`,
        {
          hint: `does "${name} version" work? Start it, then destroy again`,
        },
      );
    }
  }
}

/** The engines that have anything of a stack. One that does not answer has nothing, as far as anybody can tell. */
export async function findEnginesOf(stackId: string): Promise<EngineName[]> {
  const found: EngineName[] = [];
  for (const name of ENGINE_NAMES) {
    if ((await findEngine([name])) === undefined) continue;
    try {
      const containers = await listContainers(name, { stackId });
      if (containers.length > 0 || (await listNetworks(name, stackId)).length > 0) found.push(name);
    } catch (error) {
      if (!isPolarisError(error)) throw error;
    }
  }
  return found;
}

/** The parts that an engine has containers of; none if it does not answer. */
export async function findContainerParts(engine: EngineName, stackId: string): Promise<string[]> {
  const found: string[] = [];
  for (const part of ["workload", "proxy"]) {
    try {
      if ((await listContainers(engine, { stackId, part })).length > 0) found.push(part);
    } catch (error) {
      if (!isPolarisError(error)) throw error;
    }
  }
  return found;
}

function thisContainerUser(): ContainerUser {
  return chooseContainerUser(process.getuid?.() ?? 0, process.getgid?.() ?? 0);
}

function toParts(
  { workload, proxy }: ContainerConfigs,
  ambient: Readonly<Record<string, string>>,
): ContainerParts {
  return { workloadConfig: formatConfig(workload), proxyConfig: formatConfig(proxy), ambient };
}
