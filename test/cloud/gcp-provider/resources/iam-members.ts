import type { Cloud } from "../cloud.ts";
import { fieldsOf, omitAbsent, pickFields, textOf } from "../fields.ts";
import type { Fields } from "../fields.ts";
import { ARTIFACTS, KMS_VERSIONS_AND_POLICIES, PROJECTS, SECRETS } from "../google-apis.ts";
import type { GoogleApi } from "../google-apis.ts";
import { normalizeMember } from "../property-equality.ts";
import { one } from "../property-rules.ts";
import type { Rules } from "../property-rules.ts";
import { parseId, placeOf } from "../resource-type.ts";
import type { Place, ResourceType } from "../resource-type.ts";
import { addGrant, changePolicy, hasGrant, readPolicy, removeGrant } from "./iam-policy.ts";
import type { Grant, PolicyTarget } from "./iam-policy.ts";

interface MemberKind {
  readonly token: string;
  readonly label: string;
  /** Properties that say whose policy it is. */
  readonly owner: Rules;
  readonly places: readonly Place[];
  /** The resource's path, `projects/p/…`. */
  findOwner(cloud: Cloud, inputs: Fields): string;
  describe(owner: string): string;
  targetOf(cloud: Cloud, owner: string): Omit<PolicyTarget, "describe">;
  /** Whether all members of one policy are put into one change. */
  readonly isBatched: boolean;
}

function memberType(kind: MemberKind): ResourceType {
  const targetOf = (cloud: Cloud, inputs: Fields): PolicyTarget => {
    const owner = kind.findOwner(cloud, inputs);
    return { describe: kind.describe(owner), ...kind.targetOf(cloud, owner) };
  };
  const change = async (
    cloud: Cloud,
    inputs: Fields,
    apply: typeof addGrant,
    verb: "add" | "remove",
  ): Promise<void> => {
    const target = targetOf(cloud, inputs);
    const run = (grants: readonly Grant[]): Promise<void> =>
      changePolicy(cloud, target, (bindings) => grants.reduce(apply, bindings));
    const grant = grantOf(inputs);
    await (kind.isBatched ? cloud.batches.gather(`${verb} ${target.describe}`, grant, run) : run([grant]));
  };
  return {
    token: kind.token,
    label: kind.label,
    places: kind.places,
    rules: {
      ...kind.owner,
      role: "replace",
      member: "replace member",
      condition: one("replace", { title: "replace", description: "replace", expression: "replace" }),
      etag: "output",
    },
    async create(cloud, inputs) {
      await change(cloud, inputs, addGrant, "add");
      const { role, member, condition } = grantOf(inputs);
      const title = textOf(condition["title"]);
      return [kind.findOwner(cloud, inputs), role, member, ...(title === "" ? [] : [title])].join("/");
    },
    async read(cloud, _id, known) {
      if (known["member"] === undefined) throw new Error("the test provider imports no IAM members");
      const target = targetOf(cloud, known);
      const policy = await (kind.isBatched
        ? cloud.batches.gather(`read ${target.describe}`, undefined, () => readPolicy(target))
        : readPolicy(target));
      const grant = grantOf(known);
      if (!hasGrant(policy, grant)) return undefined;
      return omitAbsent({
        ...pickFields(known, [...Object.keys(kind.owner), "role", "condition"]),
        ...Object.fromEntries(kind.places.map((place) => [place, placeOf(cloud, known, place)])),
        member: grant.member,
        etag: textOf(policy["etag"]),
      });
    },
    delete: (cloud, _id, state) => change(cloud, state, removeGrant, "remove"),
  };
}

function grantOf(inputs: Fields): Grant {
  return {
    role: textOf(inputs["role"]),
    member: normalizeMember(textOf(inputs["member"])),
    condition: fieldsOf(inputs["condition"]),
  };
}

/** Read by GET and written by POST below the resource's own path, as most services have it. */
function pathTarget(
  cloud: Cloud,
  api: GoogleApi,
  owner: string,
  query: Readonly<Record<string, string>>,
): Omit<PolicyTarget, "describe"> {
  return {
    read: () => cloud.get(api, `${owner}:getIamPolicy`, query),
    write: (policy) => cloud.call(api, "POST", `${owner}:setIamPolicy`, { body: { policy } }),
  };
}

const VERSION_QUERY = { "options.requestedPolicyVersion": "3" };

const CRYPTO_KEY_MEMBER = memberType({
  token: "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember",
  label: "KMSCryptoKeyIAMMember",
  owner: { cryptoKeyId: "replace" },
  places: [],
  findOwner: (_cloud, inputs) => parseCryptoKeyId(textOf(inputs["cryptoKeyId"])),
  describe: (owner) => `KMS CryptoKey ${JSON.stringify(owner)}`,
  targetOf: (cloud, owner) => pathTarget(cloud, KMS_VERSIONS_AND_POLICIES, owner, VERSION_QUERY),
  isBatched: false,
});

const REPOSITORY_MEMBER = memberType({
  token: "gcp:artifactregistry/repositoryIamMember:RepositoryIamMember",
  label: "ArtifactRegistryRepositoryIAMMember",
  owner: { repository: "replace", project: "replace computed", location: "replace computed" },
  places: ["project"],
  findOwner(cloud, inputs) {
    const repository = textOf(inputs["repository"]);
    if (repository.includes("/")) return repository;
    const given = textOf(inputs["location"]);
    const location = given === "" ? placeOf(cloud, inputs, "region") : given;
    return `projects/${placeOf(cloud, inputs, "project")}/locations/${location}/repositories/${repository}`;
  },
  describe: (owner) => `artifactregistry repository ${JSON.stringify(owner)}`,
  targetOf: (cloud, owner) => pathTarget(cloud, ARTIFACTS, owner, {}),
  isBatched: false,
});

const SECRET_MEMBER = memberType({
  token: "gcp:secretmanager/secretIamMember:SecretIamMember",
  label: "SecretManagerSecretIAMMember",
  owner: { secretId: "replace", project: "replace computed" },
  places: ["project"],
  findOwner(cloud, inputs) {
    const secretId = textOf(inputs["secretId"]);
    return secretId.includes("/")
      ? secretId
      : `projects/${placeOf(cloud, inputs, "project")}/secrets/${secretId}`;
  },
  describe: (owner) => `secretmanager secret ${JSON.stringify(owner)}`,
  targetOf: (cloud, owner) => pathTarget(cloud, SECRETS, owner, VERSION_QUERY),
  isBatched: false,
});

const PROJECT_MEMBER = memberType({
  token: "gcp:projects/iAMMember:IAMMember",
  label: "ProjectIAMMember",
  owner: { project: "replace" },
  places: [],
  findOwner: (_cloud, inputs) => `projects/${textOf(inputs["project"]).replace(/^projects\//, "")}`,
  describe: (owner) => `project ${JSON.stringify(owner.replace("projects/", ""))}`,
  targetOf: (cloud, owner) => ({
    read: () =>
      cloud.call(PROJECTS, "POST", `${owner}:getIamPolicy`, {
        body: { options: { requestedPolicyVersion: 3 } },
      }),
    write: (policy) =>
      cloud.call(PROJECTS, "POST", `${owner}:setIamPolicy`, {
        body: { policy, updateMask: "bindings,etag,auditConfigs" },
      }),
  }),
  isBatched: true,
});

export const IAM_MEMBERS: readonly ResourceType[] = [
  CRYPTO_KEY_MEMBER,
  REPOSITORY_MEMBER,
  SECRET_MEMBER,
  PROJECT_MEMBER,
];

/** A key by its full id or as `project/location/ring/key`. */
function parseCryptoKeyId(id: string): string {
  const short = /^([^/]+)\/([^/]+)\/([^/]+)\/([^/]+)$/.exec(id);
  if (short !== null) {
    const [, project, location, ring, key] = short;
    return `projects/${project}/locations/${location}/keyRings/${ring}/cryptoKeys/${key}`;
  }
  try {
    parseId("projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}", id);
  } catch (error) {
    const wanted =
      "expecting `{projectId}/{locationId}/{KeyringName}/{cryptoKeyName}` or `{locationId}/{keyRingName}/{cryptoKeyName}.`";
    throw new Error(`Error parsing resource ID for ${id}: Invalid CryptoKey id format, ${wanted}`, {
      cause: error,
    });
  }
  return id;
}
