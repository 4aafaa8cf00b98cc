/** The units of the machine. */
import type { BootInputs } from "./boot-inputs.ts";
import { PROXY_CONTAINER } from "./container-arguments.ts";
import { planProxy, planSecrets, planWorkload } from "./container-units.ts";
import type { SplitEnvironment } from "./environment-file.ts";
import {
  planAgentService,
  planAgentSocket,
  planMachineToken,
  planMachineTokenTimer,
  planTokenTool,
} from "./token-units.ts";
import type { UnitFile } from "./unit-file.ts";
import { formatScript } from "./unit-parts.ts";

/** Starts all others: what `runcmd` starts. */
export const BOOT_TARGET = "polaris.target";

/** All units, in the order in which they come up. */
export function planUnits(
  boot: BootInputs,
  environments: { readonly proxy: SplitEnvironment; readonly workload: SplitEnvironment },
): UnitFile[] {
  const units = [
    planTokenTool(boot),
    planAgentSocket(),
    planAgentService(boot),
    ...(boot.providerName === null
      ? []
      : [planMachineToken(boot.providerName, boot.verifierUrl), planMachineTokenTimer()]),
    ...(boot.secrets.length === 0 ? [] : [planSecrets(boot)]),
    planWorkload(boot, environments.workload),
    planProxy(boot, environments.proxy),
    planWatch(boot),
    planWatchTimer(),
  ];
  const started = units.filter(({ name }) => !UNSTARTED.has(name)).map(({ name }) => name);
  return [...units, planTarget(started)];
}

/** What sockets and timers start. */
const UNSTARTED = new Set(["polaris-token-agent@.service", "polaris-watch.service"]);

function planTarget(wanted: readonly string[]): UnitFile {
  return {
    name: BOOT_TARGET,
    sections: {
      Unit: [["Description", "Polaris"], ...wanted.map((name) => ["Wants", name] as const)],
    },
  };
}

/** A proxy that runs and answers nothing any more is started anew. */
function planWatch({ proxy: { port, tls } }: BootInputs): UnitFile {
  const url = `${tls ? "https" : "http"}://127.0.0.1:${port}/polaris-container/health`;
  return {
    name: "polaris-watch.service",
    sections: {
      Unit: [["Description", "Polaris: asks the proxy whether it lives"]],
      Service: [
        ["Type", "oneshot"],
        ["ExecStart", formatScript("watch-proxy.sh", PROXY_CONTAINER, "polaris-proxy.service", url)],
      ],
    },
  };
}

function planWatchTimer(): UnitFile {
  return {
    name: "polaris-watch.timer",
    sections: {
      Unit: [["Description", "Polaris: asks the proxy whether it lives"]],
      Timer: [
        ["OnActiveSec", "2min"],
        ["OnUnitActiveSec", "1min"],
      ],
    },
  };
}
