import type { Call } from "../api.ts";
import type { Project, World } from "../world.ts";
import { findZone, regionNames } from "./catalog.ts";
import { ComputeOperations, timestamp } from "./compute-operations.ts";
import { forbidden, invalidValue, notFound } from "./compute-errors.ts";
import type { AddressJson } from "./addresses.ts";
import type { DiskJson } from "./disks.ts";
import type { FirewallJson } from "./firewalls.ts";
import type { InstanceJson } from "./instance.ts";
import { pathOf } from "./links.ts";
import type { NetworkJson } from "./networks.ts";
import { requireLocation } from "./org-constraints.ts";
import type { RouterJson } from "./routers.ts";
import { Collection, type Entry } from "./store.ts";
import type { SubnetworkJson } from "./subnetworks.ts";

/** What a request is about: the project, and below it the place. */
export interface Scope {
  readonly project: Project;
  /** For example `projects/p/zones/z`. */
  readonly prefix: string;
}

/** All resources of compute in one world, and what their methods share. */
export class ComputeState {
  readonly world: World;
  readonly operations: ComputeOperations;
  readonly networks = new Collection<NetworkJson>();
  readonly subnetworks = new Collection<SubnetworkJson>();
  readonly firewalls = new Collection<FirewallJson>();
  readonly addresses = new Collection<AddressJson>();
  readonly routers = new Collection<RouterJson>();
  readonly disks = new Collection<DiskJson>();
  readonly instances = new Collection<InstanceJson>();
  #nextExternal = 0;

  constructor(world: World) {
    this.world = world;
    this.operations = new ComputeOperations(world);
  }

  /** @throws {GoogleError} INVALID_ARGUMENT for a zone or region that does not exist */
  scope(call: Call): Scope {
    const project = this.world.project(call.params["project"] ?? "");
    const { zone, region } = call.params;
    const base = `projects/${project.projectId}`;
    if (zone !== undefined) {
      if (findZone(zone) === undefined) throw invalidValue("zone", zone, "Unknown zone.");
      return { project, prefix: `${base}/zones/${zone}` };
    }
    if (region !== undefined) {
      if (!regionNames().includes(region)) throw invalidValue("region", region, "Unknown region.");
      return { project, prefix: `${base}/regions/${region}` };
    }
    return { project, prefix: `${base}/global` };
  }

  /** @throws {GoogleError} PERMISSION_DENIED */
  require(call: Call, permission: string, path: string): void {
    this.world.requirePermission(call.caller, permission, path, () => forbidden(permission, path));
  }

  /**
   * A resource that another one names.
   *
   * @throws {GoogleError} INVALID_ARGUMENT if it is not there
   */
  referenced<Json>(
    collection: Collection<Json>,
    reference: string,
    { project }: Scope,
    field: string,
  ): Entry<Json> {
    const path = pathOf(reference, project.projectId);
    const entry = path === undefined ? undefined : collection.find(this.world.canonicalName(path));
    if (entry !== undefined) return entry;
    const kind = /\/(networks|subnetworks|addresses)\/[^/]+$/.exec(reference)?.[1];
    if (path === undefined || kind === undefined) {
      throw invalidValue(field, reference, "The URL is malformed.");
    }
    const noun = kind === "addresses" ? "address" : kind.slice(0, -1);
    throw invalidValue(field, reference, `The referenced ${noun} resource cannot be found.`);
  }

  /** Makes a resource by an operation: its name is taken at once, and it is there when the operation is done. */
  insert<Json>(
    call: Call,
    collection: Collection<Json>,
    path: string,
    create: (id: string) => Json,
  ): unknown {
    const { project } = this.scope(call);
    const location = call.params["region"] ?? call.params["zone"];
    if (location !== undefined) requireLocation(project, location, path);
    const entry = collection.add(path, create);
    return this.operations.begin(call, {
      type: "insert",
      target: path,
      targetId: entry.id,
      finish: () => {
        entry.isVisible = true;
        entry.isBusy = false;
      },
    });
  }

  /** Changes a resource by an operation. */
  change<Json>(call: Call, entry: Entry<Json>, type: string, finish: () => void): unknown {
    entry.isBusy = true;
    return this.operations.begin(call, {
      type,
      target: entry.path,
      targetId: entry.id,
      finish: () => {
        entry.isBusy = false;
        finish();
      },
    });
  }

  remove<Json>(call: Call, collection: Collection<Json>, entry: Entry<Json>): unknown {
    return this.change(call, entry, "delete", () => collection.remove(entry.path));
  }

  /** One resource as the path of the request names it. @throws {GoogleError} NOT_FOUND */
  named<Json>(
    call: Call,
    collection: Collection<Json>,
    collectionName: string,
    parameter: string,
  ): Entry<Json> {
    const path = `${this.scope(call).prefix}/${collectionName}/${call.params[parameter] ?? ""}`;
    const entry = collection.find(path);
    if (entry === undefined) throw notFound(path);
    return entry;
  }

  /** An external address that nobody has. Documentation range of RFC 5737, so that no test reaches anybody. */
  newExternalAddress(): string {
    this.#nextExternal += 1;
    return `203.0.113.${(this.#nextExternal % 254) + 1}`;
  }

  timestamp(): string {
    return timestamp(this.world.now());
  }
}
