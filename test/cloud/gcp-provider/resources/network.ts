import { fieldsOf, omitAbsent, omitEmpty, pickFields, textOf } from "../fields.ts";
import type { Fields } from "../fields.ts";
import { during } from "../google-error.ts";
import { DELETION_RULES } from "../property-rules.ts";
import { parseId, placeOf } from "../resource-type.ts";
import type { ResourceType } from "../resource-type.ts";
import { createCompute, deleteCompute, findCompute } from "./compute-resource.ts";

const NETWORK_ID = "projects/{project}/global/networks/{name}";

export const NETWORK: ResourceType = {
  token: "gcp:compute/network:Network",
  label: "ComputeNetwork",
  autonamed: "name",
  places: ["project"],
  defaults: { autoCreateSubnetworks: true, networkFirewallPolicyEnforcementOrder: "AFTER_CLASSIC_FIREWALL" },
  rules: {
    name: "replace",
    project: "replace computed",
    description: "replace",
    autoCreateSubnetworks: "replace",
    routingMode: "computed",
    mtu: "computed",
    networkFirewallPolicyEnforcementOrder: "",
    ...DELETION_RULES,
    selfLink: "output",
    networkId: "output",
    gatewayIpv4: "output",
  },
  async create(cloud, inputs) {
    const path = `projects/${placeOf(cloud, inputs, "project")}/global/networks`;
    const body = {
      ...pickFields(inputs, ["name", "autoCreateSubnetworks", "networkFirewallPolicyEnforcementOrder"]),
      ...omitEmpty(pickFields(inputs, ["description", "mtu"])),
      ...routingOf(inputs),
    };
    await createCompute(cloud, path, "Network", body);
    return `${path}/${textOf(inputs["name"])}`;
  },
  async read(cloud, id) {
    const answer = await findCompute(cloud, id, "ComputeNetwork");
    if (answer === undefined) return undefined;
    return omitAbsent({
      ...parseId(NETWORK_ID, id),
      ...pickFields(answer, [
        "description",
        "autoCreateSubnetworks",
        "mtu",
        "networkFirewallPolicyEnforcementOrder",
        "selfLink",
      ]),
      routingMode: fieldsOf(answer["routingConfig"])["routingMode"],
      networkId: textOf(answer["id"]),
      gatewayIpv4: textOf(answer["gatewayIPv4"]),
    });
  },
  async update(cloud, { id, inputs }) {
    const body = {
      ...pickFields(inputs, ["networkFirewallPolicyEnforcementOrder"]),
      ...omitEmpty(pickFields(inputs, ["mtu"])),
      ...routingOf(inputs),
    };
    await during(`Error updating Network ${JSON.stringify(id)}`, () =>
      cloud.compute("PATCH", id, "Updating Network", { body }),
    );
  },
  delete: (cloud, id) => deleteCompute(cloud, id, "Network"),
};

function routingOf(inputs: Fields): Fields {
  const routingMode = textOf(inputs["routingMode"]);
  return routingMode === "" ? {} : { routingConfig: { routingMode } };
}
