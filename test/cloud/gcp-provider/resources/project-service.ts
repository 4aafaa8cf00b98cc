import type { Cloud } from "../cloud.ts";
import { fieldsOf, isEmpty, lastSegment, listOf, pickFields, textOf } from "../fields.ts";
import type { Fields } from "../fields.ts";
import { PROJECTS, SERVICES } from "../google-apis.ts";
import { during } from "../google-error.ts";
import { DELETION_RULES } from "../property-rules.ts";
import { parseId, placeOf } from "../resource-type.ts";
import type { ResourceType } from "../resource-type.ts";

const SERVICE_ID = "{project}/{service}";
const FAILED = "Error when reading or editing Project Service ";

/** Services are looked at and enabled for all resources of a project together. */
export const PROJECT_SERVICE: ResourceType = {
  token: "gcp:projects/service:Service",
  label: "ProjectService",
  places: ["project"],
  rules: {
    service: "replace",
    project: "replace computed",
    disableOnDestroy: "virtual",
    disableDependentServices: "virtual",
    checkIfServiceHasUsageOnDestroy: "virtual",
    ...DELETION_RULES,
  },
  async create(cloud, inputs) {
    const project = placeOf(cloud, inputs, "project");
    const service = textOf(inputs["service"]);
    const id = `${project}/${service}`;
    if ((await listEnabled(cloud, project)).has(service)) return id;
    await cloud.batches.gather(`enable services of ${project}`, service, (services) =>
      enable(cloud, project, services),
    );
    return id;
  },
  async read(cloud, id, known) {
    const { project = "", service = "" } = parseId(SERVICE_ID, id);
    const answer = await during(`${FAILED}${id}`, () => cloud.find(PROJECTS, `projects/${project}`));
    if (answer === undefined || answer["lifecycleState"] === "DELETE_REQUESTED") return undefined;
    if (!(await listEnabled(cloud, project)).has(service)) return undefined;
    return {
      ...pickFields(known, [
        "disableOnDestroy",
        "disableDependentServices",
        "checkIfServiceHasUsageOnDestroy",
      ]),
      project,
      service,
    };
  },
  // Everything that can change is the provider's own.
  update: async () => {},
  async delete(cloud, id, state) {
    if (state["disableOnDestroy"] !== true) return;
    const { project = "", service = "" } = parseId(SERVICE_ID, id);
    const started = await during(
      `Error disabling service ${JSON.stringify(service)} for project "${project}"`,
      () =>
        cloud.call(SERVICES, "POST", `projects/${project}/services/${service}:disable`, {
          body: {
            ...(state["disableDependentServices"] === true ? { disableDependentServices: true } : {}),
            checkIfServiceHasUsage: state["checkIfServiceHasUsageOnDestroy"] === true ? "CHECK" : "SKIP",
          },
        }),
    );
    await cloud.longRunning(SERVICES, started, "Error waiting for api to disable");
  },
};

function listEnabled(cloud: Cloud, project: string): Promise<ReadonlySet<string>> {
  return cloud.batches.gather(`list services of ${project}`, undefined, () => readEnabled(cloud, project));
}

async function readEnabled(cloud: Cloud, project: string): Promise<ReadonlySet<string>> {
  const doing =
    `${FAILED}: Request \`List Project Services ${project}\` returned error: ` +
    `Failed to list enabled services for project ${project}`;
  const enabled = new Set<string>();
  for (let pageToken = ""; ;) {
    const answer: Fields = await during(doing, () =>
      cloud.get(SERVICES, `projects/${project}/services`, {
        fields: "services/name,nextPageToken",
        filter: "state:ENABLED",
        pageSize: "200",
        ...(pageToken === "" ? {} : { pageToken }),
      }),
    );
    for (const service of listOf(answer["services"])) enabled.add(lastSegment(fieldsOf(service)["name"]));
    pageToken = textOf(answer["nextPageToken"]);
    if (isEmpty(pageToken)) return enabled;
  }
}

async function enable(cloud: Cloud, project: string, services: readonly string[]): Promise<void> {
  const path = `projects/${project}/services`;
  const [only] = services;
  const started = await during(`Error enabling services for project "${project}"`, () =>
    services.length === 1
      ? cloud.call(SERVICES, "POST", `${path}/${only}:enable`, { body: {} })
      : cloud.call(SERVICES, "POST", `${path}:batchEnable`, { body: { serviceIds: services } }),
  );
  await cloud.longRunning(SERVICES, started, "Error waiting for api to enable");
  // The real provider looks whether they are there before it goes on.
  await readEnabled(cloud, project);
}
