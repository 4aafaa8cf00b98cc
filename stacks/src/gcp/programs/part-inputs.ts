/**
 * What the programs of a stack's three parts take. All is decided: names, numbers and texts come from the plan, and a program
 * looks nothing up. One text has to wait for a number of the cloud's, and is a function of it: `AppPartInputs.userData`. Names
 * have the forms of Google Cloud's APIs ("projects/P/global/networks/N"), never URLs, where no other form is said.
 */

/** Origins ("http://127.0.0.1:8080", no path) that stand for `https://<api>.googleapis.com`. All or none: see `CloudAccess`. */
export interface ApiOrigins {
  readonly artifactregistry: string;
  readonly cloudbilling: string;
  readonly cloudkms: string;
  readonly cloudresourcemanager: string;
  readonly compute: string;
  readonly iam: string;
  readonly iamcredentials: string;
  readonly secretmanager: string;
  readonly serviceusage: string;
}

/** One project, and under whose name it is changed. Two parts can have different ones. */
export interface CloudAccess {
  /** Project id, not its number. */
  readonly project: string;
  /** OAuth 2.0 access token; secret. Without it the provider finds the application default credentials by itself. */
  readonly accessToken: string | undefined;
  /** Without them, Google's own. With them, no call goes to Google. */
  readonly origins: ApiOrigins | undefined;
}

/** `base`: what the machine stands on and what outlives it. */
export interface BasePartInputs {
  readonly access: CloudAccess;
  readonly region: string;
  /** Shown beside each resource that has room for it: "Polaris stack hello/prod". At most 256 characters. */
  readonly description: string;
  readonly labels: Readonly<Record<string, string>>;
  /** APIs that this part enables ("compute.googleapis.com") and never disables. Empty: somebody else looks after them. */
  readonly services: readonly string[];
  readonly network: OwnNetwork | ExistingNetwork;
  readonly firewall: ProxyFirewall;
  readonly serviceAccount: OwnServiceAccount | ExistingServiceAccount;
  readonly repository: OwnRepository | ExistingRepository;
  /** Whether the machine may write logs to Cloud Logging. */
  readonly logging: boolean;
}

export interface OwnNetwork {
  readonly kind: "own";
  readonly networkName: string;
  readonly subnetworkName: string;
  /** Range of the subnet, in CIDR form. */
  readonly ipv4Range: string;
  /** Way out for a machine without an address of its own; undefined makes none. */
  readonly nat: { readonly routerName: string; readonly natName: string } | undefined;
}

/** A network of the user's, which may belong to another project (Shared VPC). Its way out is the user's matter. */
export interface ExistingNetwork {
  readonly kind: "existing";
  /** Project that owns the network: firewall rules are made there. */
  readonly project: string;
  /** "projects/P/global/networks/N" */
  readonly network: string;
  /** "projects/P/regions/R/subnetworks/S" */
  readonly subnetwork: string;
  /** Name of a rule that keeps the network's other rules, such as one for SSH, away from the machine. */
  readonly denyRuleName: string;
}

/** Who reaches the machine, and where: nobody reaches anything else. */
export interface ProxyFirewall {
  readonly allowRuleName: string;
  /** The proxy's TCP port. */
  readonly port: number;
  /** IPv4, in CIDR form. Empty: nobody, and no rule that allows is made. */
  readonly allowedIpv4Ranges: readonly string[];
  /** Network tag of the machine; `AppPartInputs.networkTag` is the same. */
  readonly networkTag: string;
}

export interface OwnServiceAccount {
  readonly kind: "own";
  /** 6 to 30 characters, before the `@` of its e-mail address. */
  readonly accountId: string;
}

export interface ExistingServiceAccount {
  readonly kind: "existing";
  readonly email: string;
}

/** A Docker repository of Artifact Registry, in the part's project and region. */
export interface OwnRepository {
  readonly kind: "own";
  readonly repositoryId: string;
}

export interface ExistingRepository {
  readonly kind: "existing";
  readonly project: string;
  readonly location: string;
  readonly repositoryId: string;
}

/** `key`: the key, and the one rule that opens it. Not made for ephemeral keys. */
export interface KeyPartInputs {
  readonly access: CloudAccess;
  /** Shown beside each resource that has room for it. At most 256 characters. */
  readonly description: string;
  readonly labels: Readonly<Record<string, string>>;
  /** As in `BasePartInputs`, of this part's project. */
  readonly services: readonly string[];
  /** Cloud KMS location with HSM: "europe-west4", "europe". */
  readonly location: string;
  readonly keyRing: { readonly kind: "own" | "existing"; readonly name: string };
  readonly keyName: string;
  /** How long a destroyed version can be restored: "2592000s". Fixed for the life of the key. */
  readonly destroyScheduledDuration: string;
  /**
   * kept: nothing that the engine does destroys or replaces the key or the way to it. released: the next `destroy` may; only after
   * the user has confirmed that.
   */
  readonly keyProtection: "kept" | "released";
  readonly pool: AttestedPoolInputs;
  /**
   * The one principal that may decrypt: "principal://iam.googleapis.com/projects/N/…/workloadIdentityPools/POOL/subject/SUBJECT".
   * Undefined as long as no machine is known: nobody may, and the outputs say so.
   */
  readonly decrypter: string | undefined;
}

/** Whose attestation tokens are accepted, and as whom. */
export interface AttestedPoolInputs {
  readonly poolId: string;
  readonly providerId: string;
  /** "https://confidentialcomputing.googleapis.com" */
  readonly issuerUri: string;
  /** At least one. */
  readonly allowedAudiences: readonly string[];
  /** CEL over the token's claims; never empty: without one, every machine of every customer of Google is accepted. */
  readonly attributeCondition: string;
  /** CEL expression of `google.subject`. */
  readonly subjectMapping: string;
}

/** `app`: the machine. */
export interface AppPartInputs {
  readonly access: CloudAccess;
  readonly region: string;
  readonly zone: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly instanceName: string;
  /** Of the family n2d: no other has SEV-SNP. */
  readonly machineType: string;
  /** "https://www.googleapis.com/compute/v1/projects/P/global/images/NAME": one image, not a family, which moves. */
  readonly image: string;
  readonly bootDisk: { readonly sizeGb: number; readonly type: string };
  /** "projects/P/regions/R/subnetworks/S" */
  readonly subnetwork: string;
  readonly networkTag: string;
  readonly address: StaticAddress | EphemeralAddress | NoAddress;
  readonly serviceAccountEmail: string;
  readonly userData: UserData;
  /** Whether the machine's logs go to Cloud Logging. */
  readonly logging: boolean;
  readonly secrets: WorkloadSecretsInputs;
}

/**
 * The machine's cloud-config, at most 256 KiB of UTF-8: a pure function of the versions of its secrets, variable of the workload →
 * "projects/N/secrets/ID/versions/V". So a changed secret is other user-data and with it a new machine, also where a deploy was
 * interrupted between the two. Public: no secret is in it. It is called once with made-up versions before there is a program, and
 * throws then whatever it has against the rest.
 */
export type UserData = (secretVersions: Readonly<Record<string, string>>) => string;

/** An address that stays when the machine is replaced. */
export interface StaticAddress {
  readonly kind: "static";
  readonly name: string;
}

export interface EphemeralAddress {
  readonly kind: "ephemeral";
}

/** Reached from its network only. */
export interface NoAddress {
  readonly kind: "none";
}

export interface WorkloadSecretsInputs {
  /**
   * The principal that may read them, up to the instance id, which is known only when the machine is there:
   * "principal://iam.googleapis.com/projects/N/…/workloadIdentityPools/POOL/subject/gcpcvm::N::".
   * Undefined where there is no pool, and then there must be no secrets.
   */
  readonly readerPrefix: string | undefined;
  readonly values: readonly WorkloadSecret[];
}

export interface WorkloadSecret {
  /** Environment variable of the workload. */
  readonly variable: string;
  /** Name in Secret Manager. */
  readonly secretId: string;
  /** Secret, and not empty. */
  readonly value: string;
}
