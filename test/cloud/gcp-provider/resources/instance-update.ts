import type { Cloud } from "../cloud.ts";
import { fieldsOf, isEmpty, isSame, lastSegment, listOf, textOf, textsOf } from "../fields.ts";
import type { Fields } from "../fields.ts";
import { COMPUTE } from "../google-apis.ts";
import { during } from "../google-error.ts";
import { labelsToUpdate } from "../resource-type.ts";
import type { Update } from "../resource-type.ts";
import {
  accessConfigBody,
  accountBody,
  machineTypeLink,
  metadataItems,
  schedulingBody,
  shieldedBody,
} from "./instance-body.ts";

/** Changes that a running machine must be stopped for. */
const STOPPING = ["machineType", "minCpuPlatform", "serviceAccount", "shieldedInstanceConfig"];

const MUST_STOP =
  "Changing the machine_type, min_cpu_platform, service_account, enable_display, shielded_instance_config, " +
  "scheduling.node_affinities, scheduling.max_run_duration, network_interface.[#d].(network/subnetwork/subnetwork_project) " +
  "or advanced_machine_features on a started instance requires stopping it. To acknowledge this, please set " +
  'allow_stopping_for_update = true in your config. You can also stop it by setting desired_status = "TERMINATED", but the ' +
  "instance will not be restarted after the apply is finished.";

/**
 * One call for each thing that differs, in the real provider's order. A changed `confidentialInstanceConfig` is no call at all: the
 * update succeeds and the machine stays what it was.
 */
export async function updateInstance(cloud: Cloud, update: Update): Promise<void> {
  const { id, inputs, changed } = update;
  const instance = await cloud.get(COMPUTE, id, { view: "FULL" });
  const post = (verb: string, doing: string, body: Fields, query = {}): Promise<void> =>
    during(`Error updating ${doing}`, () =>
      cloud.compute("POST", `${id}/${verb}`, `${doing} to update`, { body, query }),
    );
  if (changed.has("metadata")) {
    const { metadata } = await cloud.get(COMPUTE, id);
    const { fingerprint } = fieldsOf(metadata);
    await post("setMetadata", "metadata", { fingerprint, items: metadataItems(inputs["metadata"]) });
  }
  if (changed.has("tags")) {
    const { fingerprint } = fieldsOf(instance["tags"]);
    await post("setTags", "tags", { fingerprint, items: [...textsOf(inputs["tags"])].sort() });
  }
  if (changed.has("labels")) {
    const { labelFingerprint } = instance;
    await post("setLabels", "labels", { labelFingerprint, labels: labelsToUpdate(cloud, update) });
  }
  if (changed.has("scheduling")) {
    await post("setScheduling", "scheduling policy", schedulingBody(fieldsOf(inputs["scheduling"])));
  }
  if (changed.has("networkInterfaces")) await updateAccess(cloud, update, instance);
  if (changed.has("bootDisk")) await updateDisk(cloud, update, instance);
  if (changed.has("deletionProtection")) {
    const deletionProtection = String(inputs["deletionProtection"] === true);
    await cloud.compute("POST", `${id}/setDeletionProtection`, "deletion protection to update", {
      query: { deletionProtection },
    });
  }
  if (STOPPING.some((name) => changed.has(name))) await updateStopped(cloud, update, instance);
  if (changed.has("desiredStatus")) {
    await cloud.compute(
      "POST",
      `${id}/${inputs["desiredStatus"] === "TERMINATED" ? "stop" : "start"}`,
      "status to update",
    );
  }
  if (changed.has("description") || changed.has("canIpForward")) {
    const body = {
      ...(await cloud.get(COMPUTE, id)),
      description: textOf(inputs["description"]),
      canIpForward: inputs["canIpForward"] ?? false,
    };
    await cloud.compute("PUT", id, "instance to update", { body });
  }
}

async function updateStopped(cloud: Cloud, { id, inputs, changed }: Update, instance: Fields): Promise<void> {
  const isRunning = instance["status"] === "RUNNING";
  if (isRunning && inputs["allowStoppingForUpdate"] !== true) throw new Error(MUST_STOP);
  const [, project = "", , zone = ""] = id.split("/");
  if (isRunning) await cloud.compute("POST", `${id}/stop`, "stopping instance");
  if (changed.has("machineType")) {
    const machineType = machineTypeLink(project, zone, inputs["machineType"]);
    await cloud.compute("POST", `${id}/setMachineType`, "updating machinetype", { body: { machineType } });
  }
  if (changed.has("minCpuPlatform")) {
    const body = { minCpuPlatform: textOf(inputs["minCpuPlatform"]) };
    await cloud.compute("POST", `${id}/setMinCpuPlatform`, "updating min cpu platform", { body });
  }
  if (changed.has("serviceAccount")) {
    const body = inputs["serviceAccount"] === undefined ? {} : accountBody(inputs);
    await cloud.compute("POST", `${id}/setServiceAccount`, "updating service account", { body });
  }
  if (changed.has("shieldedInstanceConfig")) {
    const body = shieldedBody(inputs) ?? {};
    await cloud.compute("PATCH", `${id}/updateShieldedInstanceConfig`, "shielded vm config update", { body });
  }
  if (isRunning) await cloud.compute("POST", `${id}/start`, "starting instance");
}

async function updateDisk(cloud: Cloud, { id, inputs, state }: Update, instance: Fields): Promise<void> {
  const [before, after] = [fieldsOf(state["bootDisk"]), fieldsOf(inputs["bootDisk"])];
  const attached = fieldsOf(listOf(instance["disks"])[0]);
  const size = fieldsOf(after["initializeParams"])["size"];
  if (size !== undefined && size !== fieldsOf(before["initializeParams"])["size"]) {
    const disk = `${id.split("/instances/")[0]}/disks/${lastSegment(attached["source"])}`;
    await cloud.compute("POST", `${disk}/resize`, "disk to resize", { body: { sizeGb: size } });
  }
  if (after["autoDelete"] !== undefined && after["autoDelete"] !== before["autoDelete"]) {
    const query = {
      autoDelete: String(after["autoDelete"] === true),
      deviceName: textOf(attached["deviceName"]),
    };
    await cloud.compute("POST", `${id}/setDiskAutoDelete`, "disk to update", { query });
  }
}

/**
 * @throws {Error} for another network, which the programs replace the machine for
 */
async function updateAccess(cloud: Cloud, { id, inputs, state }: Update, instance: Fields): Promise<void> {
  const before = listOf(state["networkInterfaces"]).map(fieldsOf);
  for (const [index, after] of listOf(inputs["networkInterfaces"]).map(fieldsOf).entries()) {
    const wanted = listOf(after["accessConfigs"]).map(fieldsOf);
    const old = listOf(before[index]?.["accessConfigs"]).map(fieldsOf);
    const networkInterface = textOf(fieldsOf(listOf(instance["networkInterfaces"])[index])["name"]);
    if (isSame(wanted.map(publicAddress), old.map(publicAddress))) {
      throw new Error(
        `the test provider does not move network interface ${networkInterface} to another network`,
      );
    }
    if (!isEmpty(old)) {
      const query = { accessConfig: "external-nat", networkInterface };
      await cloud.compute("POST", `${id}/deleteAccessConfig`, "old access_config to delete", { query });
    }
    for (const config of wanted) {
      const options = { query: { networkInterface }, body: accessConfigBody(config) };
      await cloud.compute("POST", `${id}/addAccessConfig`, "new access_config to add", options);
    }
    const body = { networkInterfaces: [networkInterface] };
    await cloud.compute("POST", `${id}/setSecurityPolicy`, "security policy to update", { body });
  }
}

function publicAddress(accessConfig: Fields): string {
  return textOf(accessConfig["natIp"]);
}
