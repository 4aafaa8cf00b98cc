/** The proxy as a program: environment → key → server → listen, until it is told to stop. */
import { PolarisError, isPolarisError } from "@polaris-cvm/sdk/errors";
import { loadConfig } from "./config.ts";
import { createKeyProvider } from "./keys/create.ts";
import type { KeyProvider } from "./keys/key-provider.ts";
import { describeListenFailure } from "./listen-failure.ts";
import { createLog, describeFailure } from "./log.ts";
import type { ProxyLog } from "./log.ts";
import { createProxy } from "./server.ts";
import type { Proxy } from "./server.ts";
import { loadTlsIdentity } from "./tls-identity.ts";

const USAGE = `usage: polaris-proxy

Opens sealed requests, forwards them to one workload, and seals the answers.
Takes no arguments: every setting is an environment variable, see docs/proxy.md.
Required: POLARIS_PROXY_WORKLOAD_URL, for example http://127.0.0.1:8000
`;

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
  const tls = settings.tls.mode === "off" ? undefined : await loadTlsIdentity(settings.tls);
  const proxy = createProxy({ settings, keys, log, ...(tls !== undefined && { tls }) });
  stopOnSignal(proxy, log);
  const { port, metricsPort } = await proxy.listen().catch((error: unknown) => {
    fail(describeListenFailure(error, settings), 1);
  });
  log.info({ event: "listening", port, keyProvider: keys.kind });
  if (metricsPort !== undefined) log.info({ event: "metrics", port: metricsPort });
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

/** Arguments are not repeated: somebody may have put a secret there. */
function checkArguments(given: readonly string[]): void {
  if (given.length > 0)
    throw new PolarisError("USAGE_INVALID", "takes no arguments but --help: settings are in the environment");
}

function fail(text: string, exitCode: number): never {
  sayOnStderr("error", text);
  process.exit(exitCode);
}

try {
  const given = process.argv.slice(2);
  if (given.length === 1 && given[0] === "--help") {
    process.stdout.write(USAGE);
  } else {
    checkArguments(given);
    await start();
  }
} catch (error) {
  if (isPolarisError(error)) fail(error.message, error.exitCode);
  fail(`did not start, this is a bug (${describeFailure(error)})`, 1);
}
