import { randomInt } from "node:crypto";
import * as z from "zod";
import type { Call, Handler } from "../api.ts";
import { GoogleError } from "../google-error.ts";
import { policyMethods } from "../iam-policy-methods.ts";
import type { Project, World } from "../world.ts";

export interface ServiceAccountsOptions {
  /** How many reads of a new account find nothing: IAM is eventually consistent. */
  readonly invisibleReads: number;
}

interface Account {
  readonly project: Project;
  readonly accountId: string;
  readonly email: string;
  readonly uniqueId: string;
  displayName: string;
  description: string;
  disabled: boolean;
  revision: number;
  readsUntilVisible: number;
}

const METHODS = "iam.projects.serviceAccounts";
const ACCOUNT_ID = /^[a-z](?:[-a-z0-9]{4,28}[a-z0-9])$/;
const MAX_DISPLAY_NAME_BYTES = 100;
const MAX_DESCRIPTION_BYTES = 256;

const accountSchema = z.object({
  displayName: z.string().optional(),
  description: z.string().optional(),
  etag: z.string().optional(),
});
const createSchema = z.object({
  accountId: z.string().default(""),
  serviceAccount: accountSchema.default({}),
});
const patchSchema = z.object({
  serviceAccount: accountSchema.default({}),
  updateMask: z.string().default(""),
});

/** Service accounts of the IAM API. Those of other APIs' interest are in `world.serviceAccounts` too. */
export function serviceAccountMethods(
  world: World,
  options: ServiceAccountsOptions,
): Readonly<Record<string, Handler>> {
  const accounts = new Map<string, Account>();

  const find = (name: string): Account => {
    const [, , , id = ""] = name.split("/");
    const account = accounts.get(id) ?? [...accounts.values()].find(({ uniqueId }) => uniqueId === id);
    if (account === undefined) throw notFound(id);
    return account;
  };
  const requireOn = (call: Call, verb: string): Account => {
    const name = call.params["name"] ?? "";
    world.requirePermission(call.caller, `iam.serviceAccounts.${verb}`, nameInItsProject(name));
    return find(name);
  };
  /** `projects/-/serviceAccounts/a@p.iam…` is the account of its own project. */
  const nameInItsProject = (name: string): string => {
    const [, project, , id = ""] = name.split("/");
    const account = accounts.get(id);
    return project === "-" && account !== undefined ? resourceName(account) : name;
  };
  const setDisabled = (call: Call, disabled: boolean): unknown => {
    const account = requireOn(call, disabled ? "disable" : "enable");
    account.disabled = disabled;
    const known = world.serviceAccounts.get(account.email);
    if (known !== undefined) known.disabled = disabled;
    return {};
  };

  return {
    [`${METHODS}.create`]: ({ params, body, caller }) => {
      const project = world.project(params["projectsId"] ?? "");
      world.requirePermission(caller, "iam.serviceAccounts.create", `projects/${project.projectId}`);
      const { accountId, serviceAccount } = createSchema.parse(body);
      if (!ACCOUNT_ID.test(accountId)) {
        throw new GoogleError(
          "INVALID_ARGUMENT",
          `Service account IDs must be 6 to 30 lower case letters, digits and dashes and begin with a letter: ${accountId}.`,
        );
      }
      checkTexts(serviceAccount);
      if (isEnforced(project, "iam.disableServiceAccountCreation")) {
        throw new GoogleError(
          "FAILED_PRECONDITION",
          "Service account creation is not allowed on this project.",
        );
      }
      const email = `${accountId}@${project.projectId}.iam.gserviceaccount.com`;
      if (accounts.has(email)) {
        throw new GoogleError(
          "ALREADY_EXISTS",
          `Service account ${accountId} already exists within project projects/${project.projectId}.`,
        );
      }
      const account: Account = {
        project,
        accountId,
        email,
        uniqueId: `1${Array.from({ length: 20 }, () => randomInt(10)).join("")}`,
        displayName: serviceAccount.displayName ?? "",
        description: serviceAccount.description ?? "",
        disabled: false,
        revision: 0,
        readsUntilVisible: options.invisibleReads,
      };
      accounts.set(email, account);
      world.serviceAccounts.set(email, {
        email,
        projectId: project.projectId,
        uniqueId: account.uniqueId,
        disabled: false,
      });
      return toJson(account);
    },
    [`${METHODS}.get`]: (call) => {
      const account = requireOn(call, "get");
      if (account.readsUntilVisible > 0) {
        account.readsUntilVisible -= 1;
        throw notFound(account.email);
      }
      return toJson(account);
    },
    [`${METHODS}.list`]: ({ params, caller }) => {
      const project = world.project(params["projectsId"] ?? "");
      world.requirePermission(caller, "iam.serviceAccounts.list", `projects/${project.projectId}`);
      const own = [...accounts.values()].filter((account) => account.project === project);
      return own.length === 0 ? {} : { accounts: own.map(toJson) };
    },
    [`${METHODS}.patch`]: (call) => {
      const account = requireOn(call, "update");
      const { serviceAccount, updateMask } = patchSchema.parse(call.body);
      checkTexts(serviceAccount);
      if (serviceAccount.etag !== undefined && serviceAccount.etag !== etagOf(account)) {
        throw new GoogleError(
          "ABORTED",
          "There were concurrent changes to the service account. Please retry with the current etag.",
        );
      }
      for (const field of updateMask.split(",").filter((name) => name !== "")) {
        if (field === "display_name" || field === "displayName") {
          account.displayName = serviceAccount.displayName ?? "";
        } else if (field === "description") {
          account.description = serviceAccount.description ?? "";
        } else {
          throw new GoogleError("INVALID_ARGUMENT", `Invalid field mask: ${field} cannot be updated.`);
        }
      }
      account.revision += 1;
      return toJson(account);
    },
    [`${METHODS}.delete`]: (call) => {
      const account = requireOn(call, "delete");
      accounts.delete(account.email);
      world.serviceAccounts.delete(account.email);
      world.policies.remove(resourceName(account));
      return {};
    },
    [`${METHODS}.disable`]: (call) => setDisabled(call, true),
    [`${METHODS}.enable`]: (call) => setDisabled(call, false),
    ...policyMethods(world, {
      methods: METHODS,
      permissions: "iam.serviceAccounts",
      find: (name) => resourceName(find(name)),
    }),
  };
}

function resourceName({ project, email }: Account): string {
  return `projects/${project.projectId}/serviceAccounts/${email}`;
}

function toJson(account: Account): unknown {
  return {
    name: resourceName(account),
    projectId: account.project.projectId,
    uniqueId: account.uniqueId,
    email: account.email,
    etag: etagOf(account),
    oauth2ClientId: account.uniqueId,
    ...(account.displayName === "" ? {} : { displayName: account.displayName }),
    ...(account.description === "" ? {} : { description: account.description }),
    ...(account.disabled ? { disabled: true } : {}),
  };
}

function etagOf({ uniqueId, revision }: Account): string {
  return Buffer.from(`${uniqueId.slice(-6)}${revision}`).toString("base64");
}

function checkTexts({ displayName = "", description = "" }: z.infer<typeof accountSchema>): void {
  if (Buffer.byteLength(displayName) > MAX_DISPLAY_NAME_BYTES) {
    throw new GoogleError(
      "INVALID_ARGUMENT",
      `The display name must have at most ${MAX_DISPLAY_NAME_BYTES} bytes.`,
    );
  }
  if (Buffer.byteLength(description) > MAX_DESCRIPTION_BYTES) {
    throw new GoogleError(
      "INVALID_ARGUMENT",
      `The description must have at most ${MAX_DESCRIPTION_BYTES} bytes.`,
    );
  }
}

function isEnforced(project: Project, constraint: string): boolean {
  const policy = project.orgPolicies.get(constraint);
  return policy !== undefined && "enforce" in policy && policy.enforce;
}

function notFound(id: string): GoogleError {
  const what = id.includes("@") ? `Service account ${id}` : `Unknown service account ${id}`;
  return new GoogleError("NOT_FOUND", `${what} does not exist.`);
}
