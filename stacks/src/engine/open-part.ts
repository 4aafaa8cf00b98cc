import { join } from "node:path";
import type { LocalWorkspace } from "@pulumi/pulumi/automation/localWorkspace.js";
import type { Stack } from "@pulumi/pulumi/automation/stack.js";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { makeFolder } from "../make-folder.ts";
import { prepareBackend } from "./backend.ts";
import type { Backend } from "./backend.ts";
import { createEngineCommand, EngineExit } from "./engine-command.ts";
import type { StopSignals } from "./engine-command.ts";
import { engineEnvironment } from "./engine-environment.ts";
import type { Cloud } from "./engine-environment.ts";
import type { FindHint } from "./engine-failure.ts";
import { pulumiHomeOf } from "./find-engine.ts";
import type { Engine } from "./find-engine.ts";
import { createMask, listSecretValues } from "./mask-secrets.ts";
import { createPart } from "./part.ts";
import type { Part } from "./part.ts";
import type { Progress } from "./progress.ts";
import { ensurePlugins } from "./provider-plugins.ts";
import type { PluginProgress, PluginSource, ProviderPlugin } from "./provider-plugins.ts";
import { createRunOperation } from "./run-operation.ts";
import type { LogSlot } from "./run-operation.ts";
import { ensurePassphrase, secretsProviderArgument } from "./secrets-provider.ts";
import type { SecretsProvider } from "./secrets-provider.ts";

export interface PartOptions {
  readonly engine: Engine;
  /** Name of the Pulumi project: the same for all parts of a stack. */
  readonly project: string;
  /** Name of the Pulumi stack: one a part. */
  readonly stack: string;
  /** Makes resources, and gives the outputs back. */
  readonly program: () => Promise<Readonly<Record<string, unknown>>>;
  readonly backend: Backend;
  readonly secrets: SecretsProvider;
  /** The user's environment: the engine gets of it what it needs for these clouds, and nothing else. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly clouds: readonly Cloud[];
  /** A folder of this part's own, for settings that can be lost and for `engine.log`. */
  readonly workDir: string;
  readonly plugins: readonly ProviderPlugin[];
  readonly pluginSource: PluginSource;
  /** Types of resources that are keys: they are deleted and replaced with permission only. */
  readonly keyTypes: ReadonlySet<string>;
  /** `polaris/<version>`. */
  readonly userAgent: string;
  readonly stop: StopSignals;
  /** Whether a part that is not in the state yet is made there. A preview needs it too. */
  readonly createMissing: boolean;
  /** What must not appear in any message or log. */
  readonly secretValues: readonly string[];
  readonly findHint: FindHint;
  readonly onProgress: (progress: Progress) => void;
  readonly onPluginProgress: (progress: PluginProgress) => void;
}

/**
 * Opens one part: its state, what encrypts it, and the plugins that its program needs.
 *
 * @throws {PolarisError} STACK_NOT_FOUND if it is not in the state and may not be made there; PLUGIN_UNAVAILABLE,
 *   STATE_UNWRITABLE, STATE_CORRUPT, CLOUD_CREDENTIALS_MISSING, ENGINE_FAILED, CANCELLED
 */
export async function openPart(options: PartOptions): Promise<Part> {
  const { backend, secrets, stop, workDir, environment } = options;
  await prepareBackend(backend);
  await makeFolder(workDir, 0o700);
  const passphrases = secrets.kind === "passphrase" ? [await ensurePassphrase(secrets.file)] : [];
  // Loaded here: it takes half a second, and most commands do without.
  const api = await import("@pulumi/pulumi/automation/localWorkspace.js");
  const slot: LogSlot = { current: undefined };
  const pulumiHome = pulumiHomeOf(environment);
  const engineVariables = engineEnvironment({ ...options, pulumiHome });
  const { program, takeError } = watchProgram(options.program);
  const workspace = await api.LocalWorkspace.create({
    workDir,
    pulumiHome,
    program,
    pulumiCommand: createEngineCommand(options.engine, stop, (text) => slot.current?.append(text)),
    envVars: engineVariables,
    secretsProvider: secretsProviderArgument(secrets),
    projectSettings: { name: options.project, runtime: "nodejs" },
  });
  const run = createRunOperation(
    {
      stackName: options.stack,
      userAgent: options.userAgent,
      logPath: join(workDir, "engine.log"),
      mask: createMask([...passphrases, ...options.secretValues, ...listSecretValues(engineVariables)]),
      stop,
      findHint: options.findHint,
      onProgress: options.onProgress,
      takeProgramError: takeError,
    },
    slot,
  );
  // Providers that run already are what is asked, whatever is installed.
  if (engineVariables["PULUMI_DEBUG_PROVIDERS"] === undefined) {
    await ensurePlugins(
      options.plugins,
      options.pluginSource,
      {
        pulumiHome,
        searchPath: environment["PATH"] ?? "",
        install: ({ name, version }, mirror) =>
          mirror === undefined
            ? workspace.installPlugin(name, `v${version}`)
            : workspace.installPluginFromServer(name, `v${version}`, mirror),
      },
      stop.gently,
      options.onPluginProgress,
    );
  }
  const { result: stack } = await run("select", () => selectStack(workspace, options));
  return createPart({
    project: options.project,
    stackName: options.stack,
    stack,
    backend,
    workDir,
    keyTypes: options.keyTypes,
    run,
  });
}

async function selectStack(workspace: LocalWorkspace, options: PartOptions): Promise<Stack> {
  const api = await import("@pulumi/pulumi/automation/stack.js");
  try {
    return await api.Stack.select(options.stack, workspace);
  } catch (error) {
    if (!(error instanceof EngineExit) || !/no stack named/.test(error.stderr)) throw error;
  }
  if (!options.createMissing) {
    throw new PolarisError(
      "STACK_NOT_FOUND",
      `there is no stack ${options.stack} in ${options.backend.url}`,
      {
        hint: "polaris deploy makes it; or look whether this is the state that it was made in",
      },
    );
  }
  return api.Stack.create(options.stack, workspace);
}

/** The program, and what it threw: the engine knows only its text, and not the code of our errors. */
function watchProgram(program: PartOptions["program"]): {
  readonly program: () => Promise<Record<string, unknown>>;
  readonly takeError: () => unknown;
} {
  let thrown: unknown;
  return {
    program: async () => {
      try {
        return { ...(await program()) };
      } catch (error) {
        thrown = error;
        throw error;
      }
    },
    takeError: () => {
      const error = thrown;
      thrown = undefined;
      return error;
    },
  };
}
