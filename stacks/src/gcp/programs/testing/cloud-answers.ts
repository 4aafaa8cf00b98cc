/** The id of a project and its number, which some names have instead. */
const PROJECT = "hello-project";
const PROJECT_NUMBER = "123456789012";

interface Answer {
  readonly id: string;
  readonly state: Record<string, unknown>;
}

type Inputs = Readonly<Record<string, unknown>>;

/** What a cloud fills in, by resource type: the fields that programs read. */
const ANSWERS: Readonly<Record<string, (inputs: Inputs) => Answer>> = {
  "gcp:compute/network:Network": ({ name }) => answer(`projects/${PROJECT}/global/networks/${text(name)}`),
  "gcp:compute/subnetwork:Subnetwork": ({ name, region }) =>
    answer(`projects/${PROJECT}/regions/${text(region)}/subnetworks/${text(name)}`),
  "gcp:serviceaccount/account:Account": ({ accountId }) => {
    const email = `${text(accountId)}@${PROJECT}.iam.gserviceaccount.com`;
    return answer(`projects/${PROJECT}/serviceAccounts/${email}`, { email });
  },
  "gcp:artifactregistry/repository:Repository": ({ location, repositoryId }) =>
    answer(`projects/${PROJECT}/locations/${text(location)}/repositories/${text(repositoryId)}`),
  "gcp:kms/keyRing:KeyRing": ({ location, name }) =>
    answer(`projects/hello-keys/locations/${text(location)}/keyRings/${text(name)}`),
  "gcp:kms/cryptoKey:CryptoKey": ({ keyRing, name }) => answer(`${text(keyRing)}/cryptoKeys/${text(name)}`),
  "gcp:iam/workloadIdentityPool:WorkloadIdentityPool": ({ workloadIdentityPoolId }) => {
    const name = poolName(workloadIdentityPoolId);
    return answer(name, { name });
  },
  "gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider": (inputs) => {
    const { workloadIdentityPoolId, workloadIdentityPoolProviderId } = inputs;
    const name = `${poolName(workloadIdentityPoolId)}/providers/${text(workloadIdentityPoolProviderId)}`;
    return answer(name, { name });
  },
  "gcp:secretmanager/secret:Secret": ({ secretId }) =>
    answer(`projects/${PROJECT}/secrets/${text(secretId)}`),
  "gcp:secretmanager/secretVersion:SecretVersion": ({ secret }) => {
    const name = `${text(secret).replace(PROJECT, PROJECT_NUMBER)}/versions/1`;
    return answer(name, { name });
  },
  "gcp:compute/address:Address": ({ name, region }) =>
    answer(`projects/${PROJECT}/regions/${text(region)}/addresses/${text(name)}`, { address: "203.0.113.7" }),
  "gcp:compute/instance:Instance": ({ name, zone, networkInterfaces }) => {
    const [nic] = networkInterfaces as readonly { readonly accessConfigs: readonly Inputs[] }[];
    const accessConfigs = nic?.accessConfigs.map(({ natIp }) => ({ natIp: natIp ?? "203.0.113.99" }));
    return answer(`projects/${PROJECT}/zones/${text(zone)}/instances/${text(name)}`, {
      // Bigger than a JavaScript number can be.
      instanceId: "9223372036854775807",
      networkInterfaces: [{ ...nic, networkIp: "10.10.0.2", accessConfigs }],
    });
  },
};

/** A resource as it is once it is made. */
export function answerOf(type: string, name: string, inputs: Inputs): Answer {
  const { id, state } = ANSWERS[type]?.(inputs) ?? answer(name);
  return { id, state: { ...inputs, ...state } };
}

function answer(id: string, state: Record<string, unknown> = {}): Answer {
  return { id, state };
}

function poolName(poolId: unknown): string {
  return `projects/${PROJECT_NUMBER}/locations/global/workloadIdentityPools/${text(poolId)}`;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
