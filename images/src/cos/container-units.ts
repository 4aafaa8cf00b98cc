/** The units that run containers. */
import type { BootInputs } from "./boot-inputs.ts";
import {
  INSIDE,
  OUTSIDE,
  PROXY_CONTAINER,
  SECRETS_CONTAINER,
  WORKLOAD_CONTAINER,
  connectProxy,
  createProxy,
  createWorkload,
  removeContainer,
  runSecretFetcher,
  startAttached,
  stopContainer,
} from "./container-arguments.ts";
import type { SplitEnvironment } from "./environment-file.ts";
import { formatCommand, quoteArgument } from "./unit-file.ts";
import type { UnitFile, UnitLines } from "./unit-file.ts";
import { NETWORK_ONLINE, formatScript } from "./unit-parts.ts";
import { VM } from "./vm-paths.ts";

/** What each container needs of Docker and of the packet filter. Nothing is started where that cannot be had. */
function prepareDocker({ registryHosts }: BootInputs): UnitLines {
  return [
    ["Environment", quoteArgument(`HOME=${VM.home}`)],
    ["ExecStartPre", formatScript("prepare-docker.sh", INSIDE, OUTSIDE, ...registryHosts)],
    ["ExecStartPre", formatScript("block-metadata.sh")],
  ];
}

/** A first pull may take long, and whatever fails is tried again for ever. */
const ALWAYS: UnitLines = [
  ["TimeoutStartSec", "0"],
  ["Restart", "always"],
  ["RestartSec", "5"],
];

function afterDocker(...others: readonly string[]): UnitLines {
  return [
    ["Wants", "docker.service"],
    ["After", ["docker.service", ...others].join(" ")],
    ["StartLimitIntervalSec", "0"],
    ...NETWORK_ONLINE,
  ];
}

export function planSecrets(boot: BootInputs): UnitFile {
  return {
    name: "polaris-secrets.service",
    sections: {
      Unit: [
        ["Description", "Polaris: secrets of the workload"],
        ...afterDocker("polaris-machine-token.service"),
      ],
      Service: [
        ["Type", "oneshot"],
        ["RemainAfterExit", "yes"],
        ...prepareDocker(boot),
        ["ExecStartPre", formatCommand(removeContainer(SECRETS_CONTAINER), { mayFail: true })],
        ["ExecStart", formatCommand(runSecretFetcher(boot))],
        ["StandardOutput", "journal+console"],
        ["TimeoutStartSec", "0"],
        ["Restart", "on-failure"],
        ["RestartSec", "10"],
      ],
    },
  };
}

export function planWorkload(boot: BootInputs, environment: SplitEnvironment): UnitFile {
  const hasSecrets = boot.secrets.length > 0;
  return {
    name: "polaris-workload.service",
    sections: {
      Unit: [
        ["Description", "Polaris: the workload"],
        ...(hasSecrets ? ([["Wants", "polaris-secrets.service"]] as const) : []),
        ...afterDocker(...(hasSecrets ? ["polaris-secrets.service"] : [])),
      ],
      Service: [
        ["Type", "exec"],
        ...prepareDocker(boot),
        // Without the file nothing starts: the workload never runs without its secrets.
        ...(hasSecrets ? ([["EnvironmentFile", VM.secretEnvironment]] as const) : []),
        ["ExecStartPre", formatCommand(removeContainer(WORKLOAD_CONTAINER), { mayFail: true })],
        ["ExecStartPre", formatCommand(createWorkload(boot, environment))],
        ["ExecStart", formatCommand(startAttached(WORKLOAD_CONTAINER))],
        ["ExecStop", formatCommand(stopContainer(WORKLOAD_CONTAINER))],
        ...ALWAYS,
      ],
    },
  };
}

/** It comes up without a token too: then it says itself that it has no key. */
export function planProxy(boot: BootInputs, environment: SplitEnvironment): UnitFile {
  return {
    name: "polaris-proxy.service",
    sections: {
      Unit: [
        ["Description", "Polaris: the secure proxy"],
        ["Wants", "polaris-token-agent.socket"],
        ...afterDocker("polaris-token-agent.socket"),
      ],
      Service: [
        ["Type", "exec"],
        ...prepareDocker(boot),
        ["ExecStartPre", formatCommand(removeContainer(PROXY_CONTAINER), { mayFail: true })],
        ["ExecStartPre", formatCommand(createProxy(boot, environment))],
        ["ExecStartPre", formatCommand(connectProxy())],
        ["ExecStart", formatCommand(startAttached(PROXY_CONTAINER))],
        ["ExecStop", formatCommand(stopContainer(PROXY_CONTAINER))],
        ...ALWAYS,
      ],
    },
  };
}
