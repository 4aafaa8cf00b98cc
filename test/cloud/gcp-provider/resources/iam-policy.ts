/** IAM policies are changed by reading them, changing a copy, and writing it back. */
import type { Cloud } from "../cloud.ts";
import { fieldsOf, isEmpty, isSame, listOf, omitEmpty, textOf, textsOf } from "../fields.ts";
import type { Fields } from "../fields.ts";
import { during, GoogleRequestError } from "../google-error.ts";

/** The resource that a policy belongs to. */
export interface PolicyTarget {
  /** `KMS CryptoKey "projects/…"` */
  readonly describe: string;
  read(): Promise<Fields>;
  write(policy: Fields): Promise<unknown>;
}

export interface Grant {
  readonly role: string;
  readonly member: string;
  /** `{title, description, expression}`, or an empty object. */
  readonly condition: Fields;
}

/** The real provider's waits after a conflict, in seconds; ours are shorter. */
const CONFLICT_WAITS = [1, 2, 4, 8, 16];

/** Looks at a policy after it was written, before anything relies on it. The real provider waits a second before each. */
const LOOKS_AFTER_WRITE = 3;

/** @throws {Error} as the real provider words it: with the resource, and with Google's last answer */
export async function changePolicy(
  cloud: Cloud,
  target: PolicyTarget,
  change: (bindings: readonly Fields[]) => readonly Fields[],
): Promise<void> {
  await cloud.turns.take(target.describe, async () => {
    let latest: unknown;
    for (const wait of CONFLICT_WAITS) {
      const policy = await readPolicy(target);
      const next = omitEmpty({
        ...policy,
        bindings: sortBindings(change(listOf(policy["bindings"]).map(fieldsOf))),
        version: 3,
      });
      try {
        await during(`Error setting IAM policy for ${target.describe}`, () => target.write(next));
        for (let look = 0; look < LOOKS_AFTER_WRITE; look++) await readPolicy(target);
        return;
      } catch (error) {
        const isConflict = error instanceof GoogleRequestError && error.httpStatus === 409;
        if (!isConflict)
          return await during(`Error applying IAM policy for ${target.describe}`, () =>
            Promise.reject(error as Error),
          );
        latest = error;
      }
      await cloud.pause(wait * cloud.retryUnitMs);
    }
    const text = latest instanceof Error ? latest.message : "";
    throw new Error(
      `Error applying IAM policy for ${target.describe}: Too many conflicts.  Latest error: ${text}`,
    );
  });
}

export function readPolicy(target: PolicyTarget): Promise<Fields> {
  return during(`Error retrieving IAM policy for ${target.describe}`, () => target.read());
}

export function addGrant(bindings: readonly Fields[], grant: Grant): readonly Fields[] {
  const others = bindings.filter((binding) => !isFor(binding, grant));
  const members = bindings
    .filter((binding) => isFor(binding, grant))
    .flatMap(({ members }) => textsOf(members));
  const all = [...new Set([...members, grant.member])].sort();
  return [...others, omitEmpty({ role: grant.role, members: all, condition: grant.condition })];
}

export function removeGrant(bindings: readonly Fields[], grant: Grant): readonly Fields[] {
  return bindings
    .map((binding) =>
      isFor(binding, grant)
        ? { ...binding, members: textsOf(binding["members"]).filter((member) => member !== grant.member) }
        : binding,
    )
    .filter(({ members }) => !isEmpty(members));
}

export function hasGrant(policy: Fields, grant: Grant): boolean {
  return listOf(policy["bindings"])
    .map(fieldsOf)
    .some((binding) => isFor(binding, grant) && textsOf(binding["members"]).includes(grant.member));
}

function isFor(binding: Fields, grant: Grant): boolean {
  return (
    binding["role"] === grant.role &&
    isSame(omitEmpty(fieldsOf(binding["condition"])), omitEmpty(grant.condition))
  );
}

function sortBindings(bindings: readonly Fields[]): readonly Fields[] {
  return [...bindings].sort((a, b) => (textOf(a["role"]) < textOf(b["role"]) ? -1 : 1));
}
