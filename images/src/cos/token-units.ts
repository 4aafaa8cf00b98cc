/** The units that get attestation tokens: the tool, the token agent, the machine's own token. */
import { ATTESTATION_AUDIENCE } from "@polaris-cvm/sdk";
import type { BootInputs } from "./boot-inputs.ts";
import type { UnitFile } from "./unit-file.ts";
import { NETWORK_ONLINE, formatScript } from "./unit-parts.ts";
import { PROXY_GROUP_ID, VM } from "./vm-paths.ts";

const TOKEN_TOOL = `${VM.tokenTool}/gotpm`;

export function planTokenTool({ tokenTool: { url, sha256Hex } }: BootInputs): UnitFile {
  return {
    name: "polaris-token-tool.service",
    sections: {
      Unit: [["Description", "Polaris: the program that asks for attestation tokens"], ...NETWORK_ONLINE],
      Service: [
        ["Type", "oneshot"],
        ["RemainAfterExit", "yes"],
        ["ExecStart", formatScript("install-token-tool.sh", url, sha256Hex, VM.tokenTool)],
        ["TimeoutStartSec", "0"],
        ["Restart", "on-failure"],
        ["RestartSec", "15"],
      ],
    },
  };
}

/** Only who has the socket's folder can connect: the proxy, into whose container alone it is mounted. */
export function planAgentSocket(): UnitFile {
  return {
    name: "polaris-token-agent.socket",
    sections: {
      Unit: [["Description", "Polaris: socket of the token agent"]],
      Socket: [
        ["ListenStream", VM.agentSocket],
        ["Accept", "yes"],
        ["MaxConnections", "16"],
        ["SocketMode", "0660"],
        ["SocketUser", "root"],
        ["SocketGroup", String(PROXY_GROUP_ID)],
        ["RemoveOnStop", "yes"],
      ],
    },
  };
}

/** One connection. Its audience is fixed here; what comes over the socket chooses the nonce and nothing else. */
export function planAgentService({ verifierUrl }: BootInputs): UnitFile {
  return {
    name: "polaris-token-agent@.service",
    sections: {
      Unit: [
        ["Description", "Polaris: token agent"],
        // Somebody who connects often must not turn the agent off.
        ["StartLimitIntervalSec", "0"],
        ["CollectMode", "inactive-or-failed"],
      ],
      Service: [
        ["Type", "exec"],
        [
          "ExecStart",
          formatScript(
            "answer-token-request.sh",
            TOKEN_TOOL,
            verifierUrl,
            ATTESTATION_AUDIENCE,
            VM.agentState,
          ),
        ],
        ["StandardInput", "socket"],
        ["StandardOutput", "socket"],
        ["StandardError", "journal"],
        ["NoNewPrivileges", "yes"],
        ["RuntimeMaxSec", "30"],
      ],
    },
  };
}

/** The token lives an hour. Renewed after forty minutes, there are twenty left for trying again. */
export function planMachineTokenTimer(): UnitFile {
  return {
    name: "polaris-machine-token.timer",
    sections: {
      Unit: [["Description", "Polaris: renews the machine's own token"]],
      Timer: [
        ["OnActiveSec", "40min"],
        ["OnUnitActiveSec", "40min"],
        ["AccuracySec", "5s"],
      ],
    },
  };
}

export function planMachineToken(providerName: string, verifierUrl: string): UnitFile {
  return {
    name: "polaris-machine-token.service",
    sections: {
      Unit: [
        ["Description", "Polaris: the machine's own token"],
        ["Wants", "polaris-token-tool.service"],
        ["After", "polaris-token-tool.service"],
        ["StartLimitIntervalSec", "0"],
      ],
      Service: [
        ["Type", "oneshot"],
        [
          "ExecStart",
          formatScript(
            "renew-machine-token.sh",
            TOKEN_TOOL,
            verifierUrl,
            providerName,
            VM.tokens,
            String(PROXY_GROUP_ID),
          ),
        ],
        // The claims that the key's condition judges, on the serial port: there a deploy can read why it was refused.
        ["StandardOutput", "journal+console"],
        ["TimeoutStartSec", "300"],
        ["Restart", "on-failure"],
        ["RestartSec", "15"],
      ],
    },
  };
}
