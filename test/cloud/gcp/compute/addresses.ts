import type { Call, Handler } from "../api.ts";
import type { ComputeState } from "./compute-state.ts";
import { inUse, staleFingerprint } from "./compute-errors.ts";
import { requireDescription, requireLabels, requireName } from "./field-rules.ts";
import { lastSegment, linkTo } from "./links.ts";
import { listOf } from "./list.ts";
import { quotaError } from "./quotas.ts";
import { type Entry, fingerprintOf } from "./store.ts";

interface AddressBody {
  readonly name?: string;
  readonly description?: string;
  readonly addressType?: string;
  readonly networkTier?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly labelFingerprint?: string;
}

export interface AddressJson extends AddressBody {
  readonly kind: "compute#address";
  readonly name: string;
  readonly address: string;
  readonly selfLink: string;
}

/** Reserved external addresses of a region. */
export function addressMethods(state: ComputeState): Readonly<Record<string, Handler>> {
  const named = (call: Call, parameter = "address"): Entry<AddressJson> =>
    state.named(call, state.addresses, "addresses", parameter);
  const toJson = ({ json }: Entry<AddressJson>): object => {
    const users = addressUsers(state, json.address);
    return {
      ...json,
      status: users.length === 0 ? "RESERVED" : "IN_USE",
      ...(users.length === 0 ? {} : { users }),
    };
  };
  return {
    "compute.addresses.get": (call) => {
      const entry = named(call);
      state.require(call, "compute.addresses.get", entry.path);
      return toJson(entry);
    },
    "compute.addresses.list": (call) => {
      const { prefix } = state.scope(call);
      state.require(call, "compute.addresses.list", prefix);
      const all = state.addresses.all(`${prefix}/`).filter(({ isVisible }) => isVisible);
      return listOf(call, "compute#addressList", `${prefix}/addresses`, all.map(toJson));
    },
    "compute.addresses.insert": (call) => {
      const { prefix, project } = state.scope(call);
      const body = call.body as AddressBody;
      const path = `${prefix}/addresses/${requireName(body.name)}`;
      requireDescription(body.description);
      requireLabels(body.labels);
      state.require(call, "compute.addresses.create", path);
      if (body.addressType === "INTERNAL") throw new Error("this cloud reserves external addresses only");
      const over = quotaError(state, project, lastSegment(prefix), { STATIC_ADDRESSES: 1 });
      const labels = body.labels ?? {};
      if (over !== undefined) {
        return state.operations.begin(call, {
          type: "insert",
          target: path,
          targetId: "0",
          finish: () => {
            throw over;
          },
        });
      }
      return state.insert(call, state.addresses, path, (id) => ({
        kind: "compute#address" as const,
        id,
        creationTimestamp: state.timestamp(),
        name: body.name ?? "",
        ...(body.description === undefined ? {} : { description: body.description }),
        address: state.newExternalAddress(),
        addressType: "EXTERNAL",
        networkTier: body.networkTier ?? "PREMIUM",
        region: linkTo(prefix),
        ...(body.labels === undefined ? {} : { labels }),
        labelFingerprint: fingerprintOf(labels),
        selfLink: linkTo(path),
      }));
    },
    "compute.addresses.setLabels": (call) => {
      const entry = state.addresses.getIdle(named(call, "resource").path);
      state.require(call, "compute.addresses.setLabels", entry.path);
      const { labels = {}, labelFingerprint } = call.body as AddressBody;
      requireLabels(labels);
      if (labelFingerprint !== entry.json.labelFingerprint) throw staleFingerprint("labels");
      return state.change(call, entry, "setLabels", () => {
        entry.json = { ...entry.json, labels, labelFingerprint: fingerprintOf(labels) };
      });
    },
    "compute.addresses.delete": (call) => {
      const entry = state.addresses.getIdle(named(call).path);
      state.require(call, "compute.addresses.delete", entry.path);
      const user = state.instances.all().find(({ json }) => usesAddress(json, entry.json.address));
      if (user !== undefined) throw inUse(entry.path, user.path);
      return state.remove(call, state.addresses, entry);
    },
  };
}

interface Interfaces {
  readonly networkInterfaces: readonly {
    readonly accessConfigs?: readonly { readonly natIP?: string }[];
  }[];
}

function usesAddress({ networkInterfaces }: Interfaces, address: string): boolean {
  return networkInterfaces.some(({ accessConfigs = [] }) =>
    accessConfigs.some(({ natIP }) => natIP === address),
  );
}

/** Links of the instances that have an address. */
export function addressUsers(state: ComputeState, address: string): readonly string[] {
  return state.instances
    .all()
    .filter(({ json }) => usesAddress(json, address))
    .map(({ path }) => linkTo(path));
}
