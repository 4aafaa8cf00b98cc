import * as pulumi from "@pulumi/pulumi";
import { getMonitor } from "@pulumi/pulumi/runtime/settings.js";
import type { RegisterResourceRequest } from "@pulumi/pulumi/proto/resource_pb.js";
import type { PartProgram, ProgramOutputs } from "../part-program.ts";
import { answerOf } from "./cloud-answers.ts";

export type Fields = Readonly<Record<string, unknown>>;

/** A resource as the engine is asked for it. */
export interface RecordedResource {
  readonly type: string;
  readonly name: string;
  readonly isCustom: boolean;
  /** In the clear. */
  readonly inputs: Fields;
  /** Inputs that are marked as secret, by name. */
  readonly secretInputs: readonly string[];
  /** Logical name of the provider; empty for none. */
  readonly provider: string;
  /** Logical names of what it waits for, sorted. */
  readonly waitsFor: readonly string[];
  readonly options: {
    readonly protect: boolean;
    readonly retainOnDelete: boolean;
    /** Undefined: the provider decides. */
    readonly deleteBeforeReplace: boolean | undefined;
    readonly replaceOnChanges: readonly string[];
  };
}

export interface RecordedProgram {
  readonly resources: readonly RecordedResource[];
  readonly outputs: Fields;
  readonly evaluationMs: number;
}

/** Runs a program without engine and cloud: every resource is made at once, with what a cloud would fill in. */
export async function recordProgram<Outputs>(program: PartProgram<Outputs>): Promise<RecordedProgram> {
  const resources: RecordedResource[] = [];
  await pulumi.runtime.setMocks(
    { newResource: ({ type, name, inputs }) => answerOf(type, name, inputs), call: () => ({}) },
    "polaris",
    "hello-prod",
  );
  const monitor = getMonitor() as unknown as MockMonitor;
  const register = monitor.registerResource.bind(monitor);
  monitor.registerResource = (request, answer) => {
    if (request.getType() !== "pulumi:pulumi:Stack") resources.push(describe(request));
    return register(request, answer);
  };
  const started = performance.now();
  const given = (await pulumi.runtime.runInPulumiStack(program)) as ProgramOutputs<Outputs>;
  const outputs = await valueOf(pulumi.output(given));
  await pulumi.runtime.disconnect();
  const evaluationMs = performance.now() - started;
  // They come in an order of their own at each run.
  resources.sort((one, other) => (one.name < other.name ? -1 : 1));
  return { resources, outputs: outputs as Fields, evaluationMs };
}

interface MockMonitor {
  registerResource: (request: RegisterResourceRequest, answer: unknown) => Promise<void>;
}

function describe(request: RegisterResourceRequest): RecordedResource {
  const raw = (request.getObject()?.toJavaScript() ?? {}) as Fields;
  return {
    type: request.getType(),
    name: request.getName(),
    isCustom: request.getCustom(),
    inputs: reveal(raw) as Fields,
    secretInputs: Object.keys(raw).filter((name) => isSecret(raw[name])),
    provider: request.getProvider().split("::").at(-2) ?? "",
    waitsFor: request
      .getDependenciesList()
      .map((urn) => urn.split("::").at(-1) ?? "")
      .sort(),
    options: {
      protect: request.getProtect() ?? false,
      retainOnDelete: request.getRetainondelete() ?? false,
      deleteBeforeReplace: request.getDeletebeforereplacedefined()
        ? request.getDeletebeforereplace()
        : undefined,
      replaceOnChanges: request.getReplaceonchangesList(),
    },
  };
}

/** How the engine's protocol marks a secret (sdk/nodejs/runtime/rpc.ts). */
const SIGNATURE_KEY = "4dabf18193072939515e22adb298388d";
const SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270";

function isSecret(value: unknown): value is { readonly value: unknown } {
  return (
    typeof value === "object" && value !== null && Reflect.get(value, SIGNATURE_KEY) === SECRET_SIGNATURE
  );
}

function reveal(value: unknown): unknown {
  if (isSecret(value)) return reveal(value.value);
  if (Array.isArray(value)) return value.map(reveal);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, reveal(part)]));
}

function valueOf<Value>(output: pulumi.Output<Value>): Promise<Value> {
  return new Promise((resolve) => {
    output.apply(resolve);
  });
}
