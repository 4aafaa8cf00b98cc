import { rm } from "node:fs/promises";
import { join } from "node:path";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { ENGINE_VERSION } from "./engine-version.ts";
import { engineRoot, findEngine } from "./find-engine.ts";
import type { Engine } from "./find-engine.ts";

/**
 * Installs the engine that Polaris is tested with, by Pulumi's own installer, below Pulumi's folder of the user. Needs the
 * network and the user's consent.
 *
 * @throws {PolarisError} ENGINE_MISSING if it cannot be had
 */
export async function installEngine(pulumiHome: string): Promise<Engine> {
  const { PulumiCommand } = await import("@pulumi/pulumi/automation/cmd.js");
  const root = engineRoot(pulumiHome, ENGINE_VERSION);
  try {
    await PulumiCommand.install({
      root,
      // Declared as a parsed version, and only ever written into the installer's command line.
      version: ENGINE_VERSION as never,
      skipVersionCheck: true,
    });
    const engine = await findEngine({ chosen: root, searchPath: "", pulumiHome });
    if (engine !== undefined) return engine;
  } catch (cause) {
    // Half an installation would be found, and fail, each time.
    await rm(join(root, "bin"), { recursive: true, force: true });
    throw new PolarisError("ENGINE_MISSING", `pulumi ${ENGINE_VERSION} cannot be installed`, {
      hint: "look at the network (get.pulumi.com), or install pulumi by hand and name it with --pulumi",
      cause,
    });
  }
  throw new PolarisError("ENGINE_MISSING", `nothing was installed in ${root}`);
}
