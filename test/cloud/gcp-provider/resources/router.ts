import type { Cloud } from "../cloud.ts";
import { fieldsOf, lastSegment, listOf, omitAbsent, omitEmpty, pickFields, textOf } from "../fields.ts";
import type { Fields } from "../fields.ts";
import { COMPUTE } from "../google-apis.ts";
import { during, isNotFound } from "../google-error.ts";
import { anyOrder, DELETION_RULES, one } from "../property-rules.ts";
import { parseId, placeOf } from "../resource-type.ts";
import type { ResourceType } from "../resource-type.ts";
import {
  createCompute,
  deleteCompute,
  findCompute,
  networkLink,
  regionalPlace,
  regionLink,
  regionOf,
} from "./compute-resource.ts";

const ROUTER_ID = "projects/{project}/regions/{region}/routers/{name}";

export const ROUTER: ResourceType = {
  token: "gcp:compute/router:Router",
  label: "ComputeRouter",
  autonamed: "name",
  places: ["project", "region"],
  rules: {
    name: "replace",
    project: "replace computed",
    region: "replace computed link",
    network: "replace link",
    description: "",
    ...DELETION_RULES,
    creationTimestamp: "output",
    selfLink: "output",
  },
  async create(cloud, inputs) {
    const { project, region, path } = regionalPlace(cloud, inputs, "routers");
    const body = {
      ...pickFields(inputs, ["name", "description"]),
      bgp: null,
      network: networkLink(project, inputs["network"]),
      region: regionLink(project, region),
    };
    await createCompute(cloud, path, "Router", body);
    return `${path}/${textOf(inputs["name"])}`;
  },
  async read(cloud, id) {
    const answer = await findCompute(cloud, id, "ComputeRouter");
    if (answer === undefined) return undefined;
    const { project, name } = parseId(ROUTER_ID, id);
    return omitAbsent({
      project,
      name,
      ...pickFields(answer, ["network", "description", "creationTimestamp", "selfLink"]),
      region: regionOf(answer),
    });
  },
  async update(cloud, { id, inputs }) {
    const body = { bgp: null, ...pickFields(inputs, ["description"]) };
    await during(`Error updating Router ${JSON.stringify(id)}`, () =>
      cloud.compute("PATCH", id, "Updating Router", { body }),
    );
  },
  delete: (cloud, id) => deleteCompute(cloud, id, "Router"),
};

const NAT_ID = "{project}/{region}/{router}/{name}";
const NAT_FIELDS = [
  "name",
  "natIpAllocateOption",
  "natIps",
  "sourceSubnetworkIpRangesToNat",
  "minPortsPerVm",
  "type",
  "logConfig",
];

/** A NAT lives inside its router, and is made, changed and deleted by changing that. */
export const ROUTER_NAT: ResourceType = {
  token: "gcp:compute/routerNat:RouterNat",
  label: "ComputeRouterNat",
  autonamed: "name",
  places: ["project", "region"],
  defaults: { type: "PUBLIC" },
  rules: {
    name: "replace",
    project: "replace computed",
    region: "replace computed link",
    router: "replace link",
    natIpAllocateOption: "",
    natIps: "computed set",
    sourceSubnetworkIpRangesToNat: "",
    subnetworks: anyOrder("", { name: "link", sourceIpRangesToNats: "set" }),
    minPortsPerVm: "computed",
    type: "replace",
    logConfig: one("", { enable: "", filter: "" }),
    ...DELETION_RULES,
  },
  async create(cloud, inputs) {
    const project = placeOf(cloud, inputs, "project");
    const region = placeOf(cloud, inputs, "region");
    const router = lastSegment(inputs["router"]);
    const id = `${project}/${region}/${router}/${textOf(inputs["name"])}`;
    await during("Error creating RouterNat", () =>
      changeNats(cloud, id, "Creating RouterNat", (nats) => [...nats, natOf(inputs)]),
    );
    return id;
  },
  async read(cloud, id, known) {
    const parts = parseId(NAT_ID, id);
    const answer = await findCompute(cloud, routerOf(id), "ComputeRouterNat");
    const nat = listOf(answer?.["nats"])
      .map(fieldsOf)
      .find(({ name }) => name === parts["name"]);
    if (nat === undefined) return undefined;
    const subnetworks = listOf(nat["subnetworks"]).map((entry) => {
      const { name, sourceIpRangesToNat } = fieldsOf(entry);
      return { name, sourceIpRangesToNats: sourceIpRangesToNat };
    });
    return omitAbsent({
      ...parts,
      router: known["router"] ?? parts["router"],
      ...pickFields(nat, NAT_FIELDS),
      ...(subnetworks.length === 0 ? {} : { subnetworks }),
    });
  },
  async update(cloud, { id, inputs }) {
    await during(`Error updating RouterNat ${JSON.stringify(id)}`, () =>
      changeNats(cloud, id, "Updating RouterNat", (nats) =>
        nats.map((nat) => (fieldsOf(nat)["name"] === inputs["name"] ? natOf(inputs) : nat)),
      ),
    );
  },
  async delete(cloud, id) {
    const { name } = parseId(NAT_ID, id);
    try {
      await during("Error when reading or editing RouterNat", () =>
        changeNats(cloud, id, "Deleting RouterNat", (nats) =>
          nats.filter((nat) => fieldsOf(nat)["name"] !== name),
        ),
      );
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  },
};

function routerOf(natId: string): string {
  const { project, region, router } = parseId(NAT_ID, natId);
  return `projects/${project}/regions/${region}/routers/${router}`;
}

async function changeNats(
  cloud: Cloud,
  id: string,
  doing: string,
  change: (nats: readonly unknown[]) => readonly unknown[],
): Promise<void> {
  const router = routerOf(id);
  // Two NATs of one router at once would undo each other.
  await cloud.turns.take(router, async () => {
    const answer = await cloud.get(COMPUTE, router);
    await cloud.compute("PATCH", router, doing, { body: { nats: change(listOf(answer["nats"])) } });
  });
}

function natOf(inputs: Fields): Fields {
  const subnetworks = listOf(inputs["subnetworks"]).map((entry) => {
    const { name, sourceIpRangesToNats } = fieldsOf(entry);
    return { name, sourceIpRangesToNat: sourceIpRangesToNats };
  });
  return omitEmpty({ ...pickFields(inputs, NAT_FIELDS), subnetworks });
}
