import { fieldsOf, lastSegment, textOf } from "../fields.ts";
import { COMPUTE } from "../google-apis.ts";
import { during } from "../google-error.ts";
import { DELETION_RULES, LABEL_RULES, many, one } from "../property-rules.ts";
import { placeOf } from "../resource-type.ts";
import type { ResourceType } from "../resource-type.ts";
import { createBody, resolveImage } from "./instance-body.ts";
import { readInstance } from "./instance-state.ts";
import { updateInstance } from "./instance-update.ts";

export const INSTANCE: ResourceType = {
  token: "gcp:compute/instance:Instance",
  label: "ComputeInstance",
  autonamed: "name",
  places: ["project", "zone"],
  defaults: {
    bootDisk: { autoDelete: true, mode: "READ_WRITE" },
    scheduling: { automaticRestart: true },
    shieldedInstanceConfig: { enableIntegrityMonitoring: true, enableVtpm: true },
  },
  rules: {
    name: "replace",
    project: "replace computed",
    zone: "replace computed link",
    machineType: "link",
    minCpuPlatform: "computed",
    description: "",
    canIpForward: "",
    deletionProtection: "",
    allowStoppingForUpdate: "virtual",
    desiredStatus: "",
    hostname: "replace",
    metadata: "map",
    tags: "set",
    ...LABEL_RULES,
    ...DELETION_RULES,
    bootDisk: one("replace", {
      autoDelete: "",
      deviceName: "replace computed",
      mode: "replace",
      source: "replace computed",
      initializeParams: one("replace computed", {
        image: "replace computed image",
        size: "computed",
        type: "replace computed link",
        labels: "computed map",
      }),
    }),
    networkInterfaces: many("replace", {
      network: "computed link",
      subnetwork: "computed link",
      subnetworkProject: "computed",
      networkIp: "computed",
      nicType: "replace",
      stackType: "computed",
      accessConfigs: many("", { natIp: "computed", networkTier: "computed", publicPtrDomainName: "" }),
      name: "output",
    }),
    serviceAccount: one("", { email: "computed", scopes: "set scopes" }),
    scheduling: one("computed", {
      automaticRestart: "",
      onHostMaintenance: "computed",
      preemptible: "replace",
      provisioningModel: "replace computed",
      hostErrorTimeoutSeconds: "",
    }),
    shieldedInstanceConfig: one("computed", {
      enableSecureBoot: "",
      enableVtpm: "",
      enableIntegrityMonitoring: "",
    }),
    confidentialInstanceConfig: one("replace computed", {
      enableConfidentialCompute: "",
      confidentialInstanceType: "",
    }),
    cpuPlatform: "output",
    creationTimestamp: "output",
    currentStatus: "output",
    instanceId: "output",
    labelFingerprint: "output",
    metadataFingerprint: "output",
    selfLink: "output",
    tagsFingerprint: "output",
  },
  async create(cloud, inputs) {
    const project = placeOf(cloud, inputs, "project");
    const zone = placeOf(cloud, inputs, "zone");
    const path = `projects/${project}/zones/${zone}/instances`;
    const disk = fieldsOf(fieldsOf(inputs["bootDisk"])["initializeParams"]);
    const image = await resolveImage(cloud, project, textOf(disk["image"]));
    const body = createBody(cloud, { project, zone, image, inputs });
    const operation = await during("Error creating instance", () =>
      cloud.call(COMPUTE, "POST", path, { body }),
    );
    await cloud.waitForCompute(path, operation, "instance to create");
    const id = `${path}/${textOf(inputs["name"])}`;
    await cloud.poll(async () => (await cloud.get(COMPUTE, id, { view: "FULL" }))["status"] === "RUNNING");
    return id;
  },
  read: readInstance,
  update: updateInstance,
  async delete(cloud, id, state) {
    if (state["deletionProtection"] === true) {
      throw new Error(
        `Cannot delete instance ${lastSegment(id)}: instance Deletion Protection is enabled. Set deletion_protection to ` +
          'false for this resource and run "terraform apply" before attempting to delete it.',
      );
    }
    // A machine that is gone already is an error here, unlike with networks.
    const operation = await during("Error deleting instance", () => cloud.call(COMPUTE, "DELETE", id));
    await cloud.waitForCompute(id, operation, "instance to delete");
  },
};
