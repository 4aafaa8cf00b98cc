import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { Plan } from "../plan.ts";
import type { Finding } from "../targets.ts";
import { chooseFreePort, describePortHolder, isPortFree } from "./free-port.ts";
import type { LocalState } from "./state.ts";

/** The parts that listen on a port. */
export type PortPart = keyof LocalState["ports"];

/** A port is asked for in polaris.yaml, or remembered from the last deploy, or chosen now. */
interface PortWish {
  readonly part: PortPart;
  readonly asked: number | undefined;
  readonly remembered: number | undefined;
}

/** Ports that polaris.yaml asks for and that somebody else has. */
export async function checkPorts(
  plan: Plan,
  previous: LocalState | undefined,
  running: ReadonlySet<string>,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { part, asked, remembered } of portWishes(plan, previous)) {
    if (asked === undefined || (asked === remembered && running.has(part)) || (await isPortFree(asked)))
      continue;
    findings.push({
      check: "port-free",
      where: `${part}.port`,
      problem: `port ${asked} on 127.0.0.1 is taken${await holderOf(asked)}`,
      hint: `end what listens there, choose another ${part}.port, or leave it out: then a free one is chosen and kept`,
    });
  }
  return findings;
}

/**
 * The ports of a stack: what is asked for, else what it had, else free ones. A remembered port that a stranger has
 * taken meanwhile is replaced and reported as moved.
 */
export async function choosePorts(
  plan: Plan,
  previous: LocalState | undefined,
  running: ReadonlySet<string>,
): Promise<{ readonly ports: LocalState["ports"]; readonly moved: readonly PortPart[] }> {
  const ports: Record<PortPart, number> = { trust: 0, workload: 0, proxy: 0 };
  const moved: PortPart[] = [];
  for (const { part, asked, remembered } of portWishes(plan, previous)) {
    const isOurs = remembered !== undefined && running.has(part);
    if (asked !== undefined) {
      if (!(asked === remembered && isOurs) && !(await isPortFree(asked))) {
        throw new PolarisError("PORT_TAKEN", `port ${asked} on 127.0.0.1 is taken${await holderOf(asked)}`);
      }
      ports[part] = asked;
    } else if (remembered !== undefined && (isOurs || (await isPortFree(remembered)))) {
      ports[part] = remembered;
    } else {
      ports[part] = await chooseFreePort({ exclude: Object.values(ports) });
      if (remembered !== undefined) moved.push(part);
    }
  }
  return { ports, moved };
}

function portWishes(plan: Plan, previous: LocalState | undefined): PortWish[] {
  return [
    { part: "proxy", asked: plan.proxy.port, remembered: previous?.ports.proxy },
    { part: "workload", asked: plan.workload.port, remembered: previous?.ports.workload },
    { part: "trust", asked: undefined, remembered: previous?.ports.trust },
  ];
}

async function holderOf(port: number): Promise<string> {
  const holder = await describePortHolder(port);
  return holder === undefined ? "" : ` by ${holder}`;
}
