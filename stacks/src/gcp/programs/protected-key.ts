import * as pulumi from "@pulumi/pulumi";
import { CryptoKey } from "@pulumi/gcp/kms/cryptoKey.js";
import { CryptoKeyIAMMember } from "@pulumi/gcp/kms/cryptoKeyIAMMember.js";
import { KeyRing } from "@pulumi/gcp/kms/keyRing.js";
import type { AttestedPool } from "./attested-pool.ts";
import type { EnabledServices } from "./enabled-services.ts";
import type { KeyPartInputs } from "./part-inputs.ts";

export interface ProtectedKeyArgs {
  readonly inputs: KeyPartInputs;
  readonly pool: AttestedPool;
  readonly services: EnabledServices;
}

/** Decrypt, and read the public key. Nobody encrypts through KMS, and the deployer gets nothing. */
const DECRYPTER_ROLES = {
  decrypt: "roles/cloudkms.cryptoKeyDecrypter",
  "public-key": "roles/cloudkms.publicKeyViewer",
} as const;

/** The HSM key that requests are sealed to, and its grant to the one attested principal. */
export class ProtectedKey extends pulumi.ComponentResource {
  /** "projects/P/locations/L/keyRings/R" */
  readonly keyRing: pulumi.Output<string>;
  /** "projects/P/locations/L/keyRings/R/cryptoKeys/K" */
  readonly key: pulumi.Output<string>;

  constructor(name: string, args: ProtectedKeyArgs, opts: pulumi.ComponentResourceOptions) {
    super("polaris:gcp:ProtectedKey", name, {}, opts);
    this.keyRing = this.#keyRing(name, args);
    this.key = this.#createKey(name, args).id;
    for (const [purpose, role] of Object.entries(DECRYPTER_ROLES)) {
      if (args.inputs.decrypter !== undefined) {
        this.#grant(`${name}-${purpose}`, role, args.inputs.decrypter, args.pool);
      }
    }
    this.registerOutputs({ keyRing: this.keyRing, key: this.key });
  }

  #keyRing(name: string, { inputs, services }: ProtectedKeyArgs): pulumi.Output<string> {
    const { access, location, keyRing } = inputs;
    if (keyRing.kind === "existing") {
      return pulumi.output(`projects/${access.project}/locations/${location}/keyRings/${keyRing.name}`);
    }
    const isKept = inputs.keyProtection === "kept";
    return new KeyRing(
      `${name}-ring`,
      { name: keyRing.name, location },
      {
        parent: this,
        protect: isKept,
        retainOnDelete: isKept,
        dependsOn: services.of("cloudkms.googleapis.com"),
      },
    ).id;
  }

  /**
   * A key's name is fixed, so replacing it destroys its versions first and then fails on the name. Four locks, each against
   * another way: `protect` refuses in the engine, at preview; PREVENT in the provider, where the state was edited; `retainOnDelete`
   * makes no call where both are gone; without delete-before-replace it is the creation that fails, and nothing is lost.
   */
  #createKey(name: string, { inputs, services }: ProtectedKeyArgs): CryptoKey {
    const isKept = inputs.keyProtection === "kept";
    return new CryptoKey(
      name,
      {
        name: inputs.keyName,
        keyRing: this.keyRing,
        purpose: "ASYMMETRIC_DECRYPT",
        versionTemplate: { algorithm: "RSA_DECRYPT_OAEP_4096_SHA256", protectionLevel: "HSM" },
        destroyScheduledDuration: inputs.destroyScheduledDuration,
        labels: { ...inputs.labels },
        deletionPolicy: isKept ? "PREVENT" : "DELETE",
      },
      {
        parent: this,
        protect: isKept,
        retainOnDelete: isKept,
        deleteBeforeReplace: false,
        dependsOn: services.of("cloudkms.googleapis.com"),
      },
    );
  }

  #grant(name: string, role: string, member: string, { pool }: AttestedPool): CryptoKeyIAMMember {
    return new CryptoKeyIAMMember(
      name,
      { cryptoKeyId: this.key, role, member },
      // Google refuses a member of a pool that is not there.
      { parent: this, dependsOn: [pool] },
    );
  }
}
