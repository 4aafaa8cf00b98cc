import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { PROXY_VARIABLES, formatProxyEnvironment } from "./environment.ts";
import type { ProxySettings, TlsSettings } from "./environment.ts";
import { loadTlsIdentity } from "./tls-identity.ts";

/** What `--check` says of settings that are valid. */
export interface EnvironmentReport {
  /** `NAME=value`, by our names and without what has its default. No setting is a secret. */
  readonly lines: readonly string[];
  /** What a start would not fail for, one line each. */
  readonly warnings: readonly string[];
}

/** Somebody has to renew the certificate, and nobody does it the same day. */
const EXPIRES_SOON_MS = 14 * 24 * 60 * 60 * 1000;

/** Permission bits of everybody who is neither the owner nor of the group. */
const OTHERS = 0o007;

/**
 * Looks at what the settings name, as far as looking changes nothing: no port is opened, no service asked.
 *
 * @param originalNames  warnings of the parser, first in the report
 * @throws {PolarisError} TLS_FILES_INVALID
 */
export async function checkEnvironment(
  settings: ProxySettings,
  originalNames: readonly string[],
  nowMs: number = Date.now(),
): Promise<EnvironmentReport> {
  const warnings = [
    ...originalNames,
    ...(await checkTls(settings.tls, nowMs)),
    ...(await checkTokenAgent(settings.tokenAgentSocket)),
    ...(await checkTokenFile(settings.key)),
  ];
  return { lines: listChangedSettings(settings), warnings };
}

function listChangedSettings(settings: ProxySettings): string[] {
  const texts = formatProxyEnvironment(settings);
  return PROXY_VARIABLES.flatMap(({ name, default: defaultText }) => {
    const text = texts[name];
    return text === undefined || text === defaultText ? [] : [`${name}=${text}`];
  });
}

async function checkTls(tls: TlsSettings, nowMs: number): Promise<string[]> {
  if (tls.mode !== "files") return [];
  const { notAfter } = await loadTlsIdentity(tls, nowMs);
  const { mode } = await stat(tls.keyFile);
  return [
    ...(notAfter.getTime() - nowMs < EXPIRES_SOON_MS
      ? [`the certificate in ${tls.certificateFile} expires at ${notAfter.toISOString()}`]
      : []),
    ...((mode & OTHERS) === 0 ? [] : [`every user of this machine can open ${tls.keyFile}`]),
  ];
}

async function checkTokenAgent(socket: string | undefined): Promise<string[]> {
  if (socket === undefined) {
    return ["POLARIS_PROXY_TOKEN_AGENT_SOCKET is not set: clients have to take the public key on trust"];
  }
  return (await isThere(socket)) ? [] : [`no token agent is at ${socket} yet`];
}

async function checkTokenFile(key: ProxySettings["key"]): Promise<string[]> {
  if (key.kind === "ephemeral" || (await isThere(dirname(key.tokenFile)))) return [];
  return [`the folder of the token file ${key.tokenFile} is not there yet`];
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
