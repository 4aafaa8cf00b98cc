import type { Cloud } from "../cloud.ts";
import { omitAbsent, omitEmpty, pickFields, textOf } from "../fields.ts";
import type { Fields } from "../fields.ts";
import { SERVICE_ACCOUNTS } from "../google-apis.ts";
import { during, GoogleRequestError, isNotFound } from "../google-error.ts";
import { DELETION_RULES } from "../property-rules.ts";
import { parseId, placeOf } from "../resource-type.ts";
import type { ResourceType } from "../resource-type.ts";

const ACCOUNT_ID = "projects/{project}/serviceAccounts/{email}";

/** Good answers in a row after which an account counts as there. The state's own read is the last one. */
const GOOD_ANSWERS = 3;

export const SERVICE_ACCOUNT: ResourceType = {
  token: "gcp:serviceaccount/account:Account",
  label: "ServiceAccount",
  autonamed: "accountId",
  places: ["project"],
  rules: {
    accountId: "replace",
    project: "replace computed",
    displayName: "",
    description: "",
    disabled: "",
    createIgnoreAlreadyExists: "virtual",
    ...DELETION_RULES,
    email: "output",
    member: "output",
    name: "output",
    uniqueId: "output",
  },
  async create(cloud, inputs) {
    const project = placeOf(cloud, inputs, "project");
    const accountId = textOf(inputs["accountId"]);
    const path = `projects/${project}/serviceAccounts`;
    const serviceAccount = omitEmpty(pickFields(inputs, ["displayName", "description"]));
    try {
      const made = await during("Error creating service account", () =>
        cloud.call(SERVICE_ACCOUNTS, "POST", path, { body: { accountId, serviceAccount } }),
      );
      await waitUntilSeen(cloud, textOf(made["name"]));
      return textOf(made["name"]);
    } catch (error) {
      const isThere = error instanceof GoogleRequestError && error.httpStatus === 409;
      if (!isThere || inputs["createIgnoreAlreadyExists"] !== true) throw error;
      return `${path}/${accountId}@${project}.iam.gserviceaccount.com`;
    }
  },
  async read(cloud, id, known) {
    const answer = await during(`Error reading service account`, () => cloud.find(SERVICE_ACCOUNTS, id));
    if (answer === undefined) return undefined;
    const email = textOf(answer["email"]);
    return omitAbsent({
      ...pickFields(known, ["createIgnoreAlreadyExists"]),
      ...pickFields(answer, ["displayName", "description", "disabled", "email", "name", "uniqueId"]),
      accountId: email.split("@")[0],
      project: answer["projectId"] ?? parseId(ACCOUNT_ID, id)["project"],
      member: `serviceAccount:${email}`,
    });
  },
  async update(cloud, { id, inputs, changed }) {
    if (changed.has("disabled")) {
      const verb = inputs["disabled"] === true ? "disable" : "enable";
      await cloud.call(SERVICE_ACCOUNTS, "POST", `${id}:${verb}`, { body: {} });
    }
    if (changed.has("description") || changed.has("displayName")) await patch(cloud, id, inputs, changed);
  },
  async delete(cloud, id) {
    try {
      await cloud.call(SERVICE_ACCOUNTS, "DELETE", id);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  },
};

async function patch(cloud: Cloud, id: string, inputs: Fields, changed: ReadonlySet<string>): Promise<void> {
  const { etag } = await cloud.get(SERVICE_ACCOUNTS, id);
  const masks = [
    ...(changed.has("description") ? ["description"] : []),
    ...(changed.has("displayName") ? ["display_name"] : []),
  ];
  const serviceAccount = omitAbsent({ ...pickFields(inputs, ["description", "displayName"]), etag });
  await during("Error updating service account", () =>
    cloud.call(SERVICE_ACCOUNTS, "PATCH", id, { body: { serviceAccount, updateMask: masks.join(",") } }),
  );
  await waitUntilSeen(cloud, id);
}

/** A new account is not seen everywhere at once: a 404 is looked at again, and the count begins anew. */
async function waitUntilSeen(cloud: Cloud, id: string): Promise<void> {
  const isSeen = async (): Promise<boolean> => {
    for (let good = 1; good < GOOD_ANSWERS; good++) {
      if ((await cloud.find(SERVICE_ACCOUNTS, id)) === undefined) return false;
    }
    return true;
  };
  await cloud.poll(isSeen);
}
