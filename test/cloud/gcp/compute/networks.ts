import type { Call, Handler } from "../api.ts";
import { regionNames } from "./catalog.ts";
import type { ComputeState } from "./compute-state.ts";
import { inUse, invalidValue } from "./compute-errors.ts";
import { formatAddress, parseRange, requireDescription, requireName } from "./field-rules.ts";
import { linkTo } from "./links.ts";
import { listOf } from "./list.ts";
import type { Entry } from "./store.ts";
import { subnetworkJson } from "./subnetworks.ts";

interface NetworkBody {
  readonly name?: string;
  readonly description?: string;
  readonly autoCreateSubnetworks?: boolean;
  readonly mtu?: number;
  readonly networkFirewallPolicyEnforcementOrder?: string;
  readonly routingConfig?: { readonly routingMode?: string };
}

export interface NetworkJson extends NetworkBody {
  readonly kind: "compute#network";
  readonly name: string;
  readonly selfLink: string;
}

const MIN_MTU = 1300;
const MAX_MTU = 8896;

/** Networks. Those in auto mode have a subnetwork in every region. */
export function networkMethods(state: ComputeState): Readonly<Record<string, Handler>> {
  const named = (call: Call): Entry<NetworkJson> => state.named(call, state.networks, "networks", "network");
  const toJson = (entry: Entry<NetworkJson>): object => {
    const subnetworks = state.subnetworks.all().filter(({ json }) => json.network === entry.json.selfLink);
    return {
      ...entry.json,
      ...(subnetworks.length === 0 ? {} : { subnetworks: subnetworks.map(({ json }) => json.selfLink) }),
    };
  };

  return {
    "compute.networks.get": (call) => {
      const entry = named(call);
      state.require(call, "compute.networks.get", entry.path);
      return toJson(entry);
    },
    "compute.networks.list": (call) => {
      const { prefix } = state.scope(call);
      state.require(call, "compute.networks.list", prefix);
      const all = state.networks.all(`${prefix}/`).filter(({ isVisible }) => isVisible);
      return listOf(call, "compute#networkList", `${prefix}/networks`, all.map(toJson));
    },
    "compute.networks.insert": (call) => {
      const { prefix, project } = state.scope(call);
      const body = call.body as NetworkBody;
      const path = `${prefix}/networks/${requireName(body.name)}`;
      requireDescription(body.description);
      state.require(call, "compute.networks.create", path);
      if (body.autoCreateSubnetworks === undefined) {
        throw invalidValue(
          "resource.IPv4Range",
          "",
          "Legacy networks are no longer supported: set autoCreateSubnetworks.",
        );
      }
      const mtu = body.mtu ?? 1460;
      if (mtu < MIN_MTU || mtu > MAX_MTU) {
        throw invalidValue("resource.mtu", mtu, `Must be between ${MIN_MTU} and ${MAX_MTU}.`);
      }
      const answer = state.insert(call, state.networks, path, (id) => ({
        kind: "compute#network" as const,
        id,
        creationTimestamp: state.timestamp(),
        name: body.name ?? "",
        ...(body.description === undefined ? {} : { description: body.description }),
        selfLink: linkTo(path),
        selfLinkWithId: linkTo(`${prefix}/networks/${id}`),
        autoCreateSubnetworks: body.autoCreateSubnetworks ?? false,
        routingConfig: { routingMode: body.routingConfig?.routingMode ?? "REGIONAL" },
        networkFirewallPolicyEnforcementOrder:
          body.networkFirewallPolicyEnforcementOrder ?? "AFTER_CLASSIC_FIREWALL",
        ...(body.mtu === undefined ? {} : { mtu }),
      }));
      if (body.autoCreateSubnetworks) addAutoSubnetworks(state, project.projectId, body.name ?? "", path);
      return answer;
    },
    "compute.networks.patch": (call) => {
      const entry = state.networks.getIdle(named(call).path);
      state.require(call, "compute.networks.update", entry.path);
      const { routingConfig, networkFirewallPolicyEnforcementOrder: order } = call.body as NetworkBody;
      return state.change(call, entry, "compute.networks.patch", () => {
        entry.json = {
          ...entry.json,
          ...(routingConfig === undefined ? {} : { routingConfig }),
          ...(order === undefined ? {} : { networkFirewallPolicyEnforcementOrder: order }),
        };
      });
    },
    "compute.networks.delete": (call) => {
      const entry = state.networks.getIdle(named(call).path);
      state.require(call, "compute.networks.delete", entry.path);
      const own = state.subnetworks.all().filter(({ json }) => json.network === entry.json.selfLink);
      const isAuto = entry.json.autoCreateSubnetworks === true;
      const user =
        (isAuto ? undefined : own[0]) ??
        [...state.firewalls.all(), ...state.routers.all()].find(
          ({ json }) => json.network === entry.json.selfLink,
        ) ??
        state.instances
          .all()
          .find(({ json }) => json.networkInterfaces.some(({ network }) => network === entry.json.selfLink));
      if (user !== undefined) throw inUse(entry.path, user.path);
      return state.change(call, entry, "delete", () => {
        for (const { path } of own) state.subnetworks.remove(path);
        state.networks.remove(entry.path);
      });
    },
  };
}

/** One subnetwork of 10.128.0.0/9 for each region, as auto mode has them. */
function addAutoSubnetworks(state: ComputeState, projectId: string, name: string, networkPath: string): void {
  const start = parseRange("10.128.0.0/9")?.first ?? 0;
  regionNames().forEach((region, index) => {
    const path = `projects/${projectId}/regions/${region}/subnetworks/${name}`;
    const range = `${formatAddress(start + index * 4096)}/20`;
    const entry = state.subnetworks.add(path, (id) =>
      subnetworkJson(state, path, id, { name, ipCidrRange: range, network: linkTo(networkPath) }),
    );
    entry.isVisible = true;
    entry.isBusy = false;
  });
}
