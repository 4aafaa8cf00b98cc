import type { Api, Call, Handler } from "../api.ts";
import type { World } from "../world.ts";
import { addressMethods } from "./addresses.ts";
import { catalogMethods } from "./catalog-methods.ts";
import { invalidValue, notFound } from "./compute-errors.ts";
import { ComputeState } from "./compute-state.ts";
import { diskMethods } from "./disks.ts";
import { firewallMethods } from "./firewalls.ts";
import { imageMethods } from "./images.ts";
import { instanceChangeMethods } from "./instance-changes.ts";
import { instanceMethods } from "./instance-lifecycle.ts";
import { networkMethods } from "./networks.ts";
import { routerMethods } from "./routers.ts";
import { subnetworkMethods } from "./subnetworks.ts";

/** Compute Engine, v1 and beta: the part of it that a stack uses. */
export function createCompute(world: World): Api {
  const state = new ComputeState(world);
  const handlers = {
    ...catalogMethods(state),
    ...imageMethods(state),
    ...networkMethods(state),
    ...subnetworkMethods(state),
    ...firewallMethods(state),
    ...addressMethods(state),
    ...routerMethods(state),
    ...diskMethods(state),
    ...instanceMethods(state),
    ...instanceChangeMethods(state),
  };
  return {
    name: "compute",
    title: "Compute Engine API",
    documents: ["compute.v1.json", "compute.beta.json"],
    // The provider asks v1 for a view that only the beta document has.
    undocumentedQuery: { "compute.instances.get": ["view"] },
    unknownProject: (project) => notFound(`projects/${project}`),
    handlers: { ...onceByRequestId(handlers), ...operationMethods(state) },
  };
}

function operationMethods(state: ComputeState): Readonly<Record<string, Handler>> {
  const pathOf = (call: Call): string =>
    `${state.scope(call).prefix}/operations/${call.params["operation"] ?? ""}`;
  const methods = ["globalOperations", "regionOperations", "zoneOperations"].flatMap((collection) => [
    [
      `compute.${collection}.get`,
      (call: Call) => {
        state.require(call, `compute.${collection}.get`, state.scope(call).prefix);
        return state.operations.poll(pathOf(call));
      },
    ],
    [
      `compute.${collection}.wait`,
      (call: Call) => {
        state.require(call, `compute.${collection}.get`, state.scope(call).prefix);
        return state.operations.finish(pathOf(call));
      },
    ],
  ]);
  return Object.fromEntries(methods) as Readonly<Record<string, Handler>>;
}

/** A request that is sent twice with one `requestId` is done once: the second answer is the first one. */
function onceByRequestId(handlers: Readonly<Record<string, Handler>>): Readonly<Record<string, Handler>> {
  const answers = new Map<string, unknown>();
  const wrap =
    (handler: Handler): Handler =>
    (call) => {
      const requestId = call.query.get("requestId");
      if (requestId === null) return handler(call);
      if (!/^(?!0{8})[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(requestId)) {
        throw invalidValue("requestId", requestId, "Must be a valid UUID.");
      }
      const key = JSON.stringify([call.caller.member, call.methodId, call.params, requestId]);
      if (!answers.has(key)) answers.set(key, handler(call));
      return answers.get(key);
    };
  return Object.fromEntries(Object.entries(handlers).map(([id, handler]) => [id, wrap(handler)]));
}
