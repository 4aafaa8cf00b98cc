/** A secret of the workload. Its value is never among the inputs of a boot: the machine fetches it. */
export interface BootSecret {
  /** Variable of the workload. */
  readonly name: string;
  /** `projects/<project>/secrets/<secret>/versions/<number>` */
  readonly version: string;
}

/**
 * Everything that a machine is told when it starts, decided: nothing is looked up, guessed or filled in from here on. All of it
 * is readable by whoever may read the machine's metadata, so no secret is in it.
 */
export interface BootInputs {
  readonly proxy: {
    /** Repository and digest: `host/path@sha256:…`. */
    readonly image: string;
    /** What `formatProxyEnvironment` gives. */
    readonly environment: Readonly<Record<string, string>>;
    /** Port that clients connect to on the machine. */
    readonly port: number;
    /** Port that the proxy listens on in its container, as its environment says. */
    readonly containerPort: number;
    /** Whether the proxy's port speaks TLS: its health is asked accordingly. */
    readonly tls: boolean;
  };
  readonly workload: {
    /** Repository and digest. */
    readonly image: string;
    /** Program and arguments. */
    readonly command: readonly string[];
    readonly environment: Readonly<Record<string, string>>;
    /** Whether it shares the folder of the key API's socket with the proxy. */
    readonly keyApi: boolean;
  };
  /** Hosts of Artifact Registry that images are pulled from as the machine's service account. */
  readonly registryHosts: readonly string[];
  /** The release archive of go-tpm-tools; `gotpm` is its program. */
  readonly tokenTool: {
    readonly url: string;
    /** SHA-256 of the archive: 64 lower-case hex digits. */
    readonly sha256Hex: string;
  };
  /** Origin of Google's verifier of attestations. */
  readonly verifierUrl: string;
  /** Full name of the workload identity provider, the audience of the machine's own token; null: nothing is exchanged. */
  readonly providerName: string | null;
  readonly secrets: readonly BootSecret[];
  /** Origins of the services that secrets are fetched from. */
  readonly stsUrl: string;
  readonly secretManagerUrl: string;
  /**
   * `machine`: what the containers print stays in the memory of the machine. `cloud`: it is also left where the machine's
   * logging agent takes it to Cloud Logging.
   */
  readonly logs: "machine" | "cloud";
}
