import { isMap } from "./overrides.ts";
import type { ConfigPath } from "./parse-yaml.ts";
import type { ConfigProblem } from "./problems.ts";

/**
 * What several keys together must satisfy, for one stack. Takes the merged but unparsed values, so that these problems are
 * reported beside those of single keys; whatever is not of the right type is left to the schema.
 */
export function checkConfig(merged: unknown): ConfigProblem[] {
  if (!isMap(merged)) return [];
  return [
    ...checkVariableNames(merged),
    ...checkWorkload(merged),
    ...checkPorts(merged),
    ...checkKeyApi(merged),
  ];
}

function checkVariableNames(merged: unknown): ConfigProblem[] {
  const env = valueAt(merged, ["workload", "env"]);
  const secrets = valueAt(merged, ["workload", "secrets"]);
  if (!isMap(env) || !isMap(secrets)) return [];
  return Object.keys(secrets)
    .filter((name) => Object.hasOwn(env, name))
    .map((name) => ({
      code: "CONFIG_INVALID",
      path: ["workload", "secrets", name],
      part: "key",
      message: `"${name}" stands in workload.env and in workload.secrets; only one of them can set it`,
    }));
}

function checkWorkload(merged: unknown): ConfigProblem[] {
  const target = valueAt(merged, ["target"]) ?? "local";
  if (target !== "local") return [];
  const run = valueAt(merged, ["targets", "local", "run"]);
  if (valueAt(merged, ["workload", "image"]) !== undefined) {
    const instead = run === undefined ? "use targets.local.run" : "remove it: targets.local.run is what runs";
    return [
      {
        code: "IMAGE_NOT_SUPPORTED",
        path: ["workload", "image"],
        part: "value",
        message: `workload.image: the local target cannot run images in this version; ${instead}`,
      },
    ];
  }
  const missing: ConfigProblem = {
    code: "CONFIG_INVALID",
    path: ["targets", "local", "run"],
    part: "key",
    message: 'missing key "run" in targets.local: nothing says which program to start',
  };
  return [...(run === undefined ? [missing] : []), ...checkImageArguments(merged)];
}

function checkPorts(merged: unknown): ConfigProblem[] {
  const port = valueAt(merged, ["workload", "port"]);
  if (typeof port !== "number" || port !== valueAt(merged, ["proxy", "port"])) return [];
  return [
    {
      code: "CONFIG_INVALID",
      path: ["proxy", "port"],
      part: "value",
      message: "proxy.port: workload.port is the same; the endpoint and the workload need a port each",
    },
  ];
}

function checkKeyApi(merged: unknown): ConfigProblem[] {
  const isOn = valueAt(merged, ["proxy", "workloadKeyApi"]) === true;
  if (!isOn || valueAt(merged, ["key", "kind"]) !== "ephemeral") return [];
  return [
    {
      code: "CONFIG_INVALID",
      path: ["proxy", "workloadKeyApi"],
      part: "value",
      message:
        "proxy.workloadKeyApi: key.kind is ephemeral, so what is sealed to the key could not be opened after the next start of the proxy",
    },
  ];
}

function checkImageArguments(merged: unknown): ConfigProblem[] {
  return ["entrypoint", "args"]
    .filter((key) => {
      const value = valueAt(merged, ["workload", key]);
      return Array.isArray(value) && value.length > 0;
    })
    .map((key) => ({
      code: "CONFIG_INVALID",
      path: ["workload", key],
      part: "key",
      message: `workload.${key} has no effect without an image; arguments of the program stand in targets.local.run`,
    }));
}

/** Undefined where there is nothing, and where something else than a map is in the way. */
function valueAt(root: unknown, path: ConfigPath): unknown {
  return path.reduce<unknown>((value, step) => (isMap(value) ? value[step] : undefined), root);
}
