import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { Plan } from "../plan.ts";
import type { Finding } from "../target.ts";
import type { AliveParts } from "./alive-parts.ts";
import { chooseFreePort, describePortHolder, isHeldBy, isPortFree } from "./free-port.ts";
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
  alive: AliveParts,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const wish of portWishes(plan, previous)) {
    const { part, asked } = wish;
    if (asked === undefined || (await isUsable(asked, wish, alive))) continue;
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
  alive: AliveParts,
): Promise<{ readonly ports: LocalState["ports"]; readonly moved: readonly PortPart[] }> {
  const ports: Record<PortPart, number> = { trust: 0, workload: 0, proxy: 0 };
  const moved: PortPart[] = [];
  for (const wish of portWishes(plan, previous)) {
    const { part, asked, remembered } = wish;
    if (asked !== undefined) {
      if (!(await isUsable(asked, wish, alive))) {
        throw new PolarisError("PORT_TAKEN", `port ${asked} on 127.0.0.1 is taken${await holderOf(asked)}`);
      }
      ports[part] = asked;
    } else if (remembered !== undefined && (await isUsable(remembered, wish, alive))) {
      ports[part] = remembered;
    } else {
      ports[part] = await chooseFreePort({ exclude: Object.values(ports) });
      if (remembered !== undefined) moved.push(part);
    }
  }
  return { ports, moved };
}

/**
 * True if a part can listen there, now or when what runs of it has been ended: that comes first. (Its own processes are
 * known by the port that it had, or, if that is forgotten, by what they have open.)
 */
async function isUsable(port: number, { part, remembered }: PortWish, alive: AliveParts): Promise<boolean> {
  const own = alive.get(part);
  if (own !== undefined && (port === remembered || (await isHeldBy(port, own)))) return true;
  return isPortFree(port);
}

function portWishes(plan: Plan, previous: LocalState | undefined): PortWish[] {
  // The port of a container is one of its own network: this machine's need not be free.
  const workloadPort = plan.workload.kind === "process" ? plan.workload.port : undefined;
  return [
    { part: "proxy", asked: plan.proxy.port, remembered: previous?.ports.proxy },
    { part: "workload", asked: workloadPort, remembered: previous?.ports.workload },
    { part: "trust", asked: undefined, remembered: previous?.ports.trust },
  ];
}

async function holderOf(port: number): Promise<string> {
  const holder = await describePortHolder(port);
  return holder === undefined ? "" : ` by ${holder}`;
}
