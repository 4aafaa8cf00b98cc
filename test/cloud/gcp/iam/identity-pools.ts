import type { IdentityProvider } from "@polaris-cvm/stacks/local/trust/sts.ts";
import type { JSONWebKeySet } from "jose";
import { GoogleError } from "../google-error.ts";
import type { Project, World } from "../world.ts";
import type { ProviderSettings, TokenRules } from "./provider-settings.ts";
import { type SoftDeletable, SoftDeletedMap } from "./soft-deleted.ts";

export interface Provider extends SoftDeletable {
  readonly pool: Pool;
  settings: ProviderSettings;
  rules: TokenRules;
}

export interface Pool extends SoftDeletable {
  readonly project: Project;
  readonly providers: SoftDeletedMap<Provider>;
  settings: PoolSettings;
}

export interface PoolSettings {
  readonly displayName?: string | undefined;
  readonly description?: string | undefined;
  readonly disabled?: boolean | undefined;
  readonly mode?: string | undefined;
}

/** All workload identity pools of a world: the IAM API changes them, the token exchange obeys them. */
export class IdentityPools {
  readonly #world: World;
  readonly #byProject = new Map<string, SoftDeletedMap<Pool>>();

  constructor(world: World) {
    this.#world = world;
  }

  ofProject({ projectId }: Project): SoftDeletedMap<Pool> {
    const known = this.#byProject.get(projectId);
    if (known !== undefined) return known;
    const pools = new SoftDeletedMap<Pool>(this.#world.now);
    this.#byProject.set(projectId, pools);
    return pools;
  }

  /** By `projects/…/workloadIdentityPools/<id>`, also a deleted one. Throws a `GoogleError` NOT_FOUND. */
  pool(name: string): Pool {
    const pool = this.#findPool(name);
    if (pool === undefined) throw notFound();
    return pool;
  }

  /** By `projects/…/providers/<id>`, also a deleted one. Throws a `GoogleError` NOT_FOUND. */
  provider(name: string): Provider {
    const provider = this.pool(name).providers.get(name.split("/")[7] ?? "");
    if (provider === undefined) throw notFound();
    return provider;
  }

  /** A pool whose tokens count: there, and not disabled. */
  isUsable(name: string): boolean {
    const pool = this.#findPool(name);
    return pool !== undefined && pool.deletedAtMs === undefined && pool.settings.disabled !== true;
  }

  exists(name: string): boolean {
    const pool = this.#findPool(name);
    return pool !== undefined && pool.deletedAtMs === undefined;
  }

  /** The provider that tokens may be exchanged at; undefined if it or its pool is not there or disabled. */
  findForExchange(name: string): IdentityProvider | undefined {
    const provider = this.#findPool(name)?.providers.get(name.split("/")[7] ?? "");
    if (provider === undefined || !this.isUsable(name)) return undefined;
    if (provider.deletedAtMs !== undefined || provider.settings.disabled === true) return undefined;
    return { pool: poolName(provider.pool), id: provider.id, ...provider.rules };
  }

  /** Keys that were uploaded with the provider. */
  findUploadedKeys(name: string): JSONWebKeySet | undefined {
    return this.#findPool(name)?.providers.get(name.split("/")[7] ?? "")?.rules.uploadedKeys;
  }

  #findPool(name: string): Pool | undefined {
    const [, projectName = "", , location, , id = ""] = name.split("/");
    const project = this.#world.findProject(projectName);
    return project === undefined || location !== "global" ? undefined : this.ofProject(project).get(id);
  }
}

/** With the project's number, whatever the caller wrote. */
export function poolName({ project, id }: Pool): string {
  return `projects/${project.projectNumber}/locations/global/workloadIdentityPools/${id}`;
}

export function providerName({ pool, id }: Provider): string {
  return `${poolName(pool)}/providers/${id}`;
}

export function notFound(): GoogleError {
  return new GoogleError("NOT_FOUND", "Requested entity was not found.");
}

export function alreadyExists(): GoogleError {
  return new GoogleError("ALREADY_EXISTS", "Requested entity already exists");
}
