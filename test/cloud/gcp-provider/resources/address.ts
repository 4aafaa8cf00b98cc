import type { Cloud } from "../cloud.ts";
import { isEmpty, omitAbsent, omitEmpty, pickFields, textOf, textsOf } from "../fields.ts";
import { COMPUTE } from "../google-apis.ts";
import { during } from "../google-error.ts";
import { DELETION_RULES, LABEL_RULES } from "../property-rules.ts";
import { labelsToSend, labelsToUpdate, parseId, readLabels } from "../resource-type.ts";
import type { ResourceType } from "../resource-type.ts";
import {
  createCompute,
  deleteCompute,
  findCompute,
  regionalPlace,
  regionLink,
  regionOf,
} from "./compute-resource.ts";

const ADDRESS_ID = "projects/{project}/regions/{region}/addresses/{name}";

export const ADDRESS: ResourceType = {
  token: "gcp:compute/address:Address",
  label: "ComputeAddress",
  autonamed: "name",
  places: ["project", "region"],
  defaults: { addressType: "EXTERNAL" },
  rules: {
    name: "replace",
    project: "replace computed",
    region: "replace computed link",
    address: "replace computed",
    addressType: "replace",
    description: "replace",
    networkTier: "replace computed",
    ...LABEL_RULES,
    ...DELETION_RULES,
    addressId: "output",
    creationTimestamp: "output",
    labelFingerprint: "output",
    selfLink: "output",
    users: "output list",
  },
  async create(cloud, inputs) {
    const { project, region, path } = regionalPlace(cloud, inputs, "addresses");
    const id = `${path}/${textOf(inputs["name"])}`;
    const labels = labelsToSend(cloud, inputs);
    const body = omitEmpty({
      ...pickFields(inputs, ["address", "addressType", "description", "name", "networkTier"]),
      labels,
      region: regionLink(project, region),
    });
    await createCompute(cloud, path, "Address", body);
    // Old versions of the service did not take labels with the rest, so the real provider always sets them once more.
    if (!isEmpty(labels)) await setLabels(cloud, id, labels, "Creating");
    return id;
  },
  async read(cloud, id, known) {
    const answer = await findCompute(cloud, id, "ComputeAddress");
    if (answer === undefined) return undefined;
    const { project, name } = parseId(ADDRESS_ID, id);
    return omitAbsent({
      project,
      name,
      ...pickFields(answer, ["address", "addressType", "description", "networkTier"]),
      ...pickFields(answer, ["creationTimestamp", "labelFingerprint", "selfLink"]),
      addressId: textOf(answer["id"]),
      users: textsOf(answer["users"]),
      region: regionOf(answer),
      ...readLabels(cloud, answer, known),
    });
  },
  async update(cloud, update) {
    if (update.changed.has("labels"))
      await setLabels(cloud, update.id, labelsToUpdate(cloud, update), "Updating");
  },
  delete: (cloud, id) => deleteCompute(cloud, id, "Address"),
};

async function setLabels(
  cloud: Cloud,
  id: string,
  labels: Readonly<Record<string, string>>,
  doing: "Creating" | "Updating",
): Promise<void> {
  const { labelFingerprint } = await cloud.get(COMPUTE, id);
  await during(
    `Error ${doing === "Creating" ? "adding labels to" : "updating"} Address ${JSON.stringify(id)}`,
    () =>
      cloud.compute("POST", `${id}/setLabels`, `${doing} Address Labels`, {
        body: { labelFingerprint, labels },
      }),
  );
}
