import { createHash } from "node:crypto";
import type { Plan } from "../plan.ts";
import type { Credentials } from "./credentials.ts";
import { trustUrl } from "./endpoints.ts";
import type { StackPaths } from "./stack-paths.ts";
import type { LocalState } from "./state.ts";

/** The configuration files of the parts of ours, as text. No secret is in them: hashes and paths of credentials are. */
export interface PartConfigs {
  readonly trust: string;
  readonly tokenAgent: string;
}

/**
 * @param group  id of the group that a proxy in a container has, if it is not this user's; null: none
 */
export function planPartConfigs(
  plan: Plan,
  paths: StackPaths,
  state: LocalState,
  credentials: Credentials,
  group: number | null = null,
): PartConfigs {
  return {
    trust: formatConfig(planTrustConfig(plan, paths, { state, credentials, group })),
    tokenAgent: formatConfig(planTokenAgentConfig(plan, paths, state, group)),
  };
}

export function formatConfig(config: object): string {
  return `${JSON.stringify(config, null, 2)}\n`;
}

/** Schema: token-agent/config.ts. */
function planTokenAgentConfig(
  plan: Plan,
  paths: StackPaths,
  state: LocalState,
  group: number | null,
): Record<string, unknown> {
  const federated = plan.key.kind === "hsm";
  return {
    version: 1,
    issuerUrl: `${trustUrl(state)}/issuer`,
    credentialFile: paths.machineCredential,
    stsAudience: federated ? plan.keyPolicy.audience : null,
    tokenFile: federated ? paths.tokenFile : null,
    ...(plan.workload.kind === "image"
      ? { socketPath: paths.containers.tokenAgentSocket, group }
      : { socketPath: paths.tokenAgentSocket }),
  };
}

/** Schema: trust/config.ts. */
function planTrustConfig(
  plan: Plan,
  paths: StackPaths,
  {
    state,
    credentials,
    group,
  }: { readonly state: LocalState; readonly credentials: Credentials; readonly group: number | null },
): Record<string, unknown> {
  const { identity, key, keyPolicy } = plan;
  return {
    version: 1,
    port: state.ports.trust,
    ...(plan.workload.kind === "image" && { socket: { path: paths.containers.trustSocket, group } }),
    stateDir: paths.trustDir,
    machines: [
      {
        credentialSha256: sha256(credentials.machine),
        projectId: identity.projectId,
        projectNumber: identity.projectNumber,
        zone: identity.zone,
        instanceName: identity.instanceName,
        instanceId: identity.instanceId,
        serviceAccount: identity.serviceAccount,
      },
    ],
    administrators: [
      { credentialSha256: sha256(credentials.administrator), email: `deployer@${identity.projectId}.local` },
    ],
    workloadIdentity: {
      projectNumber: identity.projectNumber,
      pools: [
        {
          id: keyPolicy.poolId,
          providers: [
            {
              id: keyPolicy.providerId,
              issuerUri: "self",
              // Empty: only the provider's own name is an audience, so a token is good for this provider alone.
              allowedAudiences: [],
              attributeMapping: { "google.subject": keyPolicy.subjectMapping },
              attributeCondition: keyPolicy.condition,
            },
          ],
        },
      ],
    },
    kms: {
      project: key.project,
      location: key.location,
      keyRings:
        key.kind === "ephemeral"
          ? []
          : [
              {
                id: key.keyRing,
                cryptoKeys: [
                  {
                    id: key.name,
                    bindings: ["roles/cloudkms.cryptoKeyDecrypter", "roles/cloudkms.publicKeyViewer"].map(
                      (role) => ({
                        role,
                        members: [keyPolicy.member],
                      }),
                    ),
                  },
                ],
              },
            ],
    },
  };
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
