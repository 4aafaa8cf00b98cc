import type { Cloud } from "../cloud.ts";
import { fieldsOf, isEmpty, omitAbsent, omitEmpty, pickFields, textOf } from "../fields.ts";
import type { Fields } from "../fields.ts";
import { IDENTITY_POOLS } from "../google-apis.ts";
import { during, isNotFound } from "../google-error.ts";
import { DELETION_RULES, one } from "../property-rules.ts";
import { parseId, placeOf } from "../resource-type.ts";
import type { ResourceType } from "../resource-type.ts";

const POOL_ID = "projects/{project}/locations/global/workloadIdentityPools/{workloadIdentityPoolId}";
const PROVIDER_ID = `${POOL_ID}/providers/{workloadIdentityPoolProviderId}`;
const POOL_FIELDS = ["displayName", "description", "disabled", "mode"];
const PROVIDER_FIELDS = ["displayName", "description", "disabled", "attributeMapping", "attributeCondition"];

export const WORKLOAD_IDENTITY_POOL: ResourceType = {
  token: "gcp:iam/workloadIdentityPool:WorkloadIdentityPool",
  label: "IAMBetaWorkloadIdentityPool",
  places: ["project"],
  rules: {
    workloadIdentityPoolId: "replace",
    project: "replace computed",
    displayName: "",
    description: "",
    disabled: "",
    mode: "computed",
    ...DELETION_RULES,
    name: "output",
    state: "output",
  },
  async create(cloud, inputs) {
    const pools = `projects/${placeOf(cloud, inputs, "project")}/locations/global/workloadIdentityPools`;
    const id = textOf(inputs["workloadIdentityPoolId"]);
    const started = await during("Error creating WorkloadIdentityPool", () =>
      cloud.call(IDENTITY_POOLS, "POST", pools, {
        query: { workloadIdentityPoolId: id },
        body: omitEmpty(pickFields(inputs, POOL_FIELDS)),
      }),
    );
    await finish(cloud, started, "Creating WorkloadIdentityPool");
    return `${pools}/${id}`;
  },
  async read(cloud, id) {
    const answer = await findPart(cloud, id, "IAMBetaWorkloadIdentityPool");
    if (answer === undefined) return undefined;
    const rules = await cloud.find(IDENTITY_POOLS, `${id}:listAttestationRules`);
    // The real provider takes this 404 for the pool's own.
    if (rules === undefined) return undefined;
    return omitAbsent({
      ...parseId(POOL_ID, id),
      ...pickFields(answer, [...POOL_FIELDS, "name", "state"]),
    });
  },
  update: (cloud, { id, inputs, changed }) =>
    patch(
      cloud,
      "WorkloadIdentityPool",
      id,
      omitEmpty(pickFields(inputs, POOL_FIELDS)),
      POOL_FIELDS.filter((name) => changed.has(name)),
    ),
  delete: (cloud, id) => deletePart(cloud, id, "WorkloadIdentityPool"),
};

export const WORKLOAD_IDENTITY_POOL_PROVIDER: ResourceType = {
  token: "gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider",
  label: "IAMBetaWorkloadIdentityPoolProvider",
  places: ["project"],
  rules: {
    workloadIdentityPoolId: "replace",
    workloadIdentityPoolProviderId: "replace",
    project: "replace computed",
    displayName: "",
    description: "",
    disabled: "",
    attributeMapping: "map",
    attributeCondition: "",
    oidc: one("", { issuerUri: "", allowedAudiences: "list", jwksJson: "" }),
    aws: one("", { accountId: "" }),
    ...DELETION_RULES,
    name: "output",
    state: "output",
  },
  async create(cloud, inputs) {
    const project = placeOf(cloud, inputs, "project");
    const pool = textOf(inputs["workloadIdentityPoolId"]);
    const providers = `projects/${project}/locations/global/workloadIdentityPools/${pool}/providers`;
    const id = textOf(inputs["workloadIdentityPoolProviderId"]);
    const started = await during("Error creating WorkloadIdentityPoolProvider", () =>
      cloud.call(IDENTITY_POOLS, "POST", providers, {
        query: { workloadIdentityPoolProviderId: id },
        body: providerOf(inputs),
      }),
    );
    await finish(cloud, started, "Creating WorkloadIdentityPoolProvider");
    return `${providers}/${id}`;
  },
  async read(cloud, id) {
    const answer = await findPart(cloud, id, "IAMBetaWorkloadIdentityPoolProvider");
    if (answer === undefined) return undefined;
    const oidc = pickFields(fieldsOf(answer["oidc"]), ["issuerUri", "allowedAudiences", "jwksJson"]);
    return omitAbsent({
      ...parseId(PROVIDER_ID, id),
      ...pickFields(answer, [...PROVIDER_FIELDS, "aws", "name", "state"]),
      ...(isEmpty(oidc) ? {} : { oidc }),
    });
  },
  update(cloud, { id, inputs, changed }) {
    const masks = [
      ...PROVIDER_FIELDS.filter((name) => changed.has(name)),
      ...(changed.has("aws") ? ["aws"] : []),
      ...(changed.has("oidc") ? ["oidc.allowed_audiences", "oidc.issuer_uri", "oidc.jwks_json"] : []),
    ];
    return patch(cloud, "WorkloadIdentityPoolProvider", id, providerOf(inputs), masks);
  },
  delete: (cloud, id) => deletePart(cloud, id, "WorkloadIdentityPoolProvider"),
};

function providerOf(inputs: Fields): Fields {
  return omitEmpty({
    ...pickFields(inputs, [...PROVIDER_FIELDS, "aws"]),
    oidc: omitEmpty(fieldsOf(inputs["oidc"])),
  });
}

/** A pool and a provider stay to be seen after their deletion, for 30 days. */
async function findPart(cloud: Cloud, id: string, label: string): Promise<Fields | undefined> {
  const answer = await during(`Error when reading or editing ${label} ${JSON.stringify(id)}`, () =>
    cloud.find(IDENTITY_POOLS, id),
  );
  return answer?.["state"] === "DELETED" ? undefined : answer;
}

async function patch(
  cloud: Cloud,
  name: string,
  id: string,
  body: Fields,
  masks: readonly string[],
): Promise<void> {
  if (masks.length === 0) return;
  const started = await during(`Error updating ${name} ${JSON.stringify(id)}`, () =>
    cloud.call(IDENTITY_POOLS, "PATCH", id, { query: { updateMask: masks.join(",") }, body }),
  );
  await finish(cloud, started, `Updating ${name}`);
}

async function deletePart(cloud: Cloud, id: string, name: string): Promise<void> {
  try {
    const started = await during(`Error when reading or editing ${name}`, () =>
      cloud.call(IDENTITY_POOLS, "DELETE", id),
    );
    await finish(cloud, started, `Deleting ${name}`);
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

async function finish(cloud: Cloud, started: Fields, doing: string): Promise<void> {
  const waiting = `Error waiting for ${doing}`;
  const [verb = "", name = ""] = doing.split(" ");
  const outer = verb === "Creating" ? `Error waiting to create ${name}: ${waiting}` : waiting;
  await cloud.longRunning(IDENTITY_POOLS, started, outer);
}
