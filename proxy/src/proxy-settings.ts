import type { EncryptionMode, KeyApiAccess, LogLevel } from "./environment-variables.ts";

/** Everything the proxy can be told, typed. */
export interface ProxySettings {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly workload: {
    /** Origin, `http://host:port`. */
    readonly url: string;
    /** Path that answers 2xx or 3xx when the workload is ready; absent: an open port is enough. */
    readonly healthPath?: string;
    /** Longest wait for the head of an answer, and between two pieces of its body. */
    readonly timeoutMs: number;
  };
  /** `<name>/<stack>`. */
  readonly stack: string;
  readonly encryption: { readonly requests: EncryptionMode; readonly responses: EncryptionMode };
  /** Lower case, all different. */
  readonly headerNames: { readonly url: string; readonly secure: string; readonly responseKey: string };
  readonly logLevel: LogLevel;
  readonly limits: ProxyLimits;
  /** Origins of pages that browsers may let in; empty: CORS is off. `*`: all. */
  readonly cors: { readonly origins: readonly string[] };
  readonly tls: TlsSettings;
  /** On 127.0.0.1; 0: any free port. Absent: no metrics. */
  readonly metricsPort?: number;
  /** Absolute path of a Unix socket; absent: the workload gets no keys of sealed data. */
  readonly workloadKeyApiSocket?: string;
  /** Who may open it: the proxy's user (default), or every user of whatever has its folder. */
  readonly workloadKeyApiAccess?: KeyApiAccess;
  /** Absolute path of a Unix socket. */
  readonly tokenAgentSocket?: string;
  readonly key: KeySettings;
}

/** What one proxy takes on. Whatever is above a limit is refused, so that nothing grows with what clients send. */
export interface ProxyLimits {
  readonly maxHeaderBytes: number;
  /** Of a body that has to be held whole because it is sealed, in either direction, as sent. */
  readonly maxBodyBytes: number;
  /** Of all such bodies together. */
  readonly maxBufferedBytes: number;
  readonly maxConnections: number;
  /** At the same time, on all connections. */
  readonly maxRequests: number;
  /** Private operations that wait for their turn. */
  readonly maxQueuedUnwraps: number;
  readonly headersTimeoutMs: number;
  /** For the whole body of a sealed request. */
  readonly bodyTimeoutMs: number;
  /** Between two pieces that a client sends or takes. */
  readonly idleTimeoutMs: number;
  /** For requests in flight when the proxy has to stop. */
  readonly shutdownTimeoutMs: number;
}

export type TlsSettings =
  | { readonly mode: "off" }
  /** Key and certificate are born in the proxy, and the attestation document binds the key. */
  | { readonly mode: "attested" }
  /** Absolute paths of PEM files. */
  | { readonly mode: "files"; readonly certificateFile: string; readonly keyFile: string };

export type KeySettings = { readonly kind: "ephemeral" } | GoogleFederatedKeySettings;

export interface GoogleFederatedKeySettings {
  readonly kind: "google-federated";
  readonly project: string;
  readonly location: string;
  readonly keyRing: string;
  readonly key: string;
  /** The version that clients are told to seal to. */
  readonly keyVersion: number;
  /** Versions that may still be sealed to. */
  readonly olderKeyVersions: readonly number[];
  /** `//iam.googleapis.com/projects/<number>/locations/global/workloadIdentityPools/<pool>/providers/<provider>` */
  readonly audience: string;
  /** E-mail address to act as; absent: the attested principal itself uses the key. */
  readonly serviceAccount?: string;
  readonly tokenFile: string;
  /** Origins, without a path. */
  readonly stsUrl: string;
  readonly kmsUrl: string;
  readonly iamCredentialsUrl: string;
  /** Absolute path of a Unix socket that answers for all three; absent: they are asked over the network. */
  readonly localServicesSocket?: string;
}
