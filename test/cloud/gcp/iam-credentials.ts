import type { AccessTokens } from "@polaris-cvm/stacks/local/trust/access-token.ts";
import { createIamCredentials } from "@polaris-cvm/stacks/local/trust/iam-credentials.ts";
import type { Api } from "./api.ts";
import { GoogleError, serviceDisabled } from "./google-error.ts";
import { callTrust, toTrustCaller } from "./iam-trust-bridge.ts";
import type { ServiceAccount, World } from "./world.ts";

const TITLE = "IAM Service Account Credentials API";
const METHOD = "iamcredentials.projects.serviceAccounts.generateAccessToken";

/** Service Account Credentials: access tokens of service accounts, for who may have them. */
export function createIamCredentialsApi(world: World, accessTokens: AccessTokens): Api {
  return {
    name: "iamcredentials",
    title: TITLE,
    documents: ["iamcredentials.v1.json"],
    projectNeeds: { service: true, billing: false },
    handlers: {
      [METHOD]: ({ params, body, caller }) => {
        const email = params["serviceAccountsId"] ?? "";
        const account = world.serviceAccounts.get(email);
        requireService(world, account);
        const service = createIamCredentials({
          authenticate: () => toTrustCaller(caller),
          findServiceAccount: () => (account === undefined ? undefined : []),
          isAllowed: (_, permission) => {
            const resource = `projects/${account?.projectId ?? "-"}/serviceAccounts/${email}`;
            if (!world.hasPermission(caller, permission, resource)) return false;
            if (account?.disabled !== true) return true;
            throw new GoogleError("FAILED_PRECONDITION", `Service account ${email} is disabled.`);
          },
          accessTokens,
          now: world.now,
        });
        return callTrust(service, {
          method: "POST",
          path: `/v1/projects/-/serviceAccounts/${encodeURIComponent(email)}:generateAccessToken`,
          body: JSON.stringify(body),
        });
      },
    },
  };
}

/** The path names no project (`projects/-`): the account's own must have the API. */
function requireService(world: World, account: ServiceAccount | undefined): void {
  const project = account === undefined ? undefined : world.findProject(account.projectId);
  if (project === undefined || project.enabledServices.has("iamcredentials.googleapis.com")) return;
  throw serviceDisabled("iamcredentials.googleapis.com", TITLE, project.projectNumber);
}
