import { isMap } from "./overrides.ts";
import type { ConfigPath } from "./parse-yaml.ts";
import type { ConfigProblem } from "./problems.ts";
import { imageWins } from "./select-workload.ts";

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
    ...(valueAt(merged, ["target"]) === "gcp" ? checkGcp(merged) : []),
  ];
}

function checkGcp(merged: unknown): ConfigProblem[] {
  const gcp = valueAt(merged, ["targets", "gcp"]);
  return [
    ...(gcp === undefined ? [missing(["targets", "gcp"], "target is gcp")] : []),
    ...(valueAt(merged, ["workload", "image"]) === undefined
      ? [missing(["workload", "image"], "target is gcp, which runs images")]
      : []),
    ...(valueAt(merged, ["targets", "gcp", "nat"]) === true &&
    valueAt(merged, ["targets", "gcp", "address"]) !== "none"
      ? [
          refused(
            ["targets", "gcp", "nat"],
            "a machine with a public address has its way out; nat goes with address: none",
          ),
        ]
      : []),
    ...(isMap(valueAt(merged, ["proxy", "tls"]))
      ? [
          refused(
            ["proxy", "tls"],
            "the key of a certificate would have to leave this machine; on gcp take attested, whose key is born in the machine",
          ),
        ]
      : []),
  ];
}

function missing(path: ConfigPath, why: string): ConfigProblem {
  const around = path.slice(0, -1).join(".");
  const message = `missing key "${String(path.at(-1))}" in ${around}: ${why}`;
  return { code: "CONFIG_INVALID", path, part: "key", message };
}

function refused(path: ConfigPath, why: string): ConfigProblem {
  return { code: "CONFIG_INVALID", path, part: "value", message: `${path.join(".")}: ${why}` };
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
  const hasImage = valueAt(merged, ["workload", "image"]) !== undefined;
  return [
    ...(hasImage ? [] : refuseImageArguments(merged, "without an image")),
    ...(target === "local" ? checkLocalWorkload(merged) : []),
    ...(target === "local" && hasImage ? checkLocalArguments(merged) : []),
  ];
}

/** A process needs a program, a container an image; which of them it is has to be clear without asking the machine. */
function checkLocalWorkload(merged: unknown): ConfigProblem[] {
  const hasRun = valueAt(merged, ["targets", "local", "run"]) !== undefined;
  const hasImage = valueAt(merged, ["workload", "image"]) !== undefined;
  const engine = valueAt(merged, ["targets", "local", "engine"]) ?? "auto";
  if ((engine === "docker" || engine === "podman") && !hasImage) {
    return [
      {
        code: "CONFIG_INVALID",
        path: ["workload", "image"],
        part: "key",
        message: `missing key "image" in workload: targets.local.engine is ${engine}, which runs images`,
      },
    ];
  }
  if (hasRun || (engine !== "process" && hasImage)) return [];
  return [
    {
      code: "CONFIG_INVALID",
      path: ["targets", "local", "run"],
      part: "key",
      message: hasImage
        ? 'missing key "run" in targets.local: targets.local.engine is process, which runs no image'
        : 'missing key "run" in targets.local: nothing says which program to start',
    },
  ];
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

/** Where the program runs, what would replace the image's command must not be lost without a word. */
function checkLocalArguments(merged: unknown): ConfigProblem[] {
  const engine = valueAt(merged, ["targets", "local", "engine"]);
  const run = valueAt(merged, ["targets", "local", "run"]);
  return imageWins(engine, run)
    ? []
    : refuseImageArguments(merged, "while targets.local.run runs in place of the image");
}

function refuseImageArguments(merged: unknown, circumstance: string): ConfigProblem[] {
  return ["entrypoint", "args"]
    .filter((key) => {
      const value = valueAt(merged, ["workload", key]);
      return Array.isArray(value) && value.length > 0;
    })
    .map((key) => ({
      code: "CONFIG_INVALID",
      path: ["workload", key],
      part: "key",
      message: `workload.${key} has no effect ${circumstance}; arguments of the program stand in targets.local.run`,
    }));
}

/** Undefined where there is nothing, and where something else than a map is in the way. */
function valueAt(root: unknown, path: ConfigPath): unknown {
  return path.reduce<unknown>((value, step) => (isMap(value) ? value[step] : undefined), root);
}
