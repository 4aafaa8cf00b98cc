import type { ComputeState, Scope } from "./compute-state.ts";
import type { InterfaceBody } from "./instance-body.ts";
import { addressUsers } from "./addresses.ts";
import { conditionNotMet, invalidUsage, invalidValue, required } from "./compute-errors.ts";
import { formatAddress, parseRange } from "./field-rules.ts";
import type { AccessConfig, NetworkInterface } from "./instance.ts";
import { regionOf } from "./links.ts";
import { fingerprintOf } from "./store.ts";

const MAX_INTERFACES = 8;

/** What a machine's network interfaces become. @throws {GoogleError} INVALID_ARGUMENT, like all of this file */
export function networkInterfaces(
  state: ComputeState,
  scope: Scope,
  bodies: readonly InterfaceBody[],
): readonly NetworkInterface[] {
  if (bodies.length === 0) throw required("resource.networkInterfaces");
  if (bodies.length > MAX_INTERFACES) {
    throw invalidValue("resource.networkInterfaces", bodies.length, `At most ${MAX_INTERFACES} are allowed.`);
  }
  return bodies.map((body, index) => networkInterface(state, scope, body, index));
}

function networkInterface(
  state: ComputeState,
  scope: Scope,
  body: InterfaceBody,
  index: number,
): NetworkInterface {
  const field = `resource.networkInterfaces[${index}]`;
  const zone = scope.prefix.split("/")[3] ?? "";
  const { network, subnetwork, ipCidrRange } = placeOf(state, scope, body, field);
  const name = `nic${index}`;
  const accessConfigs = (body.accessConfigs ?? []).map((config) =>
    accessConfig(state, scope, regionOf(zone), config, `${field}.accessConfigs[0]`),
  );
  if (accessConfigs.length > 1) {
    throw invalidValue(
      `${field}.accessConfigs`,
      accessConfigs.length,
      "At most one access config is allowed.",
    );
  }
  const networkIP = freeAddress(state, subnetwork, ipCidrRange);
  const content = { network, subnetwork, networkIP, name };
  return {
    kind: "compute#networkInterface",
    ...content,
    stackType: "IPV4_ONLY",
    ...(body.nicType === undefined || body.nicType === "UNSPECIFIED_NIC_TYPE"
      ? {}
      : { nicType: body.nicType }),
    fingerprint: fingerprintOf(content),
    ...(accessConfigs.length === 0 ? {} : { accessConfigs }),
  } as NetworkInterface;
}

function placeOf(
  state: ComputeState,
  scope: Scope,
  body: InterfaceBody,
  field: string,
): { readonly network: string; readonly subnetwork: string; readonly ipCidrRange: string } {
  const region = regionOf(scope.prefix.split("/")[3] ?? "");
  if (body.subnetwork !== undefined) {
    const { json, path } = state.referenced(state.subnetworks, body.subnetwork, scope, `${field}.subnetwork`);
    if (path.split("/")[3] !== region) {
      throw invalidValue(
        `${field}.subnetwork`,
        body.subnetwork,
        "The subnetwork is in another region than the instance.",
      );
    }
    if (body.network !== undefined) {
      const network = state.referenced(state.networks, body.network, scope, `${field}.network`);
      if (network.json.selfLink !== json.network) {
        throw invalidValue(`${field}.subnetwork`, body.subnetwork, "The subnetwork is of another network.");
      }
    }
    return { network: json.network, subnetwork: json.selfLink, ipCidrRange: json.ipCidrRange };
  }
  const reference = body.network ?? `projects/${scope.project.projectId}/global/networks/default`;
  const network = state.referenced(state.networks, reference, scope, `${field}.network`);
  const own = state.subnetworks
    .all(`projects/${scope.project.projectId}/regions/${region}/`)
    .find(({ json }) => json.network === network.json.selfLink);
  if (network.json.autoCreateSubnetworks !== true || own === undefined) {
    throw invalidUsage("Subnetwork should be specified for custom subnetmode network");
  }
  return { network: network.json.selfLink, subnetwork: own.json.selfLink, ipCidrRange: own.json.ipCidrRange };
}

/** An external address: the one that is named, or any. */
export function accessConfig(
  state: ComputeState,
  scope: Scope,
  region: string,
  config: AccessConfig,
  field: string,
): AccessConfig {
  if (config.type !== undefined && config.type !== "ONE_TO_ONE_NAT") {
    throw invalidValue(`${field}.type`, config.type, "Only ONE_TO_ONE_NAT is allowed.");
  }
  if (config.natIP !== undefined) {
    const reserved = state.addresses
      .all(`projects/${scope.project.projectId}/regions/${region}/`)
      .find(({ json, isVisible }) => json.address === config.natIP && isVisible);
    if (reserved === undefined) {
      throw invalidValue(
        `${field}.natIP`,
        config.natIP,
        `The specified external IP address '${config.natIP}' was not found in region '${region}'.`,
      );
    }
    const user = addressUsers(state, config.natIP)[0];
    if (user !== undefined) throw conditionNotMet(`External IP address: ${config.natIP} is already in-use.`);
  }
  return {
    kind: "compute#accessConfig",
    type: "ONE_TO_ONE_NAT",
    name: config.name ?? "external-nat",
    natIP: config.natIP ?? state.newExternalAddress(),
    networkTier: config.networkTier ?? "PREMIUM",
  };
}

/** The first address of a range that no machine has; Google keeps the first two and the last two. */
function freeAddress(state: ComputeState, subnetwork: string, ipCidrRange: string): string {
  const range = parseRange(ipCidrRange) ?? { first: 0, last: 0 };
  const taken = new Set(
    state.instances
      .all()
      .flatMap(({ json }) => json.networkInterfaces)
      .filter((nic) => nic.subnetwork === subnetwork)
      .map(({ networkIP }) => networkIP),
  );
  for (let address = range.first + 2; address < range.last - 1; address += 1) {
    if (!taken.has(formatAddress(address))) return formatAddress(address);
  }
  throw invalidUsage(`IP space of '${subnetwork}' is exhausted`);
}
