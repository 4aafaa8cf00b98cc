import { isPolarisError } from "@polaris-cvm/sdk/errors";
import { loadTrustConfig } from "./config.ts";
import { createLog } from "./log.ts";
import { startTrustServices } from "./trust-services.ts";

const log = createLog("trust", Date.now, (line) => process.stdout.write(line));

/** Runs until SIGTERM or SIGINT: `node main.ts <config.json>`. */
async function main(configPath: string | undefined): Promise<void> {
  if (configPath === undefined) throw new Error("usage: main.ts <config.json>");
  const services = await startTrustServices(await loadTrustConfig(configPath), { log, now: Date.now });
  const stop = (): void => {
    log("info", "stopping");
    services.close().then(() => process.exit(0), fail);
  };
  process.once("SIGTERM", stop).once("SIGINT", stop);
  await services.ready;
}

function fail(error: unknown): never {
  const message = error instanceof Error ? error.message : "unknown error";
  const code = isPolarisError(error) ? error.code : "INTERNAL";
  log("error", "failed", { code, message });
  const hint = isPolarisError(error) && error.hint !== undefined ? ` (${error.hint})` : "";
  process.stderr.write(`polaris trust services: error: ${message}${hint}\n`);
  process.exit(1);
}

main(process.argv[2]).catch(fail);
