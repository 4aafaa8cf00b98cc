/** Values of variables to settings and back: the only place that knows which variable sets what. */
import type * as z from "zod";
import type { ephemeralEnvironmentSchema, googleEnvironmentSchema } from "./environment-variables.ts";
import type { GoogleFederatedKeySettings, ProxySettings, TlsSettings } from "./proxy-settings.ts";

type CommonEnvironment = z.output<typeof ephemeralEnvironmentSchema>;
type GoogleEnvironment = z.output<typeof googleEnvironmentSchema>;

/** The values of the variables as settings, but for the key. */
export function commonSettings(values: CommonEnvironment): Omit<ProxySettings, "key"> {
  const healthPath = values.POLARIS_PROXY_WORKLOAD_HEALTH_PATH;
  const tokenAgentSocket = values.POLARIS_PROXY_TOKEN_AGENT_SOCKET;
  const metricsPort = values.POLARIS_PROXY_METRICS_PORT;
  const workloadKeyApiSocket = values.POLARIS_PROXY_WORKLOAD_KEY_API_SOCKET;
  return {
    host: values.POLARIS_PROXY_HOST,
    port: values.POLARIS_PROXY_PORT,
    workload: {
      url: values.POLARIS_PROXY_WORKLOAD_URL,
      ...(healthPath !== undefined && { healthPath }),
      timeoutMs: values.POLARIS_PROXY_WORKLOAD_TIMEOUT_MS,
    },
    stack: values.POLARIS_PROXY_STACK,
    encryption: {
      requests: values.POLARIS_PROXY_ENCRYPT_REQUESTS,
      responses: values.POLARIS_PROXY_ENCRYPT_RESPONSES,
    },
    headerNames: {
      url: values.POLARIS_PROXY_URL_HEADER,
      secure: values.POLARIS_PROXY_SECURE_HEADER,
      responseKey: values.POLARIS_PROXY_RESPONSE_KEY_HEADER,
    },
    logLevel: values.POLARIS_PROXY_LOG_LEVEL,
    limits: {
      maxHeaderBytes: values.POLARIS_PROXY_MAX_HEADER_BYTES,
      maxBodyBytes: values.POLARIS_PROXY_MAX_BODY_BYTES,
      maxBufferedBytes: values.POLARIS_PROXY_MAX_BUFFERED_BYTES,
      maxConnections: values.POLARIS_PROXY_MAX_CONNECTIONS,
      maxRequests: values.POLARIS_PROXY_MAX_REQUESTS,
      maxQueuedUnwraps: values.POLARIS_PROXY_MAX_QUEUED_UNWRAPS,
      headersTimeoutMs: values.POLARIS_PROXY_HEADERS_TIMEOUT_MS,
      bodyTimeoutMs: values.POLARIS_PROXY_BODY_TIMEOUT_MS,
      idleTimeoutMs: values.POLARIS_PROXY_IDLE_TIMEOUT_MS,
      shutdownTimeoutMs: values.POLARIS_PROXY_SHUTDOWN_TIMEOUT_MS,
    },
    cors: { origins: values.POLARIS_PROXY_CORS_ORIGINS },
    tls: tlsSettings(values),
    ...(metricsPort !== undefined && { metricsPort }),
    ...(workloadKeyApiSocket !== undefined && {
      workloadKeyApiSocket,
      workloadKeyApiAccess: values.POLARIS_PROXY_WORKLOAD_KEY_API_ACCESS,
    }),
    ...(tokenAgentSocket !== undefined && { tokenAgentSocket }),
  };
}

function tlsSettings(values: CommonEnvironment): TlsSettings {
  const mode = values.POLARIS_PROXY_TLS;
  if (mode !== "files") return { mode };
  // Where one is missing, check-settings.ts says so.
  const { POLARIS_PROXY_TLS_CERTIFICATE: certificateFile = "", POLARIS_PROXY_TLS_KEY: keyFile = "" } = values;
  return { mode, certificateFile, keyFile };
}

/** The same for a key in Cloud KMS. */
export function googleSettings(values: GoogleEnvironment): GoogleFederatedKeySettings {
  const serviceAccount = values.POLARIS_PROXY_GOOGLE_SERVICE_ACCOUNT;
  const localServicesSocket = values.POLARIS_PROXY_GOOGLE_LOCAL_SERVICES_SOCKET;
  return {
    kind: "google-federated",
    project: values.POLARIS_PROXY_GOOGLE_PROJECT,
    location: values.POLARIS_PROXY_GOOGLE_LOCATION,
    keyRing: values.POLARIS_PROXY_GOOGLE_KEY_RING,
    key: values.POLARIS_PROXY_GOOGLE_KEY,
    keyVersion: values.POLARIS_PROXY_GOOGLE_KEY_VERSION,
    olderKeyVersions: values.POLARIS_PROXY_GOOGLE_OLDER_KEY_VERSIONS,
    audience: values.POLARIS_PROXY_GOOGLE_AUDIENCE,
    ...(serviceAccount !== undefined && { serviceAccount }),
    tokenFile: values.POLARIS_PROXY_GOOGLE_TOKEN_FILE,
    stsUrl: values.POLARIS_PROXY_GOOGLE_STS_URL,
    kmsUrl: values.POLARIS_PROXY_GOOGLE_KMS_URL,
    iamCredentialsUrl: values.POLARIS_PROXY_GOOGLE_IAM_CREDENTIALS_URL,
    ...(localServicesSocket !== undefined && { localServicesSocket }),
  };
}

/** The way back of {@link commonSettings}. */
export function commonValues(settings: ProxySettings): CommonEnvironment {
  return {
    POLARIS_PROXY_PORT: settings.port,
    POLARIS_PROXY_HOST: settings.host,
    POLARIS_PROXY_WORKLOAD_URL: settings.workload.url,
    POLARIS_PROXY_WORKLOAD_HEALTH_PATH: settings.workload.healthPath,
    POLARIS_PROXY_WORKLOAD_TIMEOUT_MS: settings.workload.timeoutMs,
    POLARIS_PROXY_STACK: settings.stack,
    POLARIS_PROXY_ENCRYPT_REQUESTS: settings.encryption.requests,
    POLARIS_PROXY_ENCRYPT_RESPONSES: settings.encryption.responses,
    POLARIS_PROXY_URL_HEADER: settings.headerNames.url,
    POLARIS_PROXY_SECURE_HEADER: settings.headerNames.secure,
    POLARIS_PROXY_RESPONSE_KEY_HEADER: settings.headerNames.responseKey,
    POLARIS_PROXY_LOG_LEVEL: settings.logLevel,
    POLARIS_PROXY_CORS_ORIGINS: settings.cors.origins,
    POLARIS_PROXY_TLS: settings.tls.mode,
    POLARIS_PROXY_TLS_CERTIFICATE: settings.tls.mode === "files" ? settings.tls.certificateFile : undefined,
    POLARIS_PROXY_TLS_KEY: settings.tls.mode === "files" ? settings.tls.keyFile : undefined,
    POLARIS_PROXY_MAX_HEADER_BYTES: settings.limits.maxHeaderBytes,
    POLARIS_PROXY_MAX_BODY_BYTES: settings.limits.maxBodyBytes,
    POLARIS_PROXY_MAX_BUFFERED_BYTES: settings.limits.maxBufferedBytes,
    POLARIS_PROXY_MAX_CONNECTIONS: settings.limits.maxConnections,
    POLARIS_PROXY_MAX_REQUESTS: settings.limits.maxRequests,
    POLARIS_PROXY_MAX_QUEUED_UNWRAPS: settings.limits.maxQueuedUnwraps,
    POLARIS_PROXY_HEADERS_TIMEOUT_MS: settings.limits.headersTimeoutMs,
    POLARIS_PROXY_BODY_TIMEOUT_MS: settings.limits.bodyTimeoutMs,
    POLARIS_PROXY_IDLE_TIMEOUT_MS: settings.limits.idleTimeoutMs,
    POLARIS_PROXY_SHUTDOWN_TIMEOUT_MS: settings.limits.shutdownTimeoutMs,
    POLARIS_PROXY_METRICS_PORT: settings.metricsPort,
    POLARIS_PROXY_WORKLOAD_KEY_API_SOCKET: settings.workloadKeyApiSocket,
    POLARIS_PROXY_WORKLOAD_KEY_API_ACCESS: settings.workloadKeyApiAccess ?? "owner",
    POLARIS_PROXY_TOKEN_AGENT_SOCKET: settings.tokenAgentSocket,
    POLARIS_PROXY_KEY: settings.key.kind,
  };
}

/** The way back of {@link googleSettings}. */
export function googleValues(
  key: GoogleFederatedKeySettings,
): Omit<GoogleEnvironment, keyof CommonEnvironment> {
  return {
    POLARIS_PROXY_GOOGLE_PROJECT: key.project,
    POLARIS_PROXY_GOOGLE_LOCATION: key.location,
    POLARIS_PROXY_GOOGLE_KEY_RING: key.keyRing,
    POLARIS_PROXY_GOOGLE_KEY: key.key,
    POLARIS_PROXY_GOOGLE_KEY_VERSION: key.keyVersion,
    POLARIS_PROXY_GOOGLE_OLDER_KEY_VERSIONS: key.olderKeyVersions,
    POLARIS_PROXY_GOOGLE_AUDIENCE: key.audience,
    POLARIS_PROXY_GOOGLE_SERVICE_ACCOUNT: key.serviceAccount,
    POLARIS_PROXY_GOOGLE_TOKEN_FILE: key.tokenFile,
    POLARIS_PROXY_GOOGLE_STS_URL: key.stsUrl,
    POLARIS_PROXY_GOOGLE_KMS_URL: key.kmsUrl,
    POLARIS_PROXY_GOOGLE_IAM_CREDENTIALS_URL: key.iamCredentialsUrl,
    POLARIS_PROXY_GOOGLE_LOCAL_SERVICES_SOCKET: key.localServicesSocket,
  };
}
