/** Where things are on the machine, and where its containers see them. */

/** Everything below is gone with the machine's power: `/etc` and `/run` of Container-Optimized OS are in memory. */
export const VM = {
  /** Scripts, and what they are given. `/etc` is one of the few places that programs may be started from. */
  scripts: "/etc/polaris",
  tokenTool: "/etc/polaris/token-tool",
  units: "/etc/systemd/system",
  run: "/run/polaris",
  /** HOME of Docker's client, which keeps its registry login there: that of root is read-only. */
  home: "/run/polaris/home",
  proxyEnvironment: "/run/polaris/proxy.env",
  workloadEnvironment: "/run/polaris/workload.env",
  secrets: "/run/polaris/secrets",
  secretEnvironment: "/run/polaris/secrets/workload.env",
  tokens: "/run/polaris/tokens",
  secretRequest: "/etc/polaris/secrets.json",
  agentState: "/run/polaris/agent-state",
  agent: "/run/polaris/agent",
  agentSocket: "/run/polaris/agent/token-agent.sock",
  keyApi: "/run/polaris/key-api",
} as const;

/** The proxy's image lets it read below `/run` and write below `/run/polaris` alone. */
const GIVEN_TOKENS = "/run/polaris-vm/tokens";
const GIVEN_AGENT = "/run/polaris-vm/agent";
const GIVEN_KEY_API = "/run/polaris/key-api";

/** Where the containers see what the machine gives them. Folders are mounted, never files: a file that is replaced by a rename
 * would stay the old one in a container. */
export const GIVEN = {
  tokens: GIVEN_TOKENS,
  tokenFile: `${GIVEN_TOKENS}/attestation-token`,
  agent: GIVEN_AGENT,
  agentSocket: `${GIVEN_AGENT}/token-agent.sock`,
  keyApi: GIVEN_KEY_API,
  keyApiSocket: `${GIVEN_KEY_API}/key-api.sock`,
} as const;

/** What the proxy calls the workload. */
export const WORKLOAD_HOST = "workload";

/** User and group of the proxy image (`proxy-image.ts`): files and sockets for the proxy are open to this group. */
export const PROXY_GROUP_ID = 65_532;
