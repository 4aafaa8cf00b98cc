import { access, constants, readdir } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { EngineExit } from "./engine-command.ts";

/** A provider's program, in the version that our programs were written for. */
export interface ProviderPlugin {
  readonly name: string;
  /** For instance `9.35.0`. */
  readonly version: string;
}

/** Where plugins come from. */
export interface PluginSource {
  /** Nothing is downloaded; what is not there is an error. */
  readonly offline: boolean;
  /** Folder of archives at another server, instead of GitHub: `https://mirror.example/pulumi`. */
  readonly mirror?: string;
}

/**
 * @param text  address of a folder of plugin archives, as at `https://get.pulumi.com/releases/plugins`
 * @throws {PolarisError} CONFIG_INVALID: what is downloaded is run, so it comes over TLS or from this machine
 */
export function parsePluginMirror(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isLocal = url?.protocol === "http:" && ["127.0.0.1", "[::1]", "localhost"].includes(url.hostname);
  if (url === undefined || (url.protocol !== "https:" && !isLocal)) {
    throw new PolarisError("CONFIG_INVALID", "the mirror of the provider plugins has no https:// address", {
      hint: "expected one like https://mirror.example/pulumi/plugins",
    });
  }
  if (url.username !== "" || url.password !== "") {
    throw new PolarisError("CONFIG_INVALID", "the address of the plugin mirror has credentials in it", {
      hint: "use a mirror that needs none: command lines can be seen by others",
    });
  }
  return text;
}

/** One line of progress. */
export interface PluginProgress {
  readonly plugin: ProviderPlugin;
  readonly phase: "installing" | "retrying" | "installed";
}

/** Where a plugin may be already, and how to get it. */
export interface PluginPlace {
  readonly pulumiHome: string;
  readonly searchPath: string;
  install(plugin: ProviderPlugin, mirror: string | undefined): Promise<void>;
}

/** Waits between attempts, in milliseconds: servers that are busy are free again soon, or not today. */
const RETRY_DELAYS_MS = [1_000, 4_000];

/**
 * Sees to it that each plugin is there, before anything is asked of it.
 *
 * @throws {PolarisError} PLUGIN_UNAVAILABLE naming the plugin and its version; CANCELLED
 */
export async function ensurePlugins(
  plugins: readonly ProviderPlugin[],
  source: PluginSource,
  place: PluginPlace,
  signal: AbortSignal,
  onProgress: (progress: PluginProgress) => void,
): Promise<void> {
  for (const plugin of plugins) {
    if (await isInstalled(plugin, place)) continue;
    if (source.offline) {
      throw pluginUnavailable(plugin, "is not installed, and nothing may be downloaded", undefined);
    }
    onProgress({ plugin, phase: "installing" });
    await installWithRetry(plugin, source, place, signal, onProgress);
    onProgress({ plugin, phase: "installed" });
  }
}

async function installWithRetry(
  plugin: ProviderPlugin,
  { mirror }: PluginSource,
  place: PluginPlace,
  signal: AbortSignal,
  onProgress: (progress: PluginProgress) => void,
): Promise<void> {
  for (const delayMs of [...RETRY_DELAYS_MS, undefined]) {
    try {
      await place.install(plugin, mirror);
      return;
    } catch (cause) {
      if (delayMs === undefined) {
        const from = mirror ?? "GitHub or get.pulumi.com";
        throw pluginUnavailable(plugin, `cannot be had from ${from}: ${reasonOf(cause)}`, cause);
      }
    }
    onProgress({ plugin, phase: "retrying" });
    try {
      await sleep(delayMs, undefined, { signal });
    } catch (cause) {
      throw new PolarisError("CANCELLED", `cancelled while installing the provider plugin ${plugin.name}`, {
        cause,
      });
    }
  }
}

/** Where the engine looks: in the user's plugin folder, and in PATH (of any version, as Pulumi has it). */
async function isInstalled({ name, version }: ProviderPlugin, place: PluginPlace): Promise<boolean> {
  const program = `pulumi-resource-${name}`;
  const folder = `resource-${name}-v${version}`;
  const entries = await readdir(join(place.pulumiHome, "plugins")).catch((): string[] => []);
  // The mark of an installation that did not come to its end.
  if (entries.includes(folder) && !entries.includes(`${folder}.partial`)) {
    return isExecutable(join(place.pulumiHome, "plugins", folder, program));
  }
  const folders = place.searchPath.split(delimiter).filter((each) => each !== "");
  const found = await Promise.all(folders.map((each) => isExecutable(join(each, program))));
  return found.includes(true);
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/** The engine's last words on it, without what they repeat. */
function reasonOf(cause: unknown): string {
  const said = cause instanceof EngineExit ? cause.stderr : String(cause);
  const line = said.split("\n").findLast((each) => each.startsWith("error: ")) ?? said;
  return line.replace(/^error: (?:.*failed to download plugin: [^:]*: )?/, "").trim();
}

function pluginUnavailable(plugin: ProviderPlugin, problem: string, cause: unknown): PolarisError {
  const { name, version } = plugin;
  return new PolarisError("PLUGIN_UNAVAILABLE", `the provider plugin ${name} ${version} ${problem}`, {
    hint: `look at the network, name a mirror of the plugins, or install it by hand: pulumi plugin install resource ${name} ${version}`,
    details: { plugin: name, version },
    ...(cause !== undefined && { cause }),
  });
}
