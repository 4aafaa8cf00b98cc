import { GoogleError } from "../google-error.ts";
import type { World } from "../world.ts";

export interface Repository {
  /** With the project's id. */
  readonly name: string;
  readonly projectId: string;
  readonly location: string;
  readonly id: string;
  readonly createdAtMs: number;
  updatedAtMs: number;
  isMade: boolean;
  description: string;
  labels: Readonly<Record<string, string>>;
  cleanupPolicies: Readonly<Record<string, unknown>>;
  immutableTags: boolean;
}

/** Docker repositories of a world. */
export class Repositories {
  readonly #world: World;
  readonly #byName = new Map<string, Repository>();

  constructor(world: World) {
    this.#world = world;
  }

  /** Throws a `GoogleError` ALREADY_EXISTS, also for one that is being made. */
  add(repository: Repository): void {
    if (this.#byName.has(repository.name)) {
      throw new GoogleError("ALREADY_EXISTS", "the repository already exists");
    }
    this.#byName.set(repository.name, repository);
  }

  remove({ name }: Repository): void {
    this.#byName.delete(name);
    this.#world.policies.remove(name);
  }

  /** Throws a `GoogleError` NOT_FOUND. */
  get(name: string): Repository {
    const repository = this.#byName.get(this.#world.canonicalName(name));
    if (repository?.isMade !== true) {
      throw new GoogleError("NOT_FOUND", "Requested entity was not found.");
    }
    return repository;
  }

  below(parent: string): readonly Repository[] {
    const prefix = `${this.#world.canonicalName(parent)}/repositories/`;
    return [...this.#byName.values()].filter(({ name, isMade }) => isMade && name.startsWith(prefix));
  }

  /** For the registry, whose addresses name project and repository: `/v2/<project>/<repository>/<image>/…`. */
  findByPath(projectId: string, id: string): Repository | undefined {
    return [...this.#byName.values()].find(
      (repository) => repository.isMade && repository.projectId === projectId && repository.id === id,
    );
  }
}
