import type { Call } from "../api.ts";
import { GoogleError } from "../google-error.ts";
import type { Project } from "../world.ts";
import { invalidValue, required } from "./compute-errors.ts";
import type { ComputeState } from "./compute-state.ts";
import type { InstanceBody } from "./instance-body.ts";

/** @throws {GoogleError} PERMISSION_DENIED if the caller may not act as the account */
export function requireServiceAccount(
  state: ComputeState,
  call: Call,
  project: Project,
  { serviceAccounts = [] }: InstanceBody,
): { readonly email: string; readonly scopes: readonly string[] } | undefined {
  const [account, ...more] = serviceAccounts;
  if (account === undefined) return undefined;
  const field = "resource.serviceAccounts";
  if (more.length > 0)
    throw invalidValue(field, serviceAccounts.length, "At most one service account is allowed.");
  const given = account.email ?? "default";
  const email =
    given === "default" ? `${project.projectNumber}-compute@developer.gserviceaccount.com` : given;
  const { scopes = [] } = account;
  if (scopes.length === 0) throw required(`${field}[0].scopes`);
  const wrong = scopes.find((scope) => !scope.startsWith("https://www.googleapis.com/auth/"));
  if (wrong !== undefined) throw invalidValue(`${field}[0].scopes`, wrong, "The scope is unknown.");
  requireActAs(state, call, email);
  return { email, scopes };
}

export function requireActAs(state: ComputeState, call: Call, email: string): void {
  const account = state.world.serviceAccounts.get(email);
  // What does not exist fails later, in the operation.
  if (account === undefined) return;
  const resource = `projects/${account.projectId}/serviceAccounts/${email}`;
  state.world.requirePermission(call.caller, "iam.serviceAccounts.actAs", resource, () => {
    const user = call.caller.member.replace(/^\w+:/, "");
    return new GoogleError(
      "PERMISSION_DENIED",
      `The user does not have access to service account '${email}'.  User: '${user}'.  Ask a project owner to grant ` +
        "you the iam.serviceAccountUser role on the service account",
      { reason: "forbidden" },
    );
  });
}
