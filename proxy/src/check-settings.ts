import { ERROR_HEADER, KEY_ID_HEADER } from "@polaris-cvm/sdk/headers";
import { describeText } from "./environment-values.ts";
import type { KeySettings, ProxyLimits, ProxySettings, TlsSettings } from "./proxy-settings.ts";

/**
 * What settings must satisfy together, each of them being valid by itself.
 *
 * @param texts  the variables that are set, by our names
 * @returns one line for each problem
 */
export function checkSettings(settings: ProxySettings, texts: Readonly<Record<string, string>>): string[] {
  return [
    ...checkHeaderNames(settings.headerNames),
    ...checkTls(settings, texts),
    ...checkListeners(settings, texts),
    ...checkLimits(settings.limits),
    ...checkKey(settings.key),
  ];
}

/** Fields to which HTTP or Polaris gives a meaning: none of them can carry a sealed part. */
const RESERVED_FIELD_NAMES: ReadonlySet<string> = new Set([
  "host",
  "connection",
  "content-length",
  "content-type",
  "transfer-encoding",
  KEY_ID_HEADER,
  ERROR_HEADER,
]);

function checkHeaderNames(headerNames: ProxySettings["headerNames"]): string[] {
  const names = Object.values(headerNames);
  const problems = names
    .filter((name) => RESERVED_FIELD_NAMES.has(name))
    .map((name) => `header ${name} has a meaning of its own, it cannot carry a sealed part`);
  if (new Set(names).size < names.length) {
    problems.push(`the three header names must differ, got ${names.join(", ")}`);
  }
  return problems;
}

function checkTls(
  { tls, tokenAgentSocket }: { readonly tls: TlsSettings; readonly tokenAgentSocket?: string },
  texts: Readonly<Record<string, string>>,
): string[] {
  const problems = ["POLARIS_PROXY_TLS_CERTIFICATE", "POLARIS_PROXY_TLS_KEY"]
    .filter((name) => name in texts !== (tls.mode === "files"))
    .map((name) =>
      tls.mode === "files"
        ? `${name} is required with POLARIS_PROXY_TLS=files`
        : `${name} contradicts POLARIS_PROXY_TLS, which is ${describeText(tls.mode)}`,
    );
  if (tls.mode === "attested" && tokenAgentSocket === undefined) {
    problems.push(
      "POLARIS_PROXY_TLS=attested needs POLARIS_PROXY_TOKEN_AGENT_SOCKET: without evidence nobody can tell whose certificate it is",
    );
  }
  return problems;
}

function checkListeners(
  { port, metricsPort, key, workloadKeyApiSocket, tokenAgentSocket }: ProxySettings,
  texts: Readonly<Record<string, string>>,
): string[] {
  const problems: string[] = [];
  if (metricsPort !== undefined && metricsPort !== 0 && metricsPort === port) {
    problems.push(
      "POLARIS_PROXY_METRICS_PORT must not be POLARIS_PROXY_PORT: metrics are for this machine only",
    );
  }
  if (workloadKeyApiSocket === undefined) {
    if (texts["POLARIS_PROXY_WORKLOAD_KEY_API_ACCESS"] === "mounted") {
      problems.push(
        "POLARIS_PROXY_WORKLOAD_KEY_API_ACCESS=mounted needs POLARIS_PROXY_WORKLOAD_KEY_API_SOCKET",
      );
    }
    return problems;
  }
  if (key.kind === "ephemeral") {
    problems.push(
      "POLARIS_PROXY_WORKLOAD_KEY_API_SOCKET needs a permanent key: data sealed to an ephemeral one is lost at the next start",
    );
  }
  if (workloadKeyApiSocket === tokenAgentSocket) {
    problems.push("POLARIS_PROXY_WORKLOAD_KEY_API_SOCKET must not be POLARIS_PROXY_TOKEN_AGENT_SOCKET");
  }
  return problems;
}

function checkLimits({ maxBodyBytes, maxBufferedBytes }: ProxyLimits): string[] {
  return maxBufferedBytes < maxBodyBytes
    ? ["POLARIS_PROXY_MAX_BUFFERED_BYTES must not be less than POLARIS_PROXY_MAX_BODY_BYTES"]
    : [];
}

function checkKey(key: KeySettings): string[] {
  if (key.kind === "ephemeral") return [];
  const problems = key.olderKeyVersions.includes(key.keyVersion)
    ? ["POLARIS_PROXY_GOOGLE_OLDER_KEY_VERSIONS must not hold POLARIS_PROXY_GOOGLE_KEY_VERSION"]
    : [];
  // Who answers there sees every token, and would be taken for Google.
  const isSimulated = [key.stsUrl, key.kmsUrl, key.iamCredentialsUrl].every((url) => url.startsWith("http:"));
  if (key.localServicesSocket !== undefined && !isSimulated) {
    problems.push(
      "POLARIS_PROXY_GOOGLE_LOCAL_SERVICES_SOCKET is for simulated services: all three origins must be http to this machine",
    );
  }
  return problems;
}
