import { AttestedPool } from "./attested-pool.ts";
import { checkKeyInputs } from "./check-key-inputs.ts";
import { EnabledServices } from "./enabled-services.ts";
import type { KeyPartInputs } from "./part-inputs.ts";
import type { KeyOutputs } from "./part-outputs.ts";
import type { PartProgram } from "./part-program.ts";
import { ProtectedKey } from "./protected-key.ts";
import { createProvider } from "./provider.ts";

/**
 * The program of part `key`: the key, the pool that says what an attested machine is, the grant to one of them.
 *
 * @throws {PolarisError} CONFIG_INVALID before there is a program, if the key would be open to more than that
 */
export function createKeyProgram(inputs: KeyPartInputs): PartProgram<KeyOutputs> {
  checkKeyInputs(inputs);
  return async () => {
    const provider = createProvider(inputs.access);
    const services = new EnabledServices("services", inputs.services, { provider });
    const attested = new AttestedPool(
      "pool",
      {
        description: inputs.description,
        pool: inputs.pool,
        isKept: inputs.keyProtection === "kept",
        services,
      },
      { provider },
    );
    const { keyRing, key } = new ProtectedKey("key", { inputs, pool: attested, services }, { provider });
    return {
      keyRing,
      key,
      pool: attested.pool.name,
      provider: attested.provider,
      decrypters: inputs.decrypter === undefined ? [] : [inputs.decrypter],
    };
  };
}
