import type { Call, Handler } from "../api.ts";
import type { ComputeState } from "./compute-state.ts";
import { inUse, invalidUsage, invalidValue, required, staleFingerprint } from "./compute-errors.ts";
import { formatAddress, parseRange, type Range, requireDescription, requireName } from "./field-rules.ts";
import { linkTo } from "./links.ts";
import { listOf } from "./list.ts";
import { type Entry, fingerprintOf } from "./store.ts";

interface SubnetworkBody {
  readonly name?: string;
  readonly description?: string;
  readonly network?: string;
  readonly ipCidrRange?: string;
  readonly privateIpGoogleAccess?: boolean;
  readonly logConfig?: { readonly enable?: boolean };
  readonly fingerprint?: string;
}

export interface SubnetworkJson extends SubnetworkBody {
  readonly kind: "compute#subnetwork";
  readonly name: string;
  readonly network: string;
  readonly ipCidrRange: string;
  readonly region: string;
  readonly selfLink: string;
}

const MIN_PREFIX = 8;
const MAX_PREFIX = 29;

/** Subnetworks: ranges of a network in a region. */
export function subnetworkMethods(state: ComputeState): Readonly<Record<string, Handler>> {
  const named = (call: Call): Entry<SubnetworkJson> =>
    state.named(call, state.subnetworks, "subnetworks", "subnetwork");
  const idle = (call: Call, permission: string): Entry<SubnetworkJson> => {
    const entry = state.subnetworks.getIdle(named(call).path);
    state.require(call, permission, entry.path);
    return entry;
  };

  return {
    "compute.subnetworks.get": (call) => {
      const entry = named(call);
      state.require(call, "compute.subnetworks.get", entry.path);
      return entry.json;
    },
    "compute.subnetworks.list": (call) => {
      const { prefix } = state.scope(call);
      state.require(call, "compute.subnetworks.list", prefix);
      const all = state.subnetworks.all(`${prefix}/`).filter(({ isVisible }) => isVisible);
      return listOf(
        call,
        "compute#subnetworkList",
        `${prefix}/subnetworks`,
        all.map(({ json }) => json),
      );
    },
    "compute.subnetworks.insert": (call) => {
      const scope = state.scope(call);
      const body = call.body as SubnetworkBody;
      const path = `${scope.prefix}/subnetworks/${requireName(body.name)}`;
      requireDescription(body.description);
      state.require(call, "compute.subnetworks.create", path);
      if (body.network === undefined || body.network === "") throw required("resource.network");
      const network = state.referenced(state.networks, body.network, scope, "resource.network");
      if (network.json.autoCreateSubnetworks === true) {
        throw invalidUsage(`Cannot create subnetworks in an auto mode network ${network.path}`);
      }
      requireRange(state, body.ipCidrRange, network.json.selfLink, undefined);
      return state.insert(call, state.subnetworks, path, (id) =>
        subnetworkJson(state, path, id, { ...body, network: network.json.selfLink }),
      );
    },
    "compute.subnetworks.patch": (call) => {
      const entry = idle(call, "compute.subnetworks.update");
      const { fingerprint, logConfig, privateIpGoogleAccess, description } = call.body as SubnetworkBody;
      if (fingerprint !== entry.json.fingerprint) throw staleFingerprint("subnetwork");
      return state.change(call, entry, "compute.subnetworks.patch", () => {
        update(entry, {
          ...(logConfig === undefined ? {} : { logConfig }),
          ...(privateIpGoogleAccess === undefined ? {} : { privateIpGoogleAccess }),
          ...(description === undefined ? {} : { description }),
        });
      });
    },
    "compute.subnetworks.setPrivateIpGoogleAccess": (call) => {
      const entry = idle(call, "compute.subnetworks.setPrivateIpGoogleAccess");
      const { privateIpGoogleAccess = false } = call.body as SubnetworkBody;
      return state.change(call, entry, "setPrivateIpGoogleAccess", () =>
        update(entry, { privateIpGoogleAccess }),
      );
    },
    "compute.subnetworks.expandIpCidrRange": (call) => {
      const entry = idle(call, "compute.subnetworks.expandIpCidrRange");
      const { ipCidrRange = "" } = call.body as SubnetworkBody;
      const wider = requireRange(state, ipCidrRange, entry.json.network, entry);
      const current = parseRange(entry.json.ipCidrRange);
      if (current === undefined || wider.first > current.first || wider.last < current.last) {
        throw invalidValue("ipCidrRange", ipCidrRange, "The new range must contain the current one.");
      }
      return state.change(call, entry, "expandIpCidrRange", () => update(entry, { ipCidrRange }));
    },
    "compute.subnetworks.delete": (call) => {
      const entry = idle(call, "compute.subnetworks.delete");
      const user = state.instances
        .all()
        .find(({ json }) =>
          json.networkInterfaces.some(({ subnetwork }) => subnetwork === entry.json.selfLink),
        );
      if (user !== undefined) throw inUse(entry.path, user.path);
      return state.remove(call, state.subnetworks, entry);
    },
  };
}

export function subnetworkJson(
  state: ComputeState,
  path: string,
  id: string,
  body: SubnetworkBody & { readonly network: string },
): SubnetworkJson {
  const ipCidrRange = body.ipCidrRange ?? "";
  const content = {
    kind: "compute#subnetwork" as const,
    id,
    creationTimestamp: state.timestamp(),
    name: body.name ?? "",
    ...(body.description === undefined ? {} : { description: body.description }),
    network: body.network,
    ipCidrRange,
    gatewayAddress: formatAddress((parseRange(ipCidrRange)?.first ?? 0) + 1),
    region: linkTo(path.split("/").slice(0, 4).join("/")),
    selfLink: linkTo(path),
    privateIpGoogleAccess: body.privateIpGoogleAccess ?? false,
    privateIpv6GoogleAccess: "DISABLE_GOOGLE_ACCESS",
    purpose: "PRIVATE",
    stackType: "IPV4_ONLY",
    logConfig: { enable: body.logConfig?.enable ?? false },
  };
  return { ...content, fingerprint: fingerprintOf(content) };
}

function update(entry: Entry<SubnetworkJson>, changes: Partial<SubnetworkBody>): void {
  const { fingerprint, ...content } = { ...entry.json, ...changes };
  entry.json = { ...content, fingerprint: fingerprintOf([content, fingerprint]) };
}

/** A range that no other subnetwork of the network touches. */
function requireRange(
  state: ComputeState,
  text: string | undefined,
  network: string,
  self: Entry<SubnetworkJson> | undefined,
): Range {
  const field = "resource.ipCidrRange";
  if (text === undefined || text === "") throw required(field);
  const range = text.includes("/") ? parseRange(text) : undefined;
  if (range === undefined)
    throw invalidValue(field, text, "The IP range is not a valid CIDR range without host bits.");
  if (range.prefixLength < MIN_PREFIX || range.prefixLength > MAX_PREFIX) {
    throw invalidValue(field, text, `The prefix length must be between ${MIN_PREFIX} and ${MAX_PREFIX}.`);
  }
  for (const other of state.subnetworks.all()) {
    const taken = parseRange(other.json.ipCidrRange);
    if (other === self || other.json.network !== network || taken === undefined) continue;
    if (range.first <= taken.last && taken.first <= range.last) {
      const region = other.path.split("/")[3] ?? "";
      throw invalidUsage(
        `Invalid IPCidrRange: ${text} conflicts with existing subnetwork '${other.name}' in region '${region}'`,
      );
    }
  }
  return range;
}
