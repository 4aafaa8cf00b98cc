import type { Cloud } from "../cloud.ts";
import { fieldsOf, isEmpty, listOf, omitAbsent, omitEmpty, pickFields, textOf } from "../fields.ts";
import { KMS, KMS_VERSIONS_AND_POLICIES } from "../google-apis.ts";
import { during } from "../google-error.ts";
import { DELETION_RULES, LABEL_RULES, one } from "../property-rules.ts";
import { labelsToSend, labelsToUpdate, parseId, placeOf, readLabels } from "../resource-type.ts";
import type { ResourceType } from "../resource-type.ts";

const RING_ID = "projects/{project}/locations/{location}/keyRings/{name}";

export const KEY_RING: ResourceType = {
  token: "gcp:kms/keyRing:KeyRing",
  label: "KMSKeyRing",
  autonamed: "name",
  places: ["project"],
  rules: { name: "replace", location: "replace", project: "replace computed" },
  async create(cloud, inputs) {
    const parent = `projects/${placeOf(cloud, inputs, "project")}/locations/${textOf(inputs["location"])}`;
    const name = textOf(inputs["name"]);
    await during("Error creating KeyRing", () =>
      cloud.call(KMS, "POST", `${parent}/keyRings`, { query: { keyRingId: name } }),
    );
    return `${parent}/keyRings/${name}`;
  },
  async read(cloud, id) {
    const answer = await during(`Error when reading or editing KMSKeyRing ${JSON.stringify(id)}`, () =>
      cloud.find(KMS, id),
    );
    return answer === undefined ? undefined : parseId(RING_ID, id);
  },
  // A key ring can never be deleted: it leaves the state, and nothing is sent.
  delete: async () => {},
};

/** States in which a version has nothing left to destroy. */
const DESTROYED_STATES = new Set(["DESTROYED", "DESTROY_SCHEDULED"]);

export const CRYPTO_KEY: ResourceType = {
  token: "gcp:kms/cryptoKey:CryptoKey",
  label: "KMSCryptoKey",
  autonamed: "name",
  defaults: { purpose: "ENCRYPT_DECRYPT", versionTemplate: { protectionLevel: "SOFTWARE" } },
  rules: {
    name: "replace",
    keyRing: "replace",
    purpose: "replace",
    ...LABEL_RULES,
    ...DELETION_RULES,
    destroyScheduledDuration: "replace computed",
    importOnly: "replace computed",
    rotationPeriod: "",
    skipInitialVersionCreation: "virtual",
    versionTemplate: one("computed", { algorithm: "", protectionLevel: "replace" }),
  },
  async create(cloud, inputs) {
    const path = `${textOf(inputs["keyRing"])}/cryptoKeys`;
    const name = textOf(inputs["name"]);
    const skip = String(inputs["skipInitialVersionCreation"] === true);
    await during("Error creating CryptoKey", () =>
      cloud.call(KMS, "POST", path, {
        query: { cryptoKeyId: name, skipInitialVersionCreation: skip },
        body: omitEmpty({
          ...pickFields(inputs, ["purpose", "versionTemplate", "destroyScheduledDuration", "importOnly"]),
          ...rotationOf(inputs["rotationPeriod"]),
          labels: labelsToSend(cloud, inputs),
        }),
      }),
    );
    return `${path}/${name}`;
  },
  async read(cloud, id, known) {
    const answer = await during(`Error when reading or editing KMSCryptoKey ${JSON.stringify(id)}`, () =>
      cloud.find(KMS, id),
    );
    if (answer === undefined) return undefined;
    const [keyRing, name] = id.split("/cryptoKeys/");
    return omitAbsent({
      ...pickFields(known, ["skipInitialVersionCreation"]),
      ...pickFields(answer, ["purpose", "destroyScheduledDuration", "rotationPeriod"]),
      keyRing,
      name,
      importOnly: answer["importOnly"] ?? false,
      ...(isEmpty(answer["versionTemplate"])
        ? {}
        : {
            versionTemplate: pickFields(fieldsOf(answer["versionTemplate"]), [
              "algorithm",
              "protectionLevel",
            ]),
          }),
      ...readLabels(cloud, answer, known),
    });
  },
  async update(cloud, update) {
    const { id, inputs, changed } = update;
    const masks = [
      ...(changed.has("labels") ? ["labels"] : []),
      ...(changed.has("rotationPeriod") ? ["rotationPeriod", "nextRotationTime"] : []),
      ...(changed.has("versionTemplate") ? ["versionTemplate.algorithm"] : []),
    ];
    // The real provider sends nothing for properties that are its own.
    if (masks.length === 0) return;
    await during(`Error updating CryptoKey ${JSON.stringify(id)}`, () =>
      cloud.call(KMS, "PATCH", id, {
        query: { updateMask: masks.join(",") },
        body: omitEmpty({
          labels: labelsToUpdate(cloud, update),
          versionTemplate: inputs["versionTemplate"],
          ...rotationOf(inputs["rotationPeriod"]),
        }),
      }),
    );
  },
  async delete(cloud, id, state) {
    await destroyVersions(cloud, id);
    if (isEmpty(state["rotationPeriod"])) return;
    const query = { updateMask: "rotationPeriod,nextRotationTime" };
    await cloud.call(KMS_VERSIONS_AND_POLICIES, "PATCH", id, { query, body: {} });
  },
};

/** One page of versions, as the real provider reads it. */
async function destroyVersions(cloud: Cloud, keyId: string): Promise<void> {
  const answer = await cloud.get(KMS_VERSIONS_AND_POLICIES, `${keyId}/cryptoKeyVersions`);
  for (const version of listOf(answer["cryptoKeyVersions"]).map(fieldsOf)) {
    if (DESTROYED_STATES.has(textOf(version["state"]))) continue;
    await cloud.call(KMS_VERSIONS_AND_POLICIES, "POST", `${textOf(version["name"])}:destroy`, { body: {} });
  }
}

/** A rotated key says when it is rotated first. */
function rotationOf(period: unknown): { rotationPeriod?: string; nextRotationTime?: string } {
  const seconds = Number.parseInt(textOf(period), 10);
  if (!Number.isFinite(seconds)) return {};
  return {
    rotationPeriod: textOf(period),
    nextRotationTime: new Date(Date.now() + seconds * 1000).toISOString(),
  };
}
