import { checkBaseInputs } from "./check-base-inputs.ts";
import { EnabledServices } from "./enabled-services.ts";
import { ImageRepository } from "./image-repository.ts";
import type { BasePartInputs } from "./part-inputs.ts";
import type { BaseOutputs } from "./part-outputs.ts";
import type { PartProgram } from "./part-program.ts";
import { createProvider } from "./provider.ts";
import { VmIdentity } from "./vm-identity.ts";
import { VmNetwork } from "./vm-network.ts";

/**
 * The program of part `base`: APIs, network, the machine's service account, registry.
 *
 * @throws {PolarisError} CONFIG_INVALID before there is a program, if Google would refuse the inputs half way through
 */
export function createBaseProgram(inputs: BasePartInputs): PartProgram<BaseOutputs> {
  checkBaseInputs(inputs);
  return async () => {
    const { region, description, labels } = inputs;
    const { project } = inputs.access;
    const provider = createProvider(inputs.access, { region });
    const services = new EnabledServices("services", inputs.services, { provider });
    const { network, subnetwork } = new VmNetwork(
      "network",
      { project, region, description, network: inputs.network, firewall: inputs.firewall, services },
      { provider },
    );
    const { serviceAccount, logging } = inputs;
    const identity = new VmIdentity(
      "identity",
      { project, description, serviceAccount, logging, services },
      { provider },
    );
    const { repository } = new ImageRepository(
      "images",
      {
        project,
        region,
        description,
        labels,
        repository: inputs.repository,
        reader: identity.member,
        services,
      },
      { provider },
    );
    return { network, subnetwork, serviceAccountEmail: identity.email, repository };
  };
}
