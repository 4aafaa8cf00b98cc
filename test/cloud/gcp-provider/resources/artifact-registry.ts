import { fieldsOf, isEmpty, lastSegment, omitAbsent, omitEmpty, pickFields, textOf } from "../fields.ts";
import { ARTIFACTS } from "../google-apis.ts";
import { during, isNotFound } from "../google-error.ts";
import { DELETION_RULES, LABEL_RULES, one } from "../property-rules.ts";
import { labelsToSend, labelsToUpdate, parseId, placeOf, readLabels } from "../resource-type.ts";
import type { ResourceType } from "../resource-type.ts";

const REPOSITORY_ID = "projects/{project}/locations/{location}/repositories/{repositoryId}";

export const REPOSITORY: ResourceType = {
  token: "gcp:artifactregistry/repository:Repository",
  label: "ArtifactRegistryRepository",
  places: ["project"],
  defaults: { mode: "STANDARD_REPOSITORY" },
  rules: {
    repositoryId: "replace",
    project: "replace computed",
    location: "replace computed",
    format: "replace",
    mode: "replace",
    description: "",
    dockerConfig: one("", { immutableTags: "" }),
    ...LABEL_RULES,
    ...DELETION_RULES,
    name: "output",
    registryUri: "output",
    createTime: "output",
    updateTime: "output",
  },
  async create(cloud, inputs) {
    const given = textOf(inputs["location"]);
    const location = given === "" ? placeOf(cloud, inputs, "region") : given;
    const path = `projects/${placeOf(cloud, inputs, "project")}/locations/${location}/repositories`;
    const repositoryId = textOf(inputs["repositoryId"]);
    const started = await during("Error creating Repository", () =>
      cloud.call(ARTIFACTS, "POST", path, {
        query: { repository_id: repositoryId },
        body: omitEmpty({
          ...pickFields(inputs, ["format", "mode", "description", "dockerConfig"]),
          labels: labelsToSend(cloud, inputs),
        }),
      }),
    );
    await cloud.longRunning(
      ARTIFACTS,
      started,
      "Error waiting to create Repository: Error waiting for Creating Repository",
    );
    return `${path}/${repositoryId}`;
  },
  async read(cloud, id, known) {
    const label = `Error when reading or editing ArtifactRegistryRepository ${JSON.stringify(id)}`;
    const answer = await during(label, () => cloud.find(ARTIFACTS, id));
    if (answer === undefined) return undefined;
    const dockerConfig = pickFields(fieldsOf(answer["dockerConfig"]), ["immutableTags"]);
    return omitAbsent({
      ...parseId(REPOSITORY_ID, id),
      ...pickFields(answer, ["format", "mode", "description", "registryUri", "createTime", "updateTime"]),
      name: lastSegment(answer["name"]),
      ...(isEmpty(dockerConfig) ? {} : { dockerConfig }),
      ...readLabels(cloud, answer, known),
    });
  },
  async update(cloud, update) {
    const { id, inputs, changed } = update;
    const masks = ["description", "labels", "dockerConfig"].filter((name) => changed.has(name));
    if (masks.length === 0) return;
    await during(`Error updating Repository ${JSON.stringify(id)}`, () =>
      cloud.call(ARTIFACTS, "PATCH", id, {
        query: { updateMask: masks.join(",") },
        body: {
          cleanupPolicies: {},
          ...omitEmpty({
            ...pickFields(inputs, ["description", "dockerConfig"]),
            labels: labelsToUpdate(cloud, update),
          }),
        },
      }),
    );
  },
  async delete(cloud, id) {
    try {
      const started = await during("Error when reading or editing Repository", () =>
        cloud.call(ARTIFACTS, "DELETE", id),
      );
      await cloud.longRunning(ARTIFACTS, started, "Error waiting for Deleting Repository");
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  },
};
