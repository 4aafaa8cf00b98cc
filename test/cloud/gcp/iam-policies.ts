import { createHash } from "node:crypto";
import type { Caller } from "./api.ts";
import { GoogleError } from "./google-error.ts";
import { grants, isRole } from "./roles.ts";

export interface Binding {
  readonly role: string;
  readonly members: readonly string[];
  readonly condition?: unknown;
}

/** google.iam.v1.Policy. */
export interface Policy {
  readonly version: number;
  readonly etag: string;
  readonly bindings?: readonly Binding[];
}

/** Says why a member cannot stand in a policy, for example because its pool does not exist; undefined if it can. */
export type MemberCheck = (member: string) => string | undefined;

const MEMBER =
  /^(allUsers|allAuthenticatedUsers|(user|serviceAccount|group|domain):[^\s:]+|deleted:\S+|(principal|principalSet):\/\/iam\.googleapis\.com\/\S+)$/;
const MAX_MEMBERS = 1500;

/** IAM policies by resource name (`projects/p`, `projects/p/locations/l/keyRings/r`), with etags. */
export class Policies {
  readonly #byResource = new Map<
    string,
    { readonly bindings: readonly Binding[]; readonly revision: number }
  >();
  readonly #memberChecks: MemberCheck[] = [];

  addMemberCheck(check: MemberCheck): void {
    this.#memberChecks.push(check);
  }

  get(resource: string): Policy {
    const stored = this.#byResource.get(resource) ?? { bindings: [], revision: 0 };
    return {
      version: stored.bindings.some((binding) => binding.condition !== undefined) ? 3 : 1,
      etag: etagOf(resource, stored.revision),
      ...(stored.bindings.length === 0 ? {} : { bindings: stored.bindings }),
    };
  }

  /**
   * Replaces a policy. Without an etag it overwrites, as Google does.
   *
   * @throws {GoogleError} ABORTED for a stale etag, INVALID_ARGUMENT for an unknown role or member
   */
  set(
    resource: string,
    policy: { readonly etag?: string; readonly bindings?: readonly Partial<Binding>[] },
  ): Policy {
    const revision = this.#byResource.get(resource)?.revision ?? 0;
    if (policy.etag !== undefined && policy.etag !== etagOf(resource, revision)) {
      throw new GoogleError(
        "ABORTED",
        "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.",
        { reason: "aborted" },
      );
    }
    const bindings = (policy.bindings ?? []).flatMap((binding) => this.#check(binding));
    if (bindings.reduce((sum, { members }) => sum + members.length, 0) > MAX_MEMBERS) {
      throw new GoogleError("INVALID_ARGUMENT", `The policy has more than ${MAX_MEMBERS} members.`);
    }
    this.#byResource.set(resource, { bindings, revision: revision + 1 });
    return this.get(resource);
  }

  /** Adds a member without an etag: for the seed of a world. */
  grant(resource: string, role: string, member: string): void {
    this.set(resource, { bindings: [...(this.get(resource).bindings ?? []), { role, members: [member] }] });
  }

  /** Forgets the policies of a resource that is gone, and of all below it. */
  remove(resource: string): void {
    for (const name of this.#byResource.keys()) {
      if (name === resource || name.startsWith(`${resource}/`)) this.#byResource.delete(name);
    }
  }

  /** Whether the caller has the permission by a policy of the resource or of one above it. Conditions grant nothing. */
  allow(caller: Caller, permission: string, resource: string): boolean {
    const isMember = (member: string): boolean =>
      member === caller.member ||
      caller.memberships.includes(member) ||
      member === "allUsers" ||
      (member === "allAuthenticatedUsers" && caller.member !== "allUsers");
    const segments = resource.split("/");
    for (let count = segments.length; count >= 2; count -= 1) {
      const { bindings } = this.#byResource.get(segments.slice(0, count).join("/")) ?? { bindings: [] };
      for (const { role, members, condition } of bindings) {
        if (condition === undefined && grants(role, permission) && members.some(isMember)) return true;
      }
    }
    return false;
  }

  #check({ role, members = [], condition }: Partial<Binding>): readonly Binding[] {
    if (role === undefined || !isRole(role)) {
      throw new GoogleError("INVALID_ARGUMENT", `Role ${role ?? ""} is not supported for this resource.`, {
        reason: "badRequest",
      });
    }
    for (const member of members) {
      if (!MEMBER.test(member)) {
        throw new GoogleError("INVALID_ARGUMENT", `The member ${member} is of an unknown type.`, {
          reason: "badRequest",
        });
      }
      for (const check of this.#memberChecks) {
        const refusal = check(member);
        if (refusal !== undefined)
          throw new GoogleError("INVALID_ARGUMENT", refusal, { reason: "badRequest" });
      }
    }
    if (members.length === 0) return [];
    return [{ role, members: [...new Set(members)], ...(condition === undefined ? {} : { condition }) }];
  }
}

function etagOf(resource: string, revision: number): string {
  return createHash("sha256").update(`${resource} ${revision}`).digest("base64").slice(0, 11).concat("=");
}
