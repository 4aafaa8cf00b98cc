import { fieldsOf, isEmpty, listOf, omitAbsent, omitEmpty, pickFields, textOf } from "../fields.ts";
import type { Fields } from "../fields.ts";
import { SECRETS } from "../google-apis.ts";
import { during, isNotFound } from "../google-error.ts";
import { DELETION_RULES, LABEL_RULES, many, one } from "../property-rules.ts";
import { labelsToSend, labelsToUpdate, parseId, placeOf, readLabels } from "../resource-type.ts";
import type { ResourceType } from "../resource-type.ts";

const SECRET_ID = "projects/{project}/secrets/{secretId}";

export const SECRET: ResourceType = {
  token: "gcp:secretmanager/secret:Secret",
  label: "SecretManagerSecret",
  autonamed: "secretId",
  places: ["project"],
  rules: {
    secretId: "replace",
    project: "replace computed",
    replication: one("replace", {
      auto: one("replace", {}),
      userManaged: one("replace", { replicas: many("replace", { location: "replace" }) }),
    }),
    deletionProtection: "virtual",
    ...LABEL_RULES,
    ...DELETION_RULES,
    name: "output",
    createTime: "output",
  },
  async create(cloud, inputs) {
    const path = `projects/${placeOf(cloud, inputs, "project")}/secrets`;
    const secretId = textOf(inputs["secretId"]);
    await during("Error creating Secret", () =>
      cloud.call(SECRETS, "POST", path, {
        query: { secretId },
        body: omitEmpty({
          replication: replicationOf(fieldsOf(inputs["replication"])),
          labels: labelsToSend(cloud, inputs),
        }),
      }),
    );
    return `${path}/${secretId}`;
  },
  async read(cloud, id, known) {
    const label = `Error when reading or editing SecretManagerSecret ${JSON.stringify(id)}`;
    const answer = await during(label, () => cloud.find(SECRETS, id));
    if (answer === undefined) return undefined;
    const { automatic, userManaged } = fieldsOf(answer["replication"]);
    return omitAbsent({
      ...pickFields(known, ["deletionProtection"]),
      ...parseId(SECRET_ID, id),
      ...pickFields(answer, ["name", "createTime"]),
      ...(automatic === undefined && userManaged === undefined
        ? {}
        : { replication: omitAbsent({ auto: automatic === undefined ? undefined : {}, userManaged }) }),
      ...readLabels(cloud, answer, known),
    });
  },
  async update(cloud, update) {
    if (!update.changed.has("labels")) return;
    await during(`Error updating Secret ${JSON.stringify(update.id)}`, () =>
      cloud.call(SECRETS, "PATCH", update.id, {
        query: { updateMask: "labels" },
        body: {
          replication: replicationOf(fieldsOf(update.inputs["replication"])),
          labels: labelsToUpdate(cloud, update),
        },
      }),
    );
  },
  async delete(cloud, id, state) {
    if (state["deletionProtection"] === true) {
      throw new Error(
        "cannot destroy secret manager secret without setting deletion_protection=false and running `terraform apply`",
      );
    }
    try {
      await during("Error when reading or editing Secret", () => cloud.call(SECRETS, "DELETE", id));
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  },
};

function replicationOf({ auto, userManaged }: Fields): Fields {
  return auto === undefined && isEmpty(userManaged)
    ? {}
    : omitAbsent({
        automatic: auto === undefined ? undefined : {},
        userManaged: isEmpty(userManaged)
          ? undefined
          : {
              replicas: listOf(fieldsOf(userManaged)["replicas"]).map((replica) =>
                pickFields(fieldsOf(replica), ["location"]),
              ),
            },
      });
}

export const SECRET_VERSION: ResourceType = {
  token: "gcp:secretmanager/secretVersion:SecretVersion",
  label: "SecretManagerSecretVersion",
  defaults: { enabled: true },
  ownDeletionPolicy: true,
  rules: {
    secret: "replace",
    secretData: "replace secret",
    isSecretDataBase64: "replace virtual",
    enabled: "",
    project: "replace computed",
    ...DELETION_RULES,
    name: "output",
    version: "output",
    createTime: "output",
    destroyTime: "output",
  },
  async create(cloud, inputs) {
    const data = textOf(inputs["secretData"]);
    const payload = {
      data: inputs["isSecretDataBase64"] === true ? data : Buffer.from(data).toString("base64"),
    };
    const made = await during("Error creating SecretVersion", () =>
      cloud.call(SECRETS, "POST", `${textOf(inputs["secret"])}:addVersion`, { body: { payload } }),
    );
    const name = textOf(made["name"]);
    await cloud.call(SECRETS, "POST", `${name}:${inputs["enabled"] === false ? "disable" : "enable"}`);
    return name;
  },
  async read(cloud, id, known) {
    const label = `Error when reading or editing SecretManagerSecretVersion ${JSON.stringify(id)}`;
    const answer = await during(label, () => cloud.find(SECRETS, id));
    if (answer === undefined || answer["state"] === "DESTROYED") return undefined;
    const enabled = answer["state"] === "ENABLED";
    const shared = {
      ...pickFields(known, ["isSecretDataBase64", "deletionPolicy"]),
      ...pickFields(answer, ["name", "createTime", "destroyTime"]),
      secret: known["secret"] ?? id.replace(/\/versions\/[^/]+$/, ""),
      project: known["project"] ?? id.split("/")[1],
      version: id.split("/").at(-1),
      enabled,
    };
    // A disabled version cannot be read: what was known stays.
    if (!enabled) return omitAbsent({ ...shared, secretData: known["secretData"] });
    const access = await during("Error reading SecretVersion", () => cloud.get(SECRETS, `${id}:access`));
    const data = textOf(fieldsOf(access["payload"])["data"]);
    const secretData = known["isSecretDataBase64"] === true ? data : Buffer.from(data, "base64").toString();
    return omitAbsent({ ...shared, secretData });
  },
  async update(cloud, { id, inputs, changed }) {
    if (!changed.has("enabled")) return;
    await cloud.call(SECRETS, "POST", `${id}:${inputs["enabled"] === false ? "disable" : "enable"}`);
  },
  async delete(cloud, id, state) {
    if (state["deletionPolicy"] === "ABANDON") return;
    try {
      await cloud.call(
        SECRETS,
        "POST",
        `${id}:${state["deletionPolicy"] === "DISABLE" ? "disable" : "destroy"}`,
      );
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  },
};
