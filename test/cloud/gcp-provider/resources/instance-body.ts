/** An instance as it is sent: nulls and empty texts are how Google's Go client writes what is not given. */
import type { Cloud } from "../cloud.ts";
import { fieldsOf, isEmpty, listOf, omitAbsent, omitEmpty, pickFields, textOf, textsOf } from "../fields.ts";
import type { Fields } from "../fields.ts";
import { COMPUTE } from "../google-apis.ts";
import { during } from "../google-error.ts";
import { relativeLink } from "../property-equality.ts";
import { labelsToSend } from "../resource-type.ts";
import { networkLink } from "./compute-resource.ts";

interface Creation {
  readonly project: string;
  readonly zone: string;
  /** Relative link, resolved. */
  readonly image: string;
  readonly inputs: Fields;
}

const SCOPE_ALIASES: Readonly<Record<string, string>> = {
  "cloud-platform": "https://www.googleapis.com/auth/cloud-platform",
  "logging-write": "https://www.googleapis.com/auth/logging.write",
  "monitoring-write": "https://www.googleapis.com/auth/monitoring.write",
  "storage-ro": "https://www.googleapis.com/auth/devstorage.read_only",
};

/**
 * An image by its link. The short form `project/name` is asked for as an image and then as a family; this happens at create only,
 * and never in a preview.
 */
export async function resolveImage(cloud: Cloud, project: string, image: string): Promise<string> {
  const link = relativeLink(image);
  if (link === "" || link.startsWith("projects/")) return link;
  const [first = "", second] = link.split("/");
  const [owner, name] = second === undefined ? [project, first] : [first, second];
  const images = `projects/${owner}/global/images`;
  return during(`Error resolving image name '${image}'`, async () => {
    if ((await cloud.find(COMPUTE, `${images}/${name}`)) !== undefined) return `${images}/${name}`;
    await cloud.get(COMPUTE, `${images}/family/${name}`);
    return `${images}/family/${name}`;
  });
}

export function createBody(cloud: Cloud, { project, zone, image, inputs }: Creation): Fields {
  return omitAbsent({
    name: inputs["name"],
    machineType: machineTypeLink(project, zone, inputs["machineType"]),
    ...omitEmpty(pickFields(inputs, ["minCpuPlatform", "description", "hostname"])),
    canIpForward: inputs["canIpForward"] ?? false,
    deletionProtection: inputs["deletionProtection"] ?? false,
    params: {},
    confidentialInstanceConfig: inputs["confidentialInstanceConfig"],
    shieldedInstanceConfig: shieldedBody(inputs),
    scheduling:
      inputs["scheduling"] === undefined ? undefined : schedulingBody(fieldsOf(inputs["scheduling"])),
    disks: [diskBody(project, zone, image, fieldsOf(inputs["bootDisk"]))],
    networkInterfaces: listOf(inputs["networkInterfaces"]).map((nic) => nicBody(project, fieldsOf(nic))),
    serviceAccounts: inputs["serviceAccount"] === undefined ? undefined : [accountBody(inputs)],
    tags: isEmpty(inputs["tags"]) ? undefined : { items: [...textsOf(inputs["tags"])].sort() },
    ...omitEmpty({ labels: labelsToSend(cloud, inputs) }),
    metadata: { items: metadataItems(inputs["metadata"]) },
  });
}

export function machineTypeLink(project: string, zone: string, machineType: unknown): string {
  const link = relativeLink(textOf(machineType));
  return link.includes("/") ? link : `projects/${project}/zones/${zone}/machineTypes/${link}`;
}

/** Sorted, as the client's maps come out. */
export function metadataItems(metadata: unknown): readonly Fields[] {
  return Object.entries(fieldsOf(metadata))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => ({ key, value }));
}

export function shieldedBody(inputs: Fields): Fields | undefined {
  const shielded = inputs["shieldedInstanceConfig"];
  if (shielded === undefined) return undefined;
  const { enableSecureBoot, enableVtpm, enableIntegrityMonitoring } = fieldsOf(shielded);
  return {
    enableSecureBoot: enableSecureBoot ?? false,
    enableVtpm: enableVtpm ?? false,
    enableIntegrityMonitoring: enableIntegrityMonitoring ?? false,
  };
}

export function schedulingBody(scheduling: Fields): Fields {
  return {
    ...omitEmpty(pickFields(scheduling, ["onHostMaintenance"])),
    automaticRestart: scheduling["automaticRestart"] ?? false,
    preemptible: scheduling["preemptible"] ?? false,
    provisioningModel: scheduling["provisioningModel"] ?? "",
    instanceTerminationAction: "",
    skipGuestOsShutdown: false,
    nodeAffinities: [null],
    gracefulShutdown: null,
    hostErrorTimeoutSeconds: scheduling["hostErrorTimeoutSeconds"] ?? null,
    localSsdRecoveryTimeout: null,
    maxRunDuration: null,
    onInstanceStopAction: null,
    preemptionNoticeDuration: null,
  };
}

export function accountBody(inputs: Fields): Fields {
  const { email, scopes } = fieldsOf(inputs["serviceAccount"]);
  return { email, scopes: textsOf(scopes).map(expandScope).sort() };
}

export function expandScope(scope: string): string {
  return SCOPE_ALIASES[scope] ?? scope;
}

export function accessConfigBody(accessConfig: Fields): Fields {
  return omitEmpty({
    natIP: accessConfig["natIp"],
    networkTier: accessConfig["networkTier"],
    publicPtrDomainName: accessConfig["publicPtrDomainName"],
    type: "ONE_TO_ONE_NAT",
  });
}

function diskBody(project: string, zone: string, image: string, disk: Fields): Fields {
  const { size, type, labels } = fieldsOf(disk["initializeParams"]);
  const typeLink = relativeLink(textOf(type));
  return {
    boot: true,
    autoDelete: disk["autoDelete"] ?? true,
    mode: disk["mode"] ?? "READ_WRITE",
    ...omitEmpty({ deviceName: disk["deviceName"], source: disk["source"] }),
    initializeParams: omitEmpty({
      diskSizeGb: textOf(size),
      diskType:
        typeLink === "" || typeLink.includes("/")
          ? typeLink
          : `projects/${project}/zones/${zone}/diskTypes/${typeLink}`,
      labels,
      sourceImage: image,
    }),
  };
}

/**
 * @throws {Error} for an interface without a network, which is the provider's own rule
 */
function nicBody(project: string, nic: Fields): Fields {
  if (isEmpty(nic["network"]) && isEmpty(nic["subnetwork"])) {
    throw new Error(
      "Error creating network interfaces: exactly one of network, subnetwork, or network_attachment must be provided",
    );
  }
  return omitEmpty({
    network: isEmpty(nic["network"]) ? undefined : networkLink(project, nic["network"]),
    subnetwork: relativeLink(textOf(nic["subnetwork"])),
    networkIP: nic["networkIp"],
    nicType: nic["nicType"],
    stackType: nic["stackType"],
    accessConfigs: listOf(nic["accessConfigs"]).map((config) => accessConfigBody(fieldsOf(config))),
  });
}
