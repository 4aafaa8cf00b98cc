import type { Call, Handler } from "../api.ts";
import type { ComputeState, Scope } from "./compute-state.ts";
import { invalidValue, required } from "./compute-errors.ts";
import { isPortRange, parseRange, requireDescription, requireName, requireTags } from "./field-rules.ts";
import { linkTo, pathOf } from "./links.ts";
import { listOf } from "./list.ts";
import type { Entry } from "./store.ts";

interface Rule {
  readonly IPProtocol?: string;
  readonly ports?: readonly string[];
}

interface FirewallBody {
  readonly name?: string;
  readonly description?: string;
  readonly network?: string;
  readonly priority?: number;
  readonly direction?: string;
  readonly allowed?: readonly Rule[];
  readonly denied?: readonly Rule[];
  readonly sourceRanges?: readonly string[];
  readonly destinationRanges?: readonly string[];
  readonly sourceTags?: readonly string[];
  readonly targetTags?: readonly string[];
  readonly targetServiceAccounts?: readonly string[];
  readonly sourceServiceAccounts?: readonly string[];
  readonly disabled?: boolean;
  readonly logConfig?: { readonly enable?: boolean };
}

export interface FirewallJson extends FirewallBody {
  readonly kind: "compute#firewall";
  readonly name: string;
  readonly network: string;
  readonly selfLink: string;
}

const PROTOCOLS = new Set(["all", "tcp", "udp", "icmp", "esp", "ah", "ipip", "sctp"]);
const MAX_PRIORITY = 65_535;

/** Firewall rules of networks. */
export function firewallMethods(state: ComputeState): Readonly<Record<string, Handler>> {
  const named = (call: Call): Entry<FirewallJson> =>
    state.named(call, state.firewalls, "firewalls", "firewall");
  return {
    "compute.firewalls.get": (call) => {
      const entry = named(call);
      state.require(call, "compute.firewalls.get", entry.path);
      return entry.json;
    },
    "compute.firewalls.list": (call) => {
      const { prefix } = state.scope(call);
      state.require(call, "compute.firewalls.list", prefix);
      const all = state.firewalls.all(`${prefix}/`).filter(({ isVisible }) => isVisible);
      return listOf(
        call,
        "compute#firewallList",
        `${prefix}/firewalls`,
        all.map(({ json }) => json),
      );
    },
    "compute.firewalls.insert": (call) => {
      const scope = state.scope(call);
      const body = call.body as FirewallBody;
      const path = `${scope.prefix}/firewalls/${requireName(body.name)}`;
      state.require(call, "compute.firewalls.create", path);
      const json = toJson(state, scope, path, body);
      state.require(
        call,
        "compute.networks.updatePolicy",
        pathOf(json.network, scope.project.projectId) ?? "",
      );
      return state.insert(call, state.firewalls, path, (id) => ({
        id,
        creationTimestamp: state.timestamp(),
        ...json,
      }));
    },
    "compute.firewalls.patch": (call) => {
      const entry = state.firewalls.getIdle(named(call).path);
      state.require(call, "compute.firewalls.update", entry.path);
      const body = call.body as FirewallBody;
      if (body.direction !== undefined && body.direction !== entry.json.direction) {
        throw invalidValue("resource.direction", body.direction, "Direction cannot be changed.");
      }
      const json = toJson(state, state.scope(call), entry.path, { ...entry.json, ...body });
      return state.change(call, entry, "patch", () => {
        entry.json = json;
      });
    },
    "compute.firewalls.delete": (call) => {
      const entry = state.firewalls.getIdle(named(call).path);
      state.require(call, "compute.firewalls.delete", entry.path);
      return state.remove(call, state.firewalls, entry);
    },
  };
}

function toJson(state: ComputeState, scope: Scope, path: string, body: FirewallBody): FirewallJson {
  requireDescription(body.description);
  const network = state.referenced(
    state.networks,
    body.network ?? `${scope.prefix}/networks/default`,
    scope,
    "resource.network",
  );
  const direction = body.direction === undefined || body.direction === "" ? "INGRESS" : body.direction;
  const priority = body.priority ?? 1000;
  if (priority < 0 || priority > MAX_PRIORITY) {
    throw invalidValue("resource.priority", priority, `Must be between 0 and ${MAX_PRIORITY}.`);
  }
  requireRules(body);
  requireRanges("sourceRanges", body.sourceRanges);
  requireRanges("destinationRanges", body.destinationRanges);
  requireTags(body.sourceTags ?? []);
  requireTags(body.targetTags ?? []);
  const hasSource = [body.sourceRanges, body.sourceTags, body.sourceServiceAccounts].some(
    (list) => (list ?? []).length > 0,
  );
  if (direction === "EGRESS" && hasSource) {
    throw invalidValue(
      "resource.sourceRanges",
      body.sourceRanges ?? body.sourceTags,
      "Egress rules have no source.",
    );
  }
  if (direction === "INGRESS" && (body.destinationRanges ?? []).length > 0 && !hasSource) {
    throw required("resource.sourceRanges");
  }
  const lists = [
    "allowed",
    "denied",
    "sourceRanges",
    "destinationRanges",
    "sourceTags",
    "targetTags",
    "sourceServiceAccounts",
    "targetServiceAccounts",
  ] as const;
  return {
    ...body,
    // Empty lists of a patch mean that there is none of it any more.
    ...Object.fromEntries(lists.filter((name) => body[name]?.length === 0).map((name) => [name, undefined])),
    ...(direction === "INGRESS" && !hasSource ? { sourceRanges: ["0.0.0.0/0"] } : {}),
    kind: "compute#firewall",
    name: body.name ?? "",
    network: network.json.selfLink,
    direction,
    priority,
    disabled: body.disabled ?? false,
    logConfig: { enable: body.logConfig?.enable ?? false },
    selfLink: linkTo(path),
  };
}

function requireRules({ allowed = [], denied = [] }: FirewallBody): void {
  if (allowed.length > 0 && denied.length > 0) {
    throw invalidValue("resource.allowed", allowed, "Only one of allowed and denied can be specified.");
  }
  const [field, rules] = denied.length > 0 ? ["denied", denied] : ["allowed", allowed];
  if (rules.length === 0) throw required("resource.allowed");
  rules.forEach(({ IPProtocol: protocol = "", ports = [] }, index) => {
    const at = `resource.${field}[${index}]`;
    const number = /^\d{1,3}$/.test(protocol) ? Number(protocol) : undefined;
    if (!PROTOCOLS.has(protocol.toLowerCase()) && (number === undefined || number > 255)) {
      throw invalidValue(`${at}.IPProtocol`, protocol, "Unknown protocol.");
    }
    if (ports.length > 0 && !["tcp", "udp", "sctp", "6", "17", "132"].includes(protocol.toLowerCase())) {
      throw invalidValue(`${at}.ports`, ports, "Ports are for TCP, UDP and SCTP only.");
    }
    ports.forEach((port, portIndex) => {
      if (!isPortRange(port)) {
        throw invalidValue(`${at}.ports[${portIndex}]`, port, "Ports must be between 0 and 65535.");
      }
    });
  });
}

function requireRanges(name: string, ranges: readonly string[] = []): void {
  ranges.forEach((range, index) => {
    if (parseRange(range) === undefined) {
      throw invalidValue(`resource.${name}[${index}]`, range, "Must be a valid CIDR address range.");
    }
  });
}
