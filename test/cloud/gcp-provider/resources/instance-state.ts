import type { Cloud } from "../cloud.ts";
import {
  fieldsOf,
  isEmpty,
  lastSegment,
  listOf,
  omitAbsent,
  pickFields,
  textOf,
  textsOf,
} from "../fields.ts";
import type { Fields } from "../fields.ts";
import { COMPUTE } from "../google-apis.ts";
import { during } from "../google-error.ts";
import { parseId, readLabels } from "../resource-type.ts";
import { expandScope } from "./instance-body.ts";

const INSTANCE_ID = "projects/{project}/zones/{zone}/instances/{name}";

/**
 * The state of an instance, from it and from its boot disk.
 *
 * @throws {Error} where the answer lacks what makes the real provider crash
 */
export async function readInstance(cloud: Cloud, id: string, known: Fields): Promise<Fields | undefined> {
  const instance = await during(`Error when reading or editing Instance ${JSON.stringify(id)}`, () =>
    cloud.find(COMPUTE, id, { view: "FULL" }),
  );
  if (instance === undefined) return undefined;
  const { project = "", zone: givenZone = "", name } = parseId(INSTANCE_ID, id);
  const disk = fieldsOf(listOf(instance["disks"])[0]);
  if (instance["metadata"] === undefined || isEmpty(disk["source"])) {
    throw new Error(
      `the answer for ${id} has no metadata or no disks[].source: the real provider crashes on it with "error reading from server: EOF"`,
    );
  }
  const source = `projects/${project}/zones/${givenZone}/disks/${lastSegment(disk["source"])}`;
  const bootDisk = await cloud.get(COMPUTE, source);
  return omitAbsent({
    ...pickFields(known, ["allowStoppingForUpdate", "desiredStatus"]),
    ...pickFields(instance, ["description", "hostname", "minCpuPlatform", "cpuPlatform", "selfLink"]),
    ...pickFields(instance, ["creationTimestamp", "labelFingerprint"]),
    project,
    name,
    zone: isEmpty(instance["zone"]) ? undefined : lastSegment(instance["zone"]),
    machineType: isEmpty(instance["machineType"]) ? undefined : lastSegment(instance["machineType"]),
    canIpForward: instance["canIpForward"] ?? false,
    deletionProtection: instance["deletionProtection"] ?? false,
    currentStatus: instance["status"],
    instanceId: textOf(instance["id"]),
    metadata: Object.fromEntries(
      listOf(fieldsOf(instance["metadata"])["items"]).map((item) => [
        textOf(fieldsOf(item)["key"]),
        textOf(fieldsOf(item)["value"]),
      ]),
    ),
    metadataFingerprint: textOf(fieldsOf(instance["metadata"])["fingerprint"]),
    tags: textsOf(fieldsOf(instance["tags"])["items"]),
    tagsFingerprint: textOf(fieldsOf(instance["tags"])["fingerprint"]),
    bootDisk: readDisk(disk, bootDisk, known),
    networkInterfaces: listOf(instance["networkInterfaces"]).map((nic) => readNic(fieldsOf(nic))),
    serviceAccount: readAccount(instance, known),
    scheduling: readScheduling(instance["scheduling"]),
    shieldedInstanceConfig: instance["shieldedInstanceConfig"],
    // The real provider keeps what it knew where the answer has no such block at all, and so plans nothing.
    confidentialInstanceConfig: readConfidential(
      instance["confidentialInstanceConfig"] ?? known["confidentialInstanceConfig"],
    ),
    ...readLabels(cloud, instance, known),
  });
}

function readDisk(attached: Fields, disk: Fields, known: Fields): Fields {
  const given = fieldsOf(fieldsOf(fieldsOf(known["bootDisk"])["initializeParams"])["labels"]);
  const labels = Object.entries(fieldsOf(disk["labels"])).filter(([key]) => given[key] !== undefined);
  return omitAbsent({
    ...pickFields(attached, ["autoDelete", "deviceName", "mode", "source"]),
    initializeParams: omitAbsent({
      image: disk["sourceImage"],
      size: disk["sizeGb"] === undefined ? undefined : Number(disk["sizeGb"]),
      type: isEmpty(disk["type"]) ? undefined : lastSegment(disk["type"]),
      labels: Object.fromEntries(labels),
    }),
  });
}

function readNic(nic: Fields): Fields {
  return omitAbsent({
    ...pickFields(nic, ["network", "subnetwork", "nicType", "stackType", "name"]),
    networkIp: nic["networkIP"],
    subnetworkProject: /projects\/([^/]+)\//.exec(textOf(nic["subnetwork"]))?.[1],
    accessConfigs: listOf(nic["accessConfigs"])
      .map(fieldsOf)
      .map(({ natIP, networkTier, publicPtrDomainName }) =>
        omitAbsent({ natIp: natIP, networkTier, publicPtrDomainName }),
      ),
  });
}

/** Scopes by the names that the program gave them. */
function readAccount(instance: Fields, known: Fields): Fields | undefined {
  const account = fieldsOf(listOf(instance["serviceAccounts"])[0]);
  if (isEmpty(account)) return undefined;
  const given = textsOf(fieldsOf(known["serviceAccount"])["scopes"]);
  const scopes = textsOf(account["scopes"]).map(
    (scope) => given.find((alias) => expandScope(alias) === scope) ?? scope,
  );
  return { email: account["email"], scopes };
}

function readScheduling(scheduling: unknown): Fields | undefined {
  if (scheduling === undefined) return undefined;
  return pickFields(fieldsOf(scheduling), [
    "automaticRestart",
    "onHostMaintenance",
    "preemptible",
    "provisioningModel",
    "hostErrorTimeoutSeconds",
  ]);
}

function readConfidential(config: unknown): Fields | undefined {
  if (config === undefined) return undefined;
  return pickFields(fieldsOf(config), ["enableConfidentialCompute", "confidentialInstanceType"]);
}
