import * as pulumi from "@pulumi/pulumi";
import { Address } from "@pulumi/gcp/compute/address.js";
import { Instance } from "@pulumi/gcp/compute/instance.js";
import type { AppPartInputs } from "./part-inputs.ts";

export interface ConfidentialVmArgs {
  readonly inputs: AppPartInputs;
  readonly userData: pulumi.Output<string>;
}

/**
 * What the machine's evidence says, or what it runs. Left alone, the provider takes a change of it for an update that does
 * nothing (the kind of Confidential VM) or that only the next boot would show (user-data): preview would promise what does not
 * happen. `bootDisk` as a whole is not here: its plans list a change of tags that is none.
 */
const IDENTITY = [
  "bootDisk.initializeParams.image",
  "confidentialInstanceConfig",
  "metadata",
  "serviceAccount",
  "shieldedInstanceConfig",
];

/** The machine: AMD SEV-SNP, measured boot, one address at most. */
export class ConfidentialVm extends pulumi.ComponentResource {
  /** "projects/P/zones/Z/instances/NAME" */
  readonly instance: pulumi.Output<string>;
  /** Google's number of this one machine. */
  readonly instanceId: pulumi.Output<string>;
  readonly internalAddress: pulumi.Output<string>;
  /** Undefined where the machine has no address of its own. */
  readonly externalAddress: pulumi.Output<string> | undefined;

  constructor(name: string, args: ConfidentialVmArgs, opts: pulumi.ComponentResourceOptions) {
    super("polaris:gcp:ConfidentialVm", name, {}, opts);
    const { address } = args.inputs;
    const natIp = address.kind === "static" ? this.#createAddress(name, args, address.name) : undefined;
    const machine = this.#createInstance(name, args, natIp);
    this.instance = machine.id;
    this.instanceId = machine.instanceId;
    this.internalAddress = machine.networkInterfaces.apply(([nic]) => nic?.networkIp ?? "");
    this.externalAddress =
      address.kind === "none"
        ? undefined
        : machine.networkInterfaces.apply(([nic]) => nic?.accessConfigs?.[0]?.natIp ?? "");
    this.registerOutputs({
      instance: this.instance,
      instanceId: this.instanceId,
      internalAddress: this.internalAddress,
    });
  }

  #createAddress(name: string, { inputs }: ConfidentialVmArgs, addressName: string): pulumi.Output<string> {
    return new Address(
      `${name}-address`,
      {
        name: addressName,
        region: inputs.region,
        addressType: "EXTERNAL",
        labels: { ...inputs.labels },
      },
      { parent: this },
    ).address;
  }

  #createInstance(
    name: string,
    { inputs, userData }: ConfidentialVmArgs,
    natIp: pulumi.Output<string> | undefined,
  ): Instance {
    const { bootDisk } = inputs;
    return new Instance(
      name,
      {
        name: inputs.instanceName,
        zone: inputs.zone,
        machineType: inputs.machineType,
        minCpuPlatform: "AMD Milan",
        // The switch alone would give plain SEV; the type alone, a machine that is not confidential.
        confidentialInstanceConfig: {
          enableConfidentialCompute: true,
          confidentialInstanceType: "SEV_SNP",
        },
        // SEV-SNP has no live migration: at maintenance the machine stops, and starts elsewhere.
        scheduling: { onHostMaintenance: "TERMINATE", automaticRestart: true },
        shieldedInstanceConfig: {
          enableSecureBoot: true,
          enableVtpm: true,
          enableIntegrityMonitoring: true,
        },
        bootDisk: {
          autoDelete: true,
          initializeParams: { image: inputs.image, size: bootDisk.sizeGb, type: bootDisk.type },
        },
        networkInterfaces: [
          {
            subnetwork: inputs.subnetwork,
            nicType: "GVNIC",
            accessConfigs: accessConfigs(inputs.address, natIp),
          },
        ],
        // Attestation takes no narrower scope; what the account may do, its roles say.
        serviceAccount: {
          email: inputs.serviceAccountEmail,
          scopes: ["https://www.googleapis.com/auth/cloud-platform"],
        },
        metadata: machineMetadata(userData, inputs.logging),
        tags: [inputs.networkTag],
        labels: { ...inputs.labels },
        // Another machine type stops and starts this machine, and it stays the one that the key knows.
        allowStoppingForUpdate: true,
      },
      {
        parent: this,
        replaceOnChanges: IDENTITY,
        // Name and address are fixed: a second machine beside the first would be refused.
        deleteBeforeReplace: true,
      },
    );
  }
}

function accessConfigs(
  address: AppPartInputs["address"],
  natIp: pulumi.Output<string> | undefined,
): { natIp?: pulumi.Output<string> }[] {
  if (address.kind === "none") return [];
  return natIp === undefined ? [{}] : [{ natIp }];
}

/** No secret is in it, and nobody gets in by it: no SSH key of the project, no serial console, no update by itself. */
function machineMetadata(
  userData: pulumi.Output<string>,
  logging: boolean,
): Record<string, pulumi.Input<string>> {
  return {
    "user-data": userData,
    "block-project-ssh-keys": "true",
    "enable-oslogin": "TRUE",
    "serial-port-enable": "false",
    "cos-update-strategy": "update_disabled",
    "google-logging-enabled": String(logging),
  };
}
