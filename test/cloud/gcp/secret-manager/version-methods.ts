import { crc32c } from "@polaris-cvm/stacks/local/trust/crc32c.ts";
import * as z from "zod";
import type { Call, Handler } from "../api.ts";
import { GoogleError } from "../google-error.ts";
import type { World } from "../world.ts";
import { etagOf, type Secret, type Secrets, type SecretVersion } from "./secrets.ts";

const METHODS = "secretmanager.projects.secrets";
const MAX_PAYLOAD_BYTES = 64 * 1024;

const addSchema = z.object({
  payload: z.object({ data: z.string().default(""), dataCrc32c: z.string().optional() }).optional(),
});
const etagSchema = z.object({ etag: z.string().optional() });

export function secretVersionMethods(world: World, secrets: Secrets): Readonly<Record<string, Handler>> {
  const requireVersion = (call: Call, verb: string): { secret: Secret; version: SecretVersion } => {
    const name = call.params["name"] ?? "";
    world.requirePermission(call.caller, `secretmanager.versions.${verb}`, name);
    return { secret: secrets.secret(name), version: secrets.version(name) };
  };
  const change = (call: Call, verb: string, state: SecretVersion["state"]): unknown => {
    const { secret, version } = requireVersion(call, verb);
    const { etag } = etagSchema.parse(call.body);
    if (etag !== undefined && etag !== etagOf(versionName(secret, version), version.revision)) {
      throw new GoogleError("FAILED_PRECONDITION", "The etag provided in the request does not match.");
    }
    if (version.state === "DESTROYED") throw inState(secret, version);
    version.state = state;
    version.revision += 1;
    if (state === "DESTROYED") {
      version.data = undefined;
      version.destroyedAtMs = world.now();
    }
    return toJson(secret, version);
  };
  return {
    [`${METHODS}.addVersion`]: ({ params, body, caller }) => {
      const name = params["parent"] ?? "";
      world.requirePermission(caller, "secretmanager.versions.add", name);
      const secret = secrets.secret(name);
      const { payload } = addSchema.parse(body);
      const data = Buffer.from(payload?.data ?? "", "base64");
      if (payload === undefined || data.length > MAX_PAYLOAD_BYTES) {
        throw new GoogleError(
          "INVALID_ARGUMENT",
          `Secret Payload must be set, and of at most ${MAX_PAYLOAD_BYTES} bytes.`,
        );
      }
      if (payload.dataCrc32c !== undefined && payload.dataCrc32c !== String(crc32c(data))) {
        throw new GoogleError("INVALID_ARGUMENT", "The checksum in dataCrc32c does not match the payload.");
      }
      const version: SecretVersion = {
        number: secret.versions.length + 1,
        createdAtMs: world.now(),
        state: "ENABLED",
        destroyedAtMs: undefined,
        data,
        revision: 0,
      };
      secret.versions.push(version);
      return toJson(secret, version);
    },
    [`${METHODS}.versions.get`]: (call) => {
      const { secret, version } = requireVersion(call, "get");
      return toJson(secret, version);
    },
    [`${METHODS}.versions.list`]: ({ params, caller }) => {
      const name = params["parent"] ?? "";
      world.requirePermission(caller, "secretmanager.versions.list", name);
      const secret = secrets.secret(name);
      const versions = secret.versions.map((version) => toJson(secret, version)).toReversed();
      return versions.length === 0 ? {} : { versions, totalSize: versions.length };
    },
    [`${METHODS}.versions.access`]: (call) => {
      const { secret, version } = requireVersion(call, "access");
      if (version.state !== "ENABLED" || version.data === undefined) throw inState(secret, version);
      return {
        name: versionName(secret, version),
        payload: { data: version.data.toString("base64"), dataCrc32c: String(crc32c(version.data)) },
      };
    },
    [`${METHODS}.versions.enable`]: (call) => change(call, "enable", "ENABLED"),
    [`${METHODS}.versions.disable`]: (call) => change(call, "disable", "DISABLED"),
    [`${METHODS}.versions.destroy`]: (call) => change(call, "destroy", "DESTROYED"),
  };
}

function versionName({ name }: Secret, { number }: SecretVersion): string {
  return `${name}/versions/${number}`;
}

function inState(secret: Secret, version: SecretVersion): GoogleError {
  return new GoogleError(
    "FAILED_PRECONDITION",
    `Secret Version [${versionName(secret, version)}] is in ${version.state} state.`,
  );
}

function toJson(secret: Secret, version: SecretVersion): unknown {
  const name = versionName(secret, version);
  return {
    name,
    createTime: new Date(version.createdAtMs).toISOString(),
    ...(version.destroyedAtMs === undefined
      ? {}
      : { destroyTime: new Date(version.destroyedAtMs).toISOString() }),
    state: version.state,
    replicationStatus: { automatic: {} },
    etag: etagOf(name, version.revision),
  };
}
