import * as pulumi from "@pulumi/pulumi";
import { IAMMember } from "@pulumi/gcp/projects/iammember.js";
import { Account } from "@pulumi/gcp/serviceaccount/account.js";
import type { EnabledServices } from "./enabled-services.ts";
import type { ExistingServiceAccount, OwnServiceAccount } from "./part-inputs.ts";

export interface VmIdentityArgs {
  readonly project: string;
  readonly description: string;
  readonly serviceAccount: OwnServiceAccount | ExistingServiceAccount;
  readonly logging: boolean;
  readonly services: EnabledServices;
}

/**
 * The machine's service account. It has no role on the key: whoever holds its tokens, as the workload's neighbours might, can
 * ask for attestation and write logs, and no more.
 */
export class VmIdentity extends pulumi.ComponentResource {
  readonly email: pulumi.Output<string>;
  /** "serviceAccount:<email>" */
  readonly member: pulumi.Output<string>;

  constructor(name: string, args: VmIdentityArgs, opts: pulumi.ComponentResourceOptions) {
    super("polaris:gcp:VmIdentity", name, {}, opts);
    this.email =
      args.serviceAccount.kind === "own"
        ? this.#createAccount(name, args, args.serviceAccount).email
        : pulumi.output(args.serviceAccount.email);
    this.member = pulumi.interpolate`serviceAccount:${this.email}`;
    this.#grant(`${name}-attestation`, args, "roles/confidentialcomputing.workloadUser");
    if (args.logging) this.#grant(`${name}-logging`, args, "roles/logging.logWriter");
    this.registerOutputs({ email: this.email, member: this.member });
  }

  #createAccount(name: string, args: VmIdentityArgs, account: OwnServiceAccount): Account {
    return new Account(
      name,
      { accountId: account.accountId, description: args.description },
      { parent: this, dependsOn: args.services.of("iam.googleapis.com") },
    );
  }

  /** A member, never a whole binding: that would take the role from everybody else in the project. */
  #grant(name: string, args: VmIdentityArgs, role: string): IAMMember {
    return new IAMMember(
      name,
      { project: args.project, role, member: this.member },
      { parent: this, dependsOn: args.services.of("cloudresourcemanager.googleapis.com") },
    );
  }
}
