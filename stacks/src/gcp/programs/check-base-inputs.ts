import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { BasePartInputs } from "./part-inputs.ts";

/** @throws {PolarisError} CONFIG_INVALID if a source range is not IPv4: a rule with both kinds is refused by Google */
export function checkBaseInputs({ firewall }: BasePartInputs): void {
  const other = firewall.allowedIpv4Ranges.find((range) => range.includes(":"));
  if (other === undefined) return;
  throw new PolarisError("CONFIG_INVALID", `the allowed range ${other} is not IPv4`, {
    hint: "the machine has no IPv6 address: take the range out of proxy.allowFrom",
  });
}
