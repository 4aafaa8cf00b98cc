import * as pulumi from "@pulumi/pulumi";
import { Secret } from "@pulumi/gcp/secretmanager/secret.js";
import { SecretIamMember } from "@pulumi/gcp/secretmanager/secretIamMember.js";
import { SecretVersion } from "@pulumi/gcp/secretmanager/secretVersion.js";
import type { WorkloadSecret } from "./part-inputs.ts";

export interface WorkloadSecretsArgs {
  readonly region: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly secrets: readonly WorkloadSecret[];
}

/** The workload's secrets. Metadata holds their names alone: whoever may see the machine may read its metadata. */
export class WorkloadSecrets extends pulumi.ComponentResource {
  /** Variable → version: "projects/N/secrets/ID/versions/V". */
  readonly versions: Readonly<Record<string, pulumi.Output<string>>>;
  readonly #name: string;
  readonly #secrets: ReadonlyMap<string, Secret>;

  constructor(name: string, args: WorkloadSecretsArgs, opts: pulumi.ComponentResourceOptions) {
    super("polaris:gcp:WorkloadSecrets", name, {}, opts);
    const secrets = new Map<string, Secret>();
    const versions: Record<string, pulumi.Output<string>> = {};
    for (const { variable, secretId, value } of args.secrets) {
      const secret = new Secret(
        `${name}-${variable}`,
        {
          secretId,
          labels: { ...args.labels },
          // Where the machine is: nothing says that a secret may leave its region.
          replication: { userManaged: { replicas: [{ location: args.region }] } },
        },
        { parent: this },
      );
      secrets.set(variable, secret);
      versions[variable] = new SecretVersion(
        `${name}-${variable}-version`,
        { secret: secret.id, secretData: pulumi.secret(value) },
        { parent: this },
      ).name;
    }
    this.versions = versions;
    this.#name = name;
    this.#secrets = secrets;
    this.registerOutputs({});
  }

  /** Lets one principal read them, and nobody else. Comes after the machine, whose id is in the principal. */
  grantReader(member: pulumi.Output<string>): readonly SecretIamMember[] {
    return Array.from(
      this.#secrets,
      ([variable, secret]) =>
        new SecretIamMember(
          `${this.#name}-${variable}-reader`,
          { secretId: secret.id, role: "roles/secretmanager.secretAccessor", member },
          { parent: this },
        ),
    );
  }
}
