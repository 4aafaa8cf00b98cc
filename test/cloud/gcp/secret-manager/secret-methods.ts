import * as z from "zod";
import type { Handler } from "../api.ts";
import { GoogleError } from "../google-error.ts";
import { checkLabels } from "../resource-labels.ts";
import { maskFields } from "../update-mask.ts";
import type { World } from "../world.ts";
import { etagOf, type Secret, type Secrets } from "./secrets.ts";

const METHODS = "secretmanager.projects.secrets";
const SECRET_ID = /^[a-zA-Z0-9_-]{1,255}$/;

const secretSchema = z.object({
  labels: z.record(z.string(), z.string()).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
  etag: z.string().optional(),
  replication: z
    .object({ automatic: z.unknown().optional(), userManaged: z.unknown().optional() })
    .optional(),
});

export function secretMethods(world: World, secrets: Secrets): Readonly<Record<string, Handler>> {
  return {
    [`${METHODS}.create`]: ({ params, query, body, caller }) => {
      const parent = params["parent"] ?? "";
      world.requirePermission(caller, "secretmanager.secrets.create", parent);
      const id = query.get("secretId") ?? "";
      if (!SECRET_ID.test(id)) {
        throw new GoogleError(
          "INVALID_ARGUMENT",
          `The secret id must match [a-zA-Z0-9_-]{1,255}, got "${id.slice(0, 100)}".`,
        );
      }
      const { labels = {}, annotations = {}, replication } = secretSchema.parse(body);
      if ((replication?.automatic === undefined) === (replication?.userManaged === undefined)) {
        throw new GoogleError(
          "INVALID_ARGUMENT",
          "Secret.replication must be set, to automatic or to userManaged.",
        );
      }
      checkLabels(labels);
      const secret: Secret = {
        name: `${secrets.nameOf(parent)}/secrets/${id}`,
        createdAtMs: world.now(),
        replication,
        labels,
        annotations,
        revision: 0,
        versions: [],
      };
      secrets.add(secret);
      return toJson(secret);
    },
    [`${METHODS}.get`]: ({ params, caller }) => {
      const name = params["name"] ?? "";
      world.requirePermission(caller, "secretmanager.secrets.get", name);
      return toJson(secrets.secret(name));
    },
    [`${METHODS}.list`]: ({ params, caller }) => {
      const parent = params["parent"] ?? "";
      world.requirePermission(caller, "secretmanager.secrets.list", parent);
      const found = secrets.ofProject(parent);
      return found.length === 0 ? {} : { secrets: found.map(toJson), totalSize: found.length };
    },
    [`${METHODS}.patch`]: ({ params, query, body, caller }) => {
      const name = params["name"] ?? "";
      world.requirePermission(caller, "secretmanager.secrets.update", name);
      const secret = secrets.secret(name);
      const asked = secretSchema.parse(body);
      requireEtag(secret, asked.etag);
      checkLabels(asked.labels ?? {});
      for (const field of maskFields(query.get("updateMask") ?? "")) {
        if (field === "labels") secret.labels = asked.labels ?? {};
        else if (field === "annotations") secret.annotations = asked.annotations ?? {};
        else {
          throw new GoogleError("INVALID_ARGUMENT", `The field ${field} of a secret cannot be updated.`);
        }
      }
      secret.revision += 1;
      return toJson(secret);
    },
    [`${METHODS}.delete`]: ({ params, query, caller }) => {
      const name = params["name"] ?? "";
      world.requirePermission(caller, "secretmanager.secrets.delete", name);
      const secret = secrets.secret(name);
      requireEtag(secret, query.get("etag") ?? undefined);
      secrets.remove(secret);
      return {};
    },
  };
}

function requireEtag(secret: Secret, etag: string | undefined): void {
  if (etag === undefined || etag === etagOf(secret.name, secret.revision)) return;
  throw new GoogleError(
    "FAILED_PRECONDITION",
    `The etag provided in the request does not match the current etag of [${secret.name}].`,
  );
}

function toJson(secret: Secret): unknown {
  return {
    name: secret.name,
    createTime: new Date(secret.createdAtMs).toISOString(),
    replication: secret.replication,
    etag: etagOf(secret.name, secret.revision),
    ...(Object.keys(secret.labels).length === 0 ? {} : { labels: secret.labels }),
    ...(Object.keys(secret.annotations).length === 0 ? {} : { annotations: secret.annotations }),
  };
}
