import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { KeyPartInputs } from "./part-inputs.ts";

/** Longest condition and longest mapping expression that workload identity federation takes, in characters. */
const MAX_CONDITION_CHARACTERS = 4096;
const MAX_MAPPING_CHARACTERS = 2048;

/** `member` of a grant to one subject. A principalSet or a service account is many machines, or none that is attested. */
const ONE_PRINCIPAL =
  /^principal:\/\/iam\.googleapis\.com\/projects\/[0-9]+\/locations\/global\/workloadIdentityPools\/(?<poolId>[a-z0-9-]+)\/subject\/[^/\s]+$/;

/**
 * The last look at what opens the key, whoever made the inputs: the provider checks none of it.
 *
 * @throws {PolarisError} CONFIG_INVALID if the pool would accept more than the tokens of one attested kind of machine, or the
 *   key open to more than one principal of that pool
 */
export function checkKeyInputs({ pool, decrypter }: KeyPartInputs): void {
  checkExpression("attribute condition", pool.attributeCondition, MAX_CONDITION_CHARACTERS);
  checkExpression("subject mapping", pool.subjectMapping, MAX_MAPPING_CHARACTERS);
  // Google's default audience is the same for every pool of every customer.
  if (pool.allowedAudiences.length === 0 || pool.allowedAudiences.some((audience) => audience === "")) {
    throw new PolarisError("CONFIG_INVALID", "the key's identity pool names no audience of its tokens");
  }
  if (decrypter === undefined) return;
  if (ONE_PRINCIPAL.exec(decrypter)?.groups?.["poolId"] !== pool.poolId) {
    throw new PolarisError(
      "CONFIG_INVALID",
      `the key's grant names "${decrypter}", expected one principal of the pool ${pool.poolId}`,
    );
  }
}

function checkExpression(what: string, expression: string, maxCharacters: number): void {
  if (expression.trim() === "") {
    throw new PolarisError("CONFIG_INVALID", `the key's identity pool has no ${what}`, {
      hint: "without one, machines of other customers of Google could get the key",
    });
  }
  if (expression.length > maxCharacters) {
    throw new PolarisError(
      "CONFIG_INVALID",
      `the ${what} has ${expression.length} characters, at most ${maxCharacters} are allowed`,
    );
  }
}
