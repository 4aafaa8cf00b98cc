import type { Caller } from "./api.ts";
import { errorInfo, GoogleError, permissionDenied } from "./google-error.ts";
import { Policies } from "./iam-policies.ts";
import type { Pace } from "./operations.ts";

/** What an organization policy says in a project; a constraint that is absent allows everything. */
export type OrgPolicy =
  | { readonly enforce: boolean }
  | { readonly allowAll: true }
  | { readonly denyAll: true }
  | { readonly allowedValues: readonly string[] };

export interface Project {
  readonly projectId: string;
  /** Decimal. */
  readonly projectNumber: string;
  readonly displayName: string;
  state: "ACTIVE" | "DELETE_REQUESTED";
  /** `billingAccounts/…`, or empty. */
  billingAccount: string;
  /** `compute.googleapis.com`, … */
  readonly enabledServices: Set<string>;
  /** By constraint, for example `compute.vmExternalIpAccess`. */
  readonly orgPolicies: Map<string, OrgPolicy>;
  /** Limits by `region/METRIC`, for example `us-central1/N2D_CPUS`; others have the default. */
  readonly quotas: Map<string, number>;
}

/** What other APIs must know of a service account; the IAM API keeps the rest. */
export interface ServiceAccount {
  readonly email: string;
  readonly projectId: string;
  readonly uniqueId: string;
  disabled: boolean;
}

export interface RequestRecord {
  readonly methodId: string;
  readonly httpMethod: string;
  readonly path: string;
  readonly member: string;
  readonly status: number;
}

/** What happens to instances, for whoever boots machines. */
export interface InstanceEvent {
  readonly kind: "created" | "started" | "reset" | "stopped" | "deleted" | "metadata";
  readonly projectId: string;
  readonly zone: string;
  readonly name: string;
  /** Decimal, as in `Instance.id`. */
  readonly instanceId: string;
  readonly serviceAccount: string | undefined;
  /** Metadata items: `user-data` is the cloud-config. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly externalAddress: string | undefined;
  readonly confidentialInstanceType: string | undefined;
  readonly secureBoot: boolean;
}

export interface WorldOptions {
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** How long operations take. */
  readonly pace?: Pace;
}

const DEFAULT_PACE: Pace = { polls: 2, maxMs: 1000 };

/** Everything that the APIs know together. One world is one Google Cloud. */
export class World {
  readonly now: () => number;
  readonly pace: Pace;
  readonly policies = new Policies();
  /** By e-mail address. */
  readonly serviceAccounts = new Map<string, ServiceAccount>();
  /** Every request that was answered, in order. */
  readonly requests: RequestRecord[] = [];
  /** Zones without machines to give; changes at any time. */
  readonly exhaustedZones = new Set<string>();
  /** What machines wrote to their serial port, by instance id. */
  readonly serialOutput = new Map<string, string>();
  /** Projects of others that everybody may read images of. */
  readonly publicProjects = new Set([
    "cos-cloud",
    "confidential-space-images",
    "ubuntu-os-cloud",
    "debian-cloud",
  ]);
  readonly #projects = new Map<string, Project>();
  readonly #tokens = new Map<string, Caller>();
  readonly #authenticators: ((token: string) => Caller | undefined | Promise<Caller | undefined>)[] = [];
  readonly #failures = new Map<string, GoogleError[]>();
  readonly #instanceListeners: ((event: InstanceEvent) => void)[] = [];
  readonly #settlers: (() => void)[] = [];

  constructor(options: WorldOptions = {}) {
    this.now = options.now ?? Date.now;
    this.pace = options.pace ?? DEFAULT_PACE;
  }

  addProject(seed: {
    readonly projectId: string;
    readonly projectNumber: string;
    readonly billingAccount?: string;
    readonly enabledServices?: readonly string[];
  }): Project {
    const project: Project = {
      projectId: seed.projectId,
      projectNumber: seed.projectNumber,
      displayName: seed.projectId,
      state: "ACTIVE",
      billingAccount: seed.billingAccount ?? "billingAccounts/01ABCD-234567-89EF01",
      enabledServices: new Set(seed.enabledServices),
      orgPolicies: new Map(),
      quotas: new Map(),
    };
    this.#projects.set(project.projectId, project);
    return project;
  }

  /** By id or by number. */
  findProject(idOrNumber: string): Project | undefined {
    const byId = this.#projects.get(idOrNumber);
    return byId ?? [...this.#projects.values()].find(({ projectNumber }) => projectNumber === idOrNumber);
  }

  /** @throws {GoogleError} PERMISSION_DENIED, which is what Google says of projects that do not exist */
  project(idOrNumber: string): Project {
    const project = this.findProject(idOrNumber);
    if (project === undefined) throw this.unknownProject(idOrNumber);
    return project;
  }

  unknownProject(idOrNumber: string): GoogleError {
    return new GoogleError("PERMISSION_DENIED", `Permission denied on resource project ${idOrNumber}.`, {
      reason: "forbidden",
      details: [errorInfo("CONSUMER_INVALID", "googleapis.com", { consumer: `projects/${idOrNumber}` })],
    });
  }

  /** A resource name with the project's id where the caller wrote its number: the key of stored things. */
  canonicalName(name: string): string {
    const [collection, project = "", ...rest] = name.split("/");
    if (collection !== "projects") return name;
    return ["projects", this.findProject(project)?.projectId ?? project, ...rest].join("/");
  }

  addToken(token: string, caller: Caller): void {
    this.#tokens.set(token, caller);
  }

  /** Somebody else who issues tokens: gives the caller of a token, or undefined if it is not one of its own. */
  addAuthenticator(find: (token: string) => Caller | undefined | Promise<Caller | undefined>): void {
    this.#authenticators.push(find);
  }

  async authenticate(token: string): Promise<Caller | undefined> {
    const known = this.#tokens.get(token);
    if (known !== undefined) return known;
    for (const find of this.#authenticators) {
      const caller = await find(token);
      if (caller !== undefined) return caller;
    }
    return undefined;
  }

  hasPermission(caller: Caller, permission: string, resource: string): boolean {
    return this.policies.allow(caller, permission, this.canonicalName(resource));
  }

  /**
   * @param resource for example `projects/p/locations/l/keyRings/r`; policies of what stands above it count too
   * @param refuse the error in the API's own words, where they differ from the usual ones
   * @throws {GoogleError} PERMISSION_DENIED
   */
  requirePermission(caller: Caller, permission: string, resource: string, refuse?: () => GoogleError): void {
    if (this.hasPermission(caller, permission, resource)) return;
    const service = `${permission.slice(0, permission.indexOf("."))}.googleapis.com`;
    throw refuse?.() ?? permissionDenied(service, permission, resource);
  }

  /** Makes the next calls of a method fail, before its handler sees them. */
  failNext(methodId: string, error: GoogleError, times = 1): void {
    const queued = this.#failures.get(methodId) ?? [];
    this.#failures.set(methodId, [...queued, ...Array.from({ length: times }, () => error)]);
  }

  takeFailure(methodId: string): GoogleError | undefined {
    return this.#failures.get(methodId)?.shift();
  }

  onInstance(listener: (event: InstanceEvent) => void): void {
    this.#instanceListeners.push(listener);
  }

  emitInstance(event: InstanceEvent): void {
    for (const listener of this.#instanceListeners) listener(event);
  }

  /** Registers what finishes work whose time is over; called before every request and now and then. */
  onSettle(settle: () => void): void {
    this.#settlers.push(settle);
  }

  settle(): void {
    for (const settle of this.#settlers) settle();
  }
}
