/** Parts that units of the machine share. */
import { formatCommand } from "./unit-file.ts";
import type { UnitLines } from "./unit-file.ts";
import { VM } from "./vm-paths.ts";

/** Dependencies of what speaks to the network. */
export const NETWORK_ONLINE: UnitLines = [
  ["Wants", "network-online.target"],
  ["After", "network-online.target"],
];

/** A command of a script of ours. Scripts never change: what is particular to this machine are their arguments. */
export function formatScript(name: string, ...args: readonly string[]): string {
  return formatCommand(["/bin/bash", `${VM.scripts}/${name}`, ...args]);
}
