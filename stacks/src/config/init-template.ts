import { formatInlineYaml } from "./inline-yaml.ts";
import { parseConfig } from "./load.ts";
import type { Config, EncryptionMode } from "./schema.ts";

/** What `polaris init` asks: every answer that is not given is left to the default, and shown as a comment. */
export interface InitAnswers {
  readonly name: string;
  /** Program and arguments. */
  readonly run: readonly string[];
  readonly healthPath?: string | undefined;
  readonly port?: number | undefined;
  readonly proxyPort?: number | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Names of secrets; each value comes from the variable of the same name. */
  readonly secrets?: readonly string[] | undefined;
  readonly requests?: EncryptionMode | undefined;
  readonly responses?: EncryptionMode | undefined;
  readonly key?: Config["key"]["kind"] | undefined;
}

/**
 * A short commented polaris.yaml. Comments of the form `# key: value` are examples: taking the `#` away leaves a valid file.
 *
 * @param schemaReference  where an editor finds the JSON Schema, relative to the file
 * @throws {PolarisError} CONFIG_INVALID if an answer is not valid; `details.problems` names the keys
 */
export function renderInitConfig(answers: InitAnswers, schemaReference: string): string {
  const lines = [
    `# yaml-language-server: $schema=${schemaReference}`,
    "# What runs, who may reach it and which key protects it. All keys: polaris config schema",
    "version: 1",
    `name: ${formatInlineYaml(answers.name)}`,
    "target: local # this machine, simulated: for trying and for tests, never for secrets",
    "",
    "workload:",
    ...renderWorkload(answers),
    "",
    "proxy:",
    "  # required refuses clear messages, optional takes both, off refuses sealed ones.",
    `  encryption: ${formatInlineYaml({ requests: answers.requests ?? "required", responses: answers.responses ?? "required" })}`,
    "  # Port of the endpoint; without it a free one is chosen once and kept.",
    orExample(answers.proxyPort, "  port", 3000),
    "",
    "# hsm is kept by the key service for the attested machine alone; ephemeral is new at each start.",
    `key: ${formatInlineYaml({ kind: answers.key ?? "hsm", onDestroy: "keep" })}`,
    "",
    "targets:",
    "  local:",
    `    run: ${formatInlineYaml(answers.run)} # gets PORT and HOST in its environment`,
    "    # The files that make the workload's identity; without it, the whole folder.",
    `    # files: ${formatInlineYaml(["server.js", "lib/**", "package-lock.json"])}`,
    "",
    "# What differs in other stacks (polaris deploy --stack dev).",
    `# stacks: ${formatInlineYaml({ dev: { key: { kind: "ephemeral" } } })}`,
    "",
  ];
  const text = lines.join("\n");
  parseConfig(text, { fileName: "polaris.yaml" });
  return text;
}

function renderWorkload({ healthPath, port, env, secrets }: InitAnswers): string[] {
  const references = (secrets ?? []).map((name) => [name, { fromEnv: name }] as const);
  return [
    "  # A deploy waits until this path answers; without a path, until the port accepts connections.",
    `  health: ${formatInlineYaml({ ...(healthPath === undefined ? {} : { path: healthPath }), timeout: "60s" })}`,
    "  # Port for the workload; without it a free one is chosen once and kept.",
    orExample(port, "  port", 8000),
    "  # Public settings: they are measured and shown.",
    orExample(isEmpty(env) ? undefined : env, "  env", { LOG_LEVEL: "info" }),
    "  # Secrets by reference: the values are read from your environment at deploy and never written down.",
    orExample(references.length === 0 ? undefined : Object.fromEntries(references), "  secrets", {
      API_KEY: { fromEnv: "API_KEY" },
    }),
  ];
}

function orExample(answer: unknown, key: string, example: unknown): string {
  if (answer !== undefined) return `${key}: ${formatInlineYaml(answer)}`;
  const indent = key.length - key.trimStart().length;
  return `${key.slice(0, indent)}# ${key.trimStart()}: ${formatInlineYaml(example)}`;
}

function isEmpty(map: Readonly<Record<string, string>> | undefined): boolean {
  return map === undefined || Object.keys(map).length === 0;
}
