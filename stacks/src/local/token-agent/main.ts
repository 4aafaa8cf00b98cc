import { setTimeout as sleep } from "node:timers/promises";
import { ATTESTATION_AUDIENCE } from "@polaris-cvm/sdk";
import { isPolarisError } from "@polaris-cvm/sdk/errors";
import { createLog } from "../trust/log.ts";
import { startTokenAgent } from "./agent.ts";
import { loadTokenAgentConfig } from "./config.ts";
import { createIssuerClient } from "./issuer-client.ts";
import { keepTokenFile } from "./token-file.ts";

const log = createLog("token-agent", Date.now, (line) => process.stdout.write(line));

/** Runs until SIGTERM or SIGINT: `node main.ts <config.json>`. */
async function main(configPath: string | undefined): Promise<void> {
  if (configPath === undefined) throw new Error("usage: main.ts <config.json>");
  const config = await loadTokenAgentConfig(configPath);
  const { stsAudience, tokenFile, refreshMs, socketPath, group } = config;
  const requestToken = createIssuerClient(config);
  const agent = await startTokenAgent({
    socketPath,
    group,
    issueToken: (nonce, signal) => requestToken(ATTESTATION_AUDIENCE, [nonce], signal),
    log,
    now: () => performance.now(),
  });
  log("info", "listening");
  const stopped = new AbortController();
  const stop = (): void => {
    log("info", "stopping");
    stopped.abort();
    agent.close().then(() => process.exit(0), fail);
  };
  process.once("SIGTERM", stop).once("SIGINT", stop);
  if (stsAudience !== null && tokenFile !== null) {
    await keepTokenFile({
      path: tokenFile,
      group,
      requestToken: (signal) => requestToken(stsAudience, [], signal),
      refreshMs,
      log,
      now: Date.now,
      sleep: (ms, signal) => sleep(ms, undefined, { signal }),
      signal: stopped.signal,
    });
  }
}

function fail(error: unknown): never {
  const message = error instanceof Error ? error.message : "unknown error";
  const code = isPolarisError(error) ? error.code : "INTERNAL";
  log("error", "failed", { code, message });
  const hint = isPolarisError(error) && error.hint !== undefined ? ` (${error.hint})` : "";
  process.stderr.write(`polaris token agent: error: ${message}${hint}\n`);
  process.exit(1);
}

main(process.argv[2]).catch(fail);
