import type { BootInputs } from "../src/cos/boot-inputs.ts";

/** A machine with everything that a machine can have. */
export const sampleBoot: BootInputs = {
  proxy: {
    image: `europe-west4-docker.pkg.dev/my-project/hello/proxy@sha256:${"1a".repeat(32)}`,
    environment: {
      POLARIS_PROXY_PORT: "3000",
      POLARIS_PROXY_WORKLOAD_URL: "http://workload:8000",
      POLARIS_PROXY_TOKEN_AGENT_SOCKET: "/run/polaris-vm/agent/token-agent.sock",
    },
    port: 443,
    containerPort: 3000,
    tls: true,
  },
  workload: {
    image: `ghcr.io/acme/hello@sha256:${"2b".repeat(32)}`,
    command: ["/bin/hello", "--greeting", "a b"],
    environment: { LOG_LEVEL: "info" },
    keyApi: true,
  },
  registryHosts: ["europe-west4-docker.pkg.dev"],
  tokenTool: {
    url: "https://github.com/google/go-tpm-tools/releases/download/v0.4.9/go-tpm-tools_Linux_x86_64.tar.gz",
    sha256Hex: "3c".repeat(32),
  },
  verifierUrl: "https://confidentialcomputing.googleapis.com",
  providerName:
    "//iam.googleapis.com/projects/1234567890/locations/global/workloadIdentityPools/hello-x7k2/providers/attested",
  secrets: [{ name: "API_KEY", version: "projects/my-project/secrets/hello-api-key/versions/3" }],
  stsUrl: "https://sts.googleapis.com",
  secretManagerUrl: "https://secretmanager.googleapis.com",
  logs: "machine",
};

/** The sample with other things in the two containers. */
export function bootWith(changes: {
  readonly proxy?: Partial<BootInputs["proxy"]>;
  readonly workload?: Partial<BootInputs["workload"]>;
  readonly others?: Partial<Omit<BootInputs, "proxy" | "workload">>;
}): BootInputs {
  return {
    ...sampleBoot,
    ...changes.others,
    proxy: { ...sampleBoot.proxy, ...changes.proxy },
    workload: { ...sampleBoot.workload, ...changes.workload },
  };
}
