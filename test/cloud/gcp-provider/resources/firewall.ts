import { fieldsOf, listOf, omitAbsent, omitEmpty, pickFields, textOf, textsOf } from "../fields.ts";
import type { Fields } from "../fields.ts";
import { during } from "../google-error.ts";
import { anyOrder, DELETION_RULES, one } from "../property-rules.ts";
import { parseId, placeOf } from "../resource-type.ts";
import type { ResourceType } from "../resource-type.ts";
import { createCompute, deleteCompute, findCompute, loggingOf, networkLink } from "./compute-resource.ts";

const FIREWALL_ID = "projects/{project}/global/firewalls/{name}";

export const FIREWALL: ResourceType = {
  token: "gcp:compute/firewall:Firewall",
  label: "ComputeFirewall",
  autonamed: "name",
  places: ["project"],
  defaults: { priority: 1000 },
  rules: {
    name: "replace",
    project: "replace computed",
    network: "link",
    description: "",
    direction: "replace computed",
    disabled: "",
    priority: "",
    allows: anyOrder("", { protocol: "", ports: "list" }),
    denies: anyOrder("", { protocol: "", ports: "list" }),
    destinationRanges: "computed set",
    sourceRanges: "set",
    sourceTags: "set",
    sourceServiceAccounts: "set",
    targetTags: "set",
    targetServiceAccounts: "set",
    logConfig: one("", { metadata: "" }),
    ...DELETION_RULES,
    selfLink: "output",
    creationTimestamp: "output",
  },
  async create(cloud, inputs) {
    const project = placeOf(cloud, inputs, "project");
    const path = `projects/${project}/global/firewalls`;
    const body = omitEmpty({ direction: "INGRESS", ...ruleOf(project, inputs) });
    await createCompute(cloud, path, "Firewall", body);
    return `${path}/${textOf(inputs["name"])}`;
  },
  async read(cloud, id) {
    const answer = await findCompute(cloud, id, "ComputeFirewall");
    if (answer === undefined) return undefined;
    const logging = fieldsOf(answer["logConfig"]);
    return omitAbsent({
      ...parseId(FIREWALL_ID, id),
      ...pickFields(answer, [
        "network",
        "description",
        "direction",
        "disabled",
        "priority",
        ...TEXT_LISTS,
        "selfLink",
        "creationTimestamp",
      ]),
      allows: answer["allowed"] === undefined ? undefined : listOf(answer["allowed"]).map(readPorts),
      denies: answer["denied"] === undefined ? undefined : listOf(answer["denied"]).map(readPorts),
      ...(logging["enable"] === true ? { logConfig: pickFields(logging, ["metadata"]) } : {}),
    });
  },
  async update(cloud, { id, inputs }) {
    const { project = "" } = parseId(FIREWALL_ID, id);
    const empty = Object.fromEntries(TEXT_LISTS.map((name) => [name, []]));
    const body = { ...empty, ...omitAbsent(ruleOf(project, inputs)) };
    await during(`Error updating Firewall ${JSON.stringify(id)}`, () =>
      cloud.compute("PATCH", id, "Updating Firewall", { body }),
    );
  },
  delete: (cloud, id) => deleteCompute(cloud, id, "Firewall"),
};

const TEXT_LISTS = [
  "destinationRanges",
  "sourceRanges",
  "sourceTags",
  "sourceServiceAccounts",
  "targetTags",
  "targetServiceAccounts",
];

function ruleOf(project: string, inputs: Fields): Fields {
  return {
    ...pickFields(inputs, ["name", "description", "direction", "disabled", "priority", ...TEXT_LISTS]),
    allowed: inputs["allows"] === undefined ? undefined : listOf(inputs["allows"]).map(writePorts),
    denied: inputs["denies"] === undefined ? undefined : listOf(inputs["denies"]).map(writePorts),
    logConfig: loggingOf(inputs["logConfig"]),
    network: networkLink(project, inputs["network"]),
  };
}

function writePorts(rule: unknown): Fields {
  const { protocol, ports } = fieldsOf(rule);
  return omitEmpty({ IPProtocol: protocol, ports });
}

function readPorts(rule: unknown): Fields {
  const { IPProtocol, ports } = fieldsOf(rule);
  return omitEmpty({ protocol: IPProtocol, ports: textsOf(ports) });
}
