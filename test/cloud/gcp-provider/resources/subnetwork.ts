import { fieldsOf, omitAbsent, omitEmpty, pickFields, textOf } from "../fields.ts";
import { COMPUTE } from "../google-apis.ts";
import { during } from "../google-error.ts";
import { DELETION_RULES, one } from "../property-rules.ts";
import { parseId } from "../resource-type.ts";
import type { ResourceType } from "../resource-type.ts";
import {
  createCompute,
  deleteCompute,
  findCompute,
  loggingOf,
  networkLink,
  regionalPlace,
  regionLink,
  regionOf,
} from "./compute-resource.ts";

const SUBNETWORK_ID = "projects/{project}/regions/{region}/subnetworks/{name}";

export const SUBNETWORK: ResourceType = {
  token: "gcp:compute/subnetwork:Subnetwork",
  label: "ComputeSubnetwork",
  autonamed: "name",
  places: ["project", "region"],
  rules: {
    name: "replace",
    project: "replace computed",
    region: "replace computed link",
    network: "replace link",
    description: "replace",
    ipCidrRange: "computed",
    privateIpGoogleAccess: "computed",
    purpose: "computed",
    stackType: "computed",
    logConfig: one("", { aggregationInterval: "", flowSampling: "", metadata: "", filterExpr: "" }),
    ...DELETION_RULES,
    gatewayAddress: "output",
    selfLink: "output",
    creationTimestamp: "output",
  },
  async create(cloud, inputs) {
    const { project, region, path } = regionalPlace(cloud, inputs, "subnetworks");
    const body = {
      ...omitEmpty(pickFields(inputs, ["ipCidrRange", "name", "privateIpGoogleAccess"])),
      ...omitEmpty(pickFields(inputs, ["description", "purpose", "stackType"])),
      logConfig: loggingOf(inputs["logConfig"]),
      network: networkLink(project, inputs["network"]),
      region: regionLink(project, region),
    };
    await createCompute(cloud, path, "Subnetwork", body);
    return `${path}/${textOf(inputs["name"])}`;
  },
  async read(cloud, id) {
    const answer = await findCompute(cloud, id, "ComputeSubnetwork");
    if (answer === undefined) return undefined;
    const { project, name } = parseId(SUBNETWORK_ID, id);
    const logging = fieldsOf(answer["logConfig"]);
    const shown = ["description", "ipCidrRange", "privateIpGoogleAccess", "purpose", "stackType", "network"];
    return omitAbsent({
      project,
      name,
      ...pickFields(answer, [...shown, "gatewayAddress", "selfLink", "creationTimestamp"]),
      region: regionOf(answer),
      ...(logging["enable"] === true
        ? {
            logConfig: pickFields(logging, ["aggregationInterval", "flowSampling", "metadata", "filterExpr"]),
          }
        : {}),
    });
  },
  async update(cloud, { id, inputs, changed }) {
    await during(`Error updating Subnetwork ${JSON.stringify(id)}`, async () => {
      if (changed.has("ipCidrRange")) {
        const body = pickFields(inputs, ["ipCidrRange"]);
        await cloud.compute("POST", `${id}/expandIpCidrRange`, "Updating Subnetwork", { body });
      }
      if (changed.has("privateIpGoogleAccess")) {
        // The generated client leaves a false out.
        const body = omitEmpty(pickFields(inputs, ["privateIpGoogleAccess"]));
        await cloud.compute("POST", `${id}/setPrivateIpGoogleAccess`, "Updating Subnetwork", { body });
      }
      if (changed.has("logConfig")) {
        const { fingerprint } = await cloud.get(COMPUTE, id);
        const body = { fingerprint, logConfig: loggingOf(inputs["logConfig"]) };
        await cloud.compute("PATCH", id, "Updating Subnetwork", { body });
      }
    });
  },
  delete: (cloud, id) => deleteCompute(cloud, id, "Subnetwork"),
  findReplacing(state, inputs) {
    return isNarrower(textOf(state["ipCidrRange"]), textOf(inputs["ipCidrRange"])) ? ["ipCidrRange"] : [];
  },
};

/** Whether a range is not a wider one of the same addresses: only those can be set in place. */
function isNarrower(before: string, after: string): boolean {
  if (before === after || before === "" || !after.includes("/")) return false;
  const [old, wanted] = [parseCidr(before), parseCidr(after)];
  return (
    wanted.bits >= old.bits || old.address >>> (32 - wanted.bits) !== wanted.address >>> (32 - wanted.bits)
  );
}

function parseCidr(range: string): { address: number; bits: number } {
  const [address = "", bits = ""] = range.split("/");
  return {
    address: address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0) >>> 0,
    bits: Number(bits),
  };
}
