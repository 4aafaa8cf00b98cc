/** The proxy as a program: environment → key → server → listen, until it is told to stop. */
import { isPolarisError } from "@polaris-cvm/sdk/errors";
import { loadConfig } from "./config.ts";
import { createKeyProvider } from "./keys/create.ts";
import type { KeyProvider } from "./keys/key-provider.ts";
import { createLog, describeFailure } from "./log.ts";
import type { ProxyLog } from "./log.ts";
import { createProxy } from "./server.ts";
import type { Proxy } from "./server.ts";

function sayOnStderr(kind: "error" | "warning", text: string): void {
  process.stderr.write(`polaris-proxy: ${kind}: ${text}\n`);
}

async function start(): Promise<void> {
  const { settings, warnings } = loadConfig();
  for (const warning of warnings) sayOnStderr("warning", warning);

  const log = createLog(settings.logLevel);
  const keys = await createKeyProvider(settings.key, (error) => {
    const code = isPolarisError(error) ? error.code : "INTERNAL";
    log.warn({ event: "key-not-yet", keyProvider: settings.key.kind, code, reason: describeFailure(error) });
  });
  const proxy = createProxy({ settings, keys, log });
  stopOnSignal(proxy, log);
  log.info({ event: "listening", port: await proxy.listen(), keyProvider: keys.kind });
  announceKey(keys, log);
}

/** Finishes what is in flight; a second signal ends at once, as signals do. */
function stopOnSignal(proxy: Proxy, log: ProxyLog): void {
  const stop = async (): Promise<void> => {
    await proxy.close();
    log.info({ event: "stopped" });
    process.exit(0);
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => void stop());
}

function announceKey(keys: KeyProvider, log: ProxyLog): void {
  const untilStopped = new AbortController().signal;
  keys.publicKey(untilStopped).then(
    ({ keyId }) => log.info({ event: "key-available", keyProvider: keys.kind, keyId }),
    () => undefined,
  );
}

try {
  await start();
} catch (error) {
  sayOnStderr(
    "error",
    isPolarisError(error) || isListenError(error) ? error.message : describeFailure(error),
  );
  process.exit(isPolarisError(error) ? error.exitCode : 1);
}

/** Node's own words for a port that is taken, not allowed, or not of this machine. */
function isListenError(error: unknown): error is Error {
  return error instanceof Error && "syscall" in error && error.syscall === "listen";
}
