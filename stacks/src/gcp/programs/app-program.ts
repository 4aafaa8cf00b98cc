import * as pulumi from "@pulumi/pulumi";
import { checkAppInputs } from "./check-app-inputs.ts";
import { ConfidentialVm } from "./confidential-vm.ts";
import type { AppPartInputs } from "./part-inputs.ts";
import type { AppOutputs } from "./part-outputs.ts";
import type { PartProgram } from "./part-program.ts";
import { createProvider } from "./provider.ts";
import { WorkloadSecrets } from "./workload-secrets.ts";

/**
 * The program of part `app`: the machine, its address, the workload's secrets.
 *
 * @throws {PolarisError} CONFIG_INVALID before there is a program, if the machine would not be the one that was meant
 */
export function createAppProgram(inputs: AppPartInputs): PartProgram<AppOutputs> {
  checkAppInputs(inputs);
  return async () => {
    const { region, zone, labels } = inputs;
    const provider = createProvider(inputs.access, { region, zone });
    const secrets = new WorkloadSecrets(
      "secrets",
      { region, labels, secrets: inputs.secrets.values },
      { provider },
    );
    const userData = pulumi.all(secrets.versions).apply(inputs.userData);
    const machine = new ConfidentialVm("vm", { inputs, userData }, { provider });
    const { readerPrefix } = inputs.secrets;
    if (readerPrefix !== undefined) secrets.grantReader(pulumi.concat(readerPrefix, machine.instanceId));
    const { instance, instanceId, internalAddress, externalAddress } = machine;
    return {
      instance,
      instanceId,
      internalAddress,
      ...(externalAddress === undefined ? {} : { externalAddress }),
    };
  };
}
