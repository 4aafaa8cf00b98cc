import type { Cloud } from "./cloud.ts";
import { fieldsOf, isEmpty, omitAbsent, pickFields, textOf } from "./fields.ts";
import type { Fields } from "./fields.ts";
import { BILLING, COMPUTE, KMS, PROJECTS } from "./google-apis.ts";
import { during, GoogleRequestError } from "./google-error.ts";
import { placeOf } from "./resource-type.ts";

/** Look-ups: they run at every preview and every update. */
const INVOKES: Readonly<Record<string, (cloud: Cloud, args: Fields) => Promise<Fields>>> = {
  "gcp:organizations/getProject:getProject": getProject,
  "gcp:organizations/getClientConfig:getClientConfig": getClientConfig,
  "gcp:compute/getImage:getImage": getImage,
  "gcp:kms/getKMSKeyRing:getKMSKeyRing": getKeyRing,
};

/** Results of look-ups that are secret. */
export const SECRET_RESULTS: ReadonlySet<string> = new Set([
  "accessToken",
  "effectiveLabels",
  "pulumiLabels",
]);

/**
 * @throws {Error} for a look-up that the provider does not know, and for one that failed
 */
export async function invoke(cloud: Cloud, token: string, args: Fields): Promise<Fields> {
  const lookUp = INVOKES[token];
  if (lookUp === undefined) throw new Error(`the test provider has no function ${token}`);
  return during(`invoking ${token}`, () => lookUp(cloud, args));
}

async function getProject(cloud: Cloud, args: Fields): Promise<Fields> {
  const given = textOf(args["projectId"]);
  const projectId = given === "" ? placeOf(cloud, {}, "project") : given;
  const project = await findProject(cloud, projectId);
  const billing = await cloud
    .get(BILLING, `projects/${projectId}/billingInfo`)
    .catch((error: unknown): Fields => {
      // The one answer that is tolerated: the billing service itself is not enabled.
      if (error instanceof Error && error.message.endsWith(", accessNotConfigured")) return {};
      throw error;
    });
  const parent = fieldsOf(project["parent"]);
  return {
    id: `projects/${projectId}`,
    projectId,
    name: textOf(project["name"]),
    number: textOf(project["projectNumber"]),
    billingAccount: textOf(billing["billingAccountName"]).replace("billingAccounts/", ""),
    folderId: parent["type"] === "folder" ? textOf(parent["id"]) : "",
    orgId: parent["type"] === "organization" ? textOf(parent["id"]) : "",
    labels: fieldsOf(project["labels"]),
    effectiveLabels: fieldsOf(project["labels"]),
    pulumiLabels: fieldsOf(project["labels"]),
    tags: {},
    autoCreateNetwork: false,
    deletionPolicy: "PREVENT",
  };
}

async function findProject(cloud: Cloud, projectId: string): Promise<Fields> {
  try {
    const project = await cloud.find(PROJECTS, `projects/${projectId}`);
    if (project?.["lifecycleState"] === "ACTIVE") return project;
  } catch (error) {
    if (!(error instanceof GoogleRequestError) || error.httpStatus !== 403) throw error;
    const text = `the user does not have permission to access Project "${projectId}" or it may not exist`;
    throw new Error(text, { cause: error });
  }
  throw new Error(`projects/${projectId} not found or not in ACTIVE state`);
}

async function getClientConfig(cloud: Cloud): Promise<Fields> {
  const { project, region, zone, accessToken, defaultLabels } = cloud.config;
  return {
    id: `projects/${project}/regions/${region}/zones/${zone}`,
    project,
    region,
    zone,
    accessToken,
    defaultLabels,
  };
}

async function getImage(cloud: Cloud, args: Fields): Promise<Fields> {
  const project = placeOf(cloud, args, "project");
  const images = `projects/${project}/global/images`;
  const path = isEmpty(args["family"])
    ? `${images}/${textOf(args["name"])}`
    : `${images}/family/${textOf(args["family"])}`;
  const image = await during("error retrieving image information", () => cloud.get(COMPUTE, path));
  return omitAbsent({
    id: `${images}/${textOf(image["name"])}`,
    project,
    imageId: textOf(image["id"]),
    ...pickFields(image, ["name", "family", "selfLink", "status", "description", "creationTimestamp"]),
    archiveSizeBytes: Number(image["archiveSizeBytes"] ?? 0),
    diskSizeGb: Number(image["diskSizeGb"] ?? 0),
    labelFingerprint: textOf(image["labelFingerprint"]),
    labels: fieldsOf(image["labels"]),
    licenses: image["licenses"] ?? [],
    imageEncryptionKeySha256: "",
    sourceDisk: textOf(image["sourceDisk"]),
    sourceDiskEncryptionKeySha256: "",
    sourceDiskId: textOf(image["sourceDiskId"]),
    sourceImageId: textOf(image["sourceImageId"]),
  });
}

async function getKeyRing(cloud: Cloud, args: Fields): Promise<Fields> {
  const project = placeOf(cloud, args, "project");
  const id = `projects/${project}/locations/${textOf(args["location"])}/keyRings/${textOf(args["name"])}`;
  const answer = await cloud.find(KMS, id);
  if (answer === undefined) throw new Error(`${id} not found`);
  return { id, project, ...pickFields(args, ["location", "name"]) };
}
