import type { Call, Handler } from "../api.ts";
import type { ComputeState, Scope } from "./compute-state.ts";
import { invalidValue, required } from "./compute-errors.ts";
import { requireDescription, requireName } from "./field-rules.ts";
import { linkTo } from "./links.ts";
import { listOf } from "./list.ts";
import type { Entry } from "./store.ts";

interface Nat {
  readonly name?: string;
  readonly natIpAllocateOption?: string;
  readonly natIps?: readonly string[];
  readonly sourceSubnetworkIpRangesToNat?: string;
  readonly subnetworks?: readonly {
    readonly name?: string;
    readonly sourceIpRangesToNat?: readonly string[];
  }[];
  readonly type?: string;
  readonly logConfig?: { readonly enable?: boolean; readonly filter?: string };
}

interface RouterBody {
  readonly name?: string;
  readonly description?: string;
  readonly network?: string;
  readonly nats?: readonly Nat[];
  readonly bgp?: Readonly<Record<string, unknown>>;
}

export interface RouterJson extends RouterBody {
  readonly kind: "compute#router";
  readonly name: string;
  readonly network: string;
  readonly selfLink: string;
}

/** Routers, and the address translation (NAT) in them. */
export function routerMethods(state: ComputeState): Readonly<Record<string, Handler>> {
  const named = (call: Call): Entry<RouterJson> => state.named(call, state.routers, "routers", "router");
  return {
    "compute.routers.get": (call) => {
      const entry = named(call);
      state.require(call, "compute.routers.get", entry.path);
      return entry.json;
    },
    "compute.routers.list": (call) => {
      const { prefix } = state.scope(call);
      state.require(call, "compute.routers.list", prefix);
      const all = state.routers.all(`${prefix}/`).filter(({ isVisible }) => isVisible);
      return listOf(
        call,
        "compute#routerList",
        `${prefix}/routers`,
        all.map(({ json }) => json),
      );
    },
    "compute.routers.insert": (call) => {
      const scope = state.scope(call);
      const body = call.body as RouterBody;
      const path = `${scope.prefix}/routers/${requireName(body.name)}`;
      requireDescription(body.description);
      state.require(call, "compute.routers.create", path);
      if (body.network === undefined || body.network === "") throw required("resource.network");
      const network = state.referenced(state.networks, body.network, scope, "resource.network");
      const nats = (body.nats ?? []).map((nat, index) => natJson(state, scope, nat, index));
      return state.insert(call, state.routers, path, (id) => ({
        kind: "compute#router" as const,
        id,
        creationTimestamp: state.timestamp(),
        name: body.name ?? "",
        ...(body.description === undefined ? {} : { description: body.description }),
        network: network.json.selfLink,
        region: linkTo(scope.prefix),
        ...(nats.length === 0 ? {} : { nats }),
        ...(body.bgp === undefined ? {} : { bgp: body.bgp }),
        selfLink: linkTo(path),
      }));
    },
    "compute.routers.patch": (call) => {
      const scope = state.scope(call);
      const entry = state.routers.getIdle(named(call).path);
      state.require(call, "compute.routers.update", entry.path);
      const body = call.body as RouterBody;
      const nats = body.nats?.map((nat, index) => natJson(state, scope, nat, index));
      const names = (nats ?? []).map(({ name }) => name);
      if (new Set(names).size !== names.length)
        throw invalidValue("resource.nats", names, "Duplicate NAT names.");
      return state.change(call, entry, "compute.routers.patch", () => {
        const { nats: current, ...rest } = entry.json;
        const kept = nats ?? current ?? [];
        entry.json = {
          ...rest,
          ...(kept.length === 0 ? {} : { nats: kept }),
          ...(body.description === undefined ? {} : { description: body.description }),
        };
      });
    },
    "compute.routers.delete": (call) => {
      const entry = state.routers.getIdle(named(call).path);
      state.require(call, "compute.routers.delete", entry.path);
      return state.remove(call, state.routers, entry);
    },
  };
}

function natJson(state: ComputeState, scope: Scope, nat: Nat, index: number): Nat {
  const field = `resource.nats[${index}]`;
  const name = requireName(nat.name);
  const { natIpAllocateOption: option, sourceSubnetworkIpRangesToNat: ranges } = nat;
  if (option === undefined || option === "") throw required(`${field}.natIpAllocateOption`);
  if (ranges === undefined || ranges === "") throw required(`${field}.sourceSubnetworkIpRangesToNat`);
  if ((option === "MANUAL_ONLY") !== (nat.natIps ?? []).length > 0) {
    throw invalidValue(
      `${field}.natIps`,
      nat.natIps ?? [],
      "Addresses are given with MANUAL_ONLY, and only then.",
    );
  }
  if ((ranges === "LIST_OF_SUBNETWORKS") !== (nat.subnetworks ?? []).length > 0) {
    throw invalidValue(
      `${field}.subnetworks`,
      nat.subnetworks ?? [],
      "Subnetworks are given with LIST_OF_SUBNETWORKS, and only then.",
    );
  }
  return {
    ...nat,
    name,
    ...(nat.natIps === undefined || nat.natIps.length === 0
      ? {}
      : {
          natIps: nat.natIps.map(
            (link) => state.referenced(state.addresses, link, scope, `${field}.natIps`).json.selfLink,
          ),
        }),
    ...(nat.subnetworks === undefined || nat.subnetworks.length === 0
      ? {}
      : {
          subnetworks: nat.subnetworks.map((item) => ({
            ...item,
            name: state.referenced(state.subnetworks, item.name ?? "", scope, `${field}.subnetworks`).json
              .selfLink,
          })),
        }),
    type: nat.type === undefined || nat.type === "" ? "PUBLIC" : nat.type,
    logConfig: { enable: nat.logConfig?.enable ?? false, filter: nat.logConfig?.filter ?? "ALL" },
  };
}
