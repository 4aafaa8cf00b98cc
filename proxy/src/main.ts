/** The proxy as a program: environment → key → server → listen, until it is told to stop. */
import { isPolarisError } from "@polaris-cvm/sdk/errors";
import manifest from "../package.json" with { type: "json" };
import { checkEnvironment } from "./check-environment.ts";
import { USAGE, parseCommandLine } from "./command-line.ts";
import { loadConfig } from "./config.ts";
import { createKeyProvider } from "./keys/create.ts";
import type { KeyProvider } from "./keys/key-provider.ts";
import { describeListenFailure } from "./listen-failure.ts";
import { createLog, describeFailure } from "./log.ts";
import type { ProxyLog } from "./log.ts";
import { createProxy } from "./server.ts";
import type { Proxy } from "./server.ts";
import { loadTlsIdentity } from "./tls-identity.ts";

function sayOnStderr(kind: "error" | "warning", text: string): void {
  process.stderr.write(`polaris-proxy: ${kind}: ${text}\n`);
}

async function start(): Promise<void> {
  const { settings, warnings } = loadConfig();
  for (const warning of warnings) sayOnStderr("warning", warning);

  const log = createLog(settings.logLevel);
  const sayKeyNotYet = (error: unknown): void => {
    const code = isPolarisError(error) ? error.code : "INTERNAL";
    log.warn({ event: "key-not-yet", keyProvider: settings.key.kind, code, reason: describeFailure(error) });
  };
  const keys = await createKeyProvider(settings.key, sayKeyNotYet, settings.limits.maxQueuedUnwraps);
  const tls = settings.tls.mode === "off" ? undefined : await loadTlsIdentity(settings.tls);
  const proxy = createProxy({ settings, keys, log, ...(tls !== undefined && { tls }) });
  stopOnSignal(proxy, log);
  const { port, metricsPort } = await proxy.listen().catch((error: unknown) => {
    if (isPolarisError(error)) throw error;
    fail(describeListenFailure(error, settings), 1);
  });
  log.info({ event: "listening", port, keyProvider: keys.kind });
  if (metricsPort !== undefined) log.info({ event: "metrics", port: metricsPort });
  announceKey(keys, log);
}

/** Starts nothing: says what is wrong, or which settings are not the defaults. */
async function check(): Promise<void> {
  try {
    const { settings, warnings: originalNames } = loadConfig();
    const { lines, warnings } = await checkEnvironment(settings, originalNames);
    for (const warning of warnings) sayOnStderr("warning", warning);
    process.stdout.write(lines.map((line) => `${line}\n`).join(""));
  } catch (error) {
    const problems = isPolarisError(error) ? error.details?.["problems"] : undefined;
    if (!isPolarisError(error) || !Array.isArray(problems)) throw error;
    for (const problem of problems) sayOnStderr("error", String(problem));
    process.exitCode = error.exitCode;
  }
}

function printVersion(): void {
  process.stdout.write(`polaris-proxy ${manifest.version} (Node ${process.versions.node})\n`);
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

function fail(text: string, exitCode: number): never {
  sayOnStderr("error", text);
  process.exit(exitCode);
}

try {
  switch (parseCommandLine(process.argv.slice(2))) {
    case "start":
      await start();
      break;
    case "check":
      await check();
      break;
    case "help":
      process.stdout.write(USAGE);
      break;
    case "version":
      printVersion();
      break;
  }
} catch (error) {
  if (isPolarisError(error)) fail(error.message, error.exitCode);
  fail(`did not start, this is a bug (${describeFailure(error)})`, 1);
}
