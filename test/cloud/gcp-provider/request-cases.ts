/** What the real provider sends, as measured on the wire, for each resource and operation. */
import type { Fields } from "./fields.ts";
import type { Recorded } from "./recording-stub.ts";

export interface RequestCase {
  readonly name: string;
  readonly token: string;
  readonly operation: "create" | "read" | "update" | "delete" | "invoke";
  /** Checked first, as the engine does it. */
  readonly inputs: Fields;
  readonly id?: string;
  /** What was known before an update, a read or a delete; by default the inputs. */
  readonly state?: Fields;
  /** By `METHOD path`; a list is answered one after another, the last of it for ever. */
  readonly answers?: Readonly<Record<string, unknown>>;
  readonly requests: readonly Recorded[];
}

const RING = "projects/p/locations/europe-west4/keyRings/polaris";
const KEY = `${RING}/cryptoKeys/key`;
const POOL = "projects/p/locations/global/workloadIdentityPools/pool";
const PROVIDER = `${POOL}/providers/google`;
const REPOSITORY = "projects/p/locations/europe-west4/repositories/polaris";
const ACCOUNT = "projects/p/serviceAccounts/polaris-vm@p.iam.gserviceaccount.com";
const SECRET = "projects/p/secrets/api-key";
const HAND = "alt=json&prettyPrint=false";
const MARK = { "goog-pulumi-provisioned": "true" };

const KEY_INPUTS = {
  name: "key",
  keyRing: RING,
  purpose: "ASYMMETRIC_DECRYPT",
  versionTemplate: { algorithm: "RSA_DECRYPT_OAEP_4096_SHA256", protectionLevel: "HSM" },
  destroyScheduledDuration: "2592000s",
  labels: { app: "polaris" },
};

const PROVIDER_INPUTS = {
  workloadIdentityPoolId: "pool",
  workloadIdentityPoolProviderId: "google",
  displayName: "Google",
  attributeCondition: "true",
  attributeMapping: { "google.subject": "assertion.sub" },
  oidc: { issuerUri: "https://issuer.example", allowedAudiences: ["https://sts.googleapis.com"] },
};

export const IDENTITY_CASES: readonly RequestCase[] = [
  {
    name: "a service that is enabled already is only looked at",
    token: "gcp:projects/service:Service",
    operation: "create",
    inputs: { service: "compute.googleapis.com" },
    answers: {
      [`GET /v1/projects/p/services`]: { services: [{ name: "projects/7/services/compute.googleapis.com" }] },
      "GET /v1/projects/p": { lifecycleState: "ACTIVE" },
    },
    requests: [
      [
        `GET /v1/projects/p/services?alt=json&fields=services%2Fname%2CnextPageToken&filter=state%3AENABLED&pageSize=200&prettyPrint=false`,
      ],
      [`GET /v1/projects/p?${HAND}`],
      [
        `GET /v1/projects/p/services?alt=json&fields=services%2Fname%2CnextPageToken&filter=state%3AENABLED&pageSize=200&prettyPrint=false`,
      ],
    ],
  },
  {
    name: "a single service is enabled by itself, and its operation is polled",
    token: "gcp:projects/service:Service",
    operation: "create",
    inputs: { service: "sts.googleapis.com" },
    answers: {
      "GET /v1/projects/p/services": [{}, { services: [{ name: "projects/7/services/sts.googleapis.com" }] }],
      "POST /v1/projects/p/services/sts.googleapis.com:enable": { name: "operations/acf.1", done: false },
      "GET /v1/operations/acf.1": { name: "operations/acf.1", done: true },
      "GET /v1/projects/p": { lifecycleState: "ACTIVE" },
    },
    requests: [
      [
        `GET /v1/projects/p/services?alt=json&fields=services%2Fname%2CnextPageToken&filter=state%3AENABLED&pageSize=200&prettyPrint=false`,
      ],
      [`POST /v1/projects/p/services/sts.googleapis.com:enable?${HAND}`, {}],
      ["GET /v1/operations/acf.1?alt=json"],
      [
        `GET /v1/projects/p/services?alt=json&fields=services%2Fname%2CnextPageToken&filter=state%3AENABLED&pageSize=200&prettyPrint=false`,
      ],
      [`GET /v1/projects/p?${HAND}`],
      [
        `GET /v1/projects/p/services?alt=json&fields=services%2Fname%2CnextPageToken&filter=state%3AENABLED&pageSize=200&prettyPrint=false`,
      ],
    ],
  },
  {
    name: "a service stays enabled when its resource goes",
    token: "gcp:projects/service:Service",
    operation: "delete",
    id: "p/sts.googleapis.com",
    inputs: { service: "sts.googleapis.com" },
    requests: [],
  },
  {
    name: "a service is disabled on request",
    token: "gcp:projects/service:Service",
    operation: "delete",
    id: "p/sts.googleapis.com",
    inputs: { service: "sts.googleapis.com", disableOnDestroy: true },
    requests: [
      [`POST /v1/projects/p/services/sts.googleapis.com:disable?${HAND}`, { checkIfServiceHasUsage: "SKIP" }],
    ],
  },
  {
    name: "a repository is made and read",
    token: "gcp:artifactregistry/repository:Repository",
    operation: "create",
    inputs: { repositoryId: "polaris", location: "europe-west4", format: "DOCKER", description: "images" },
    answers: {
      "POST /v1/projects/p/locations/europe-west4/repositories": {
        name: "projects/p/locations/europe-west4/operations/1",
        done: false,
      },
      "GET /v1/projects/p/locations/europe-west4/operations/1": { done: true },
      [`GET /v1/${REPOSITORY}`]: { format: "DOCKER", mode: "STANDARD_REPOSITORY" },
    },
    requests: [
      [
        "POST /v1/projects/p/locations/europe-west4/repositories?alt=json&repository_id=polaris",
        { format: "DOCKER", mode: "STANDARD_REPOSITORY", description: "images", labels: MARK },
      ],
      ["GET /v1/projects/p/locations/europe-west4/operations/1?alt=json"],
      [`GET /v1/${REPOSITORY}?alt=json`],
    ],
  },
  {
    name: "a repository is patched by a mask",
    token: "gcp:artifactregistry/repository:Repository",
    operation: "update",
    id: REPOSITORY,
    state: {
      format: "DOCKER",
      mode: "STANDARD_REPOSITORY",
      description: "old",
      labels: {},
      effectiveLabels: MARK,
    },
    inputs: {
      repositoryId: "polaris",
      location: "europe-west4",
      format: "DOCKER",
      description: "new",
      labels: { app: "polaris" },
    },
    answers: { [`GET /v1/${REPOSITORY}`]: {} },
    requests: [
      [
        `PATCH /v1/${REPOSITORY}?alt=json&updateMask=description%2Clabels`,
        { cleanupPolicies: {}, description: "new", labels: { ...MARK, app: "polaris" } },
      ],
      [`GET /v1/${REPOSITORY}?alt=json`],
    ],
  },
  {
    name: "a repository is deleted",
    token: "gcp:artifactregistry/repository:Repository",
    operation: "delete",
    id: REPOSITORY,
    inputs: { repositoryId: "polaris", location: "europe-west4", format: "DOCKER" },
    requests: [[`DELETE /v1/${REPOSITORY}?alt=json`]],
  },
  {
    name: "a service account is made and seen three times",
    token: "gcp:serviceaccount/account:Account",
    operation: "create",
    inputs: { accountId: "polaris-vm", displayName: "Polaris" },
    answers: {
      "POST /v1/projects/p/serviceAccounts": { name: ACCOUNT, email: "polaris-vm@p.iam.gserviceaccount.com" },
      [`GET /v1/${ACCOUNT}`]: {
        name: ACCOUNT,
        email: "polaris-vm@p.iam.gserviceaccount.com",
        projectId: "p",
      },
    },
    requests: [
      [
        `POST /v1/projects/p/serviceAccounts?${HAND}`,
        { accountId: "polaris-vm", serviceAccount: { displayName: "Polaris" } },
      ],
      [`GET /v1/${ACCOUNT}?${HAND}`],
      [`GET /v1/${ACCOUNT}?${HAND}`],
      [`GET /v1/${ACCOUNT}?${HAND}`],
    ],
  },
  {
    name: "a service account's description is patched with its etag",
    token: "gcp:serviceaccount/account:Account",
    operation: "update",
    id: ACCOUNT,
    state: { accountId: "polaris-vm", displayName: "Polaris", description: "d1" },
    inputs: { accountId: "polaris-vm", displayName: "Polaris", description: "d2" },
    answers: {
      [`GET /v1/${ACCOUNT}`]: { name: ACCOUNT, email: "polaris-vm@p.iam.gserviceaccount.com", etag: "e" },
    },
    requests: [
      [`GET /v1/${ACCOUNT}?${HAND}`],
      [
        `PATCH /v1/${ACCOUNT}?${HAND}`,
        {
          serviceAccount: { description: "d2", displayName: "Polaris", etag: "e" },
          updateMask: "description",
        },
      ],
      [`GET /v1/${ACCOUNT}?${HAND}`],
      [`GET /v1/${ACCOUNT}?${HAND}`],
      [`GET /v1/${ACCOUNT}?${HAND}`],
    ],
  },
  {
    name: "a service account is disabled by its own verb",
    token: "gcp:serviceaccount/account:Account",
    operation: "update",
    id: ACCOUNT,
    state: { accountId: "polaris-vm" },
    inputs: { accountId: "polaris-vm", disabled: true },
    answers: { [`GET /v1/${ACCOUNT}`]: { name: ACCOUNT, email: "polaris-vm@p.iam.gserviceaccount.com" } },
    requests: [[`POST /v1/${ACCOUNT}:disable?${HAND}`, {}], [`GET /v1/${ACCOUNT}?${HAND}`]],
  },
  {
    name: "a service account is deleted",
    token: "gcp:serviceaccount/account:Account",
    operation: "delete",
    id: ACCOUNT,
    inputs: { accountId: "polaris-vm" },
    requests: [[`DELETE /v1/${ACCOUNT}?${HAND}`]],
  },
  {
    name: "a pool is made, read, and asked for its attestation rules",
    token: "gcp:iam/workloadIdentityPool:WorkloadIdentityPool",
    operation: "create",
    inputs: { workloadIdentityPoolId: "pool", displayName: "Polaris" },
    answers: {
      "POST /v1/projects/p/locations/global/workloadIdentityPools": {
        name: `${POOL}/operations/1`,
        done: false,
      },
      [`GET /v1/${POOL}/operations/1`]: { done: true },
      [`GET /v1/${POOL}`]: { name: POOL.replace("/p/", "/7/"), displayName: "Polaris" },
      [`GET /v1/${POOL}:listAttestationRules`]: {},
    },
    requests: [
      [
        "POST /v1/projects/p/locations/global/workloadIdentityPools?alt=json&workloadIdentityPoolId=pool",
        { displayName: "Polaris" },
      ],
      [`GET /v1/${POOL}/operations/1?alt=json`],
      [`GET /v1/${POOL}?alt=json`],
      [`GET /v1/${POOL}:listAttestationRules?alt=json`],
    ],
  },
  {
    name: "a pool without anything to say has an empty body",
    token: "gcp:iam/workloadIdentityPool:WorkloadIdentityPool",
    operation: "create",
    inputs: { workloadIdentityPoolId: "pool" },
    answers: { [`GET /v1/${POOL}`]: { name: POOL }, [`GET /v1/${POOL}:listAttestationRules`]: {} },
    requests: [
      ["POST /v1/projects/p/locations/global/workloadIdentityPools?alt=json&workloadIdentityPoolId=pool", {}],
      [`GET /v1/${POOL}?alt=json`],
      [`GET /v1/${POOL}:listAttestationRules?alt=json`],
    ],
  },
  {
    name: "a pool's display name is patched",
    token: "gcp:iam/workloadIdentityPool:WorkloadIdentityPool",
    operation: "update",
    id: POOL,
    state: { workloadIdentityPoolId: "pool", displayName: "old", description: "d" },
    inputs: { workloadIdentityPoolId: "pool", displayName: "new", description: "d" },
    answers: { [`GET /v1/${POOL}`]: { name: POOL }, [`GET /v1/${POOL}:listAttestationRules`]: {} },
    requests: [
      [`PATCH /v1/${POOL}?alt=json&updateMask=displayName`, { displayName: "new", description: "d" }],
      [`GET /v1/${POOL}?alt=json`],
      [`GET /v1/${POOL}:listAttestationRules?alt=json`],
    ],
  },
  {
    name: "a pool is deleted",
    token: "gcp:iam/workloadIdentityPool:WorkloadIdentityPool",
    operation: "delete",
    id: POOL,
    inputs: { workloadIdentityPoolId: "pool" },
    requests: [[`DELETE /v1/${POOL}?alt=json`]],
  },
  {
    name: "a pool's provider is made and read",
    token: "gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider",
    operation: "create",
    inputs: PROVIDER_INPUTS,
    answers: {
      [`POST /v1/${POOL}/providers`]: { name: `${PROVIDER}/operations/1`, done: false },
      [`GET /v1/${PROVIDER}/operations/1`]: { done: true },
      [`GET /v1/${PROVIDER}`]: { name: PROVIDER },
    },
    requests: [
      [
        `POST /v1/${POOL}/providers?alt=json&workloadIdentityPoolProviderId=google`,
        {
          displayName: "Google",
          attributeCondition: "true",
          attributeMapping: { "google.subject": "assertion.sub" },
          oidc: { issuerUri: "https://issuer.example", allowedAudiences: ["https://sts.googleapis.com"] },
        },
      ],
      [`GET /v1/${PROVIDER}/operations/1?alt=json`],
      [`GET /v1/${PROVIDER}?alt=json`],
    ],
  },
  {
    name: "any change of the issuer names all its fields in the mask",
    token: "gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider",
    operation: "update",
    id: PROVIDER,
    state: PROVIDER_INPUTS,
    inputs: { ...PROVIDER_INPUTS, oidc: { issuerUri: "https://other.example" } },
    answers: { [`GET /v1/${PROVIDER}`]: { name: PROVIDER } },
    requests: [
      [
        `PATCH /v1/${PROVIDER}?alt=json&updateMask=oidc.allowed_audiences%2Coidc.issuer_uri%2Coidc.jwks_json`,
        {
          displayName: "Google",
          attributeCondition: "true",
          attributeMapping: { "google.subject": "assertion.sub" },
          oidc: { issuerUri: "https://other.example" },
        },
      ],
      [`GET /v1/${PROVIDER}?alt=json`],
    ],
  },
  {
    name: "a dropped condition is in the mask and not in the body",
    token: "gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider",
    operation: "update",
    id: PROVIDER,
    state: PROVIDER_INPUTS,
    inputs: Object.fromEntries(
      Object.entries(PROVIDER_INPUTS).filter(([name]) => name !== "attributeCondition"),
    ),
    answers: { [`GET /v1/${PROVIDER}`]: { name: PROVIDER } },
    requests: [
      [
        `PATCH /v1/${PROVIDER}?alt=json&updateMask=attributeCondition`,
        {
          displayName: "Google",
          attributeMapping: { "google.subject": "assertion.sub" },
          oidc: { issuerUri: "https://issuer.example", allowedAudiences: ["https://sts.googleapis.com"] },
        },
      ],
      [`GET /v1/${PROVIDER}?alt=json`],
    ],
  },
  {
    name: "an issuer becomes an AWS account in place",
    token: "gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider",
    operation: "update",
    id: PROVIDER,
    state: PROVIDER_INPUTS,
    inputs: {
      ...Object.fromEntries(Object.entries(PROVIDER_INPUTS).filter(([name]) => name !== "oidc")),
      aws: { accountId: "123456789012" },
    },
    answers: { [`GET /v1/${PROVIDER}`]: { name: PROVIDER } },
    requests: [
      [
        `PATCH /v1/${PROVIDER}?alt=json&updateMask=aws%2Coidc.allowed_audiences%2Coidc.issuer_uri%2Coidc.jwks_json`,
        {
          displayName: "Google",
          attributeCondition: "true",
          attributeMapping: { "google.subject": "assertion.sub" },
          aws: { accountId: "123456789012" },
        },
      ],
      [`GET /v1/${PROVIDER}?alt=json`],
    ],
  },
];

export const KEY_CASES: readonly RequestCase[] = [
  {
    name: "a key ring is made without a body",
    token: "gcp:kms/keyRing:KeyRing",
    operation: "create",
    inputs: { name: "polaris", location: "europe-west4" },
    answers: { [`GET /v1/${RING}`]: {} },
    requests: [
      ["POST /v1/projects/p/locations/europe-west4/keyRings?alt=json&keyRingId=polaris"],
      [`GET /v1/${RING}?alt=json`],
    ],
  },
  {
    name: "a key ring is never deleted",
    token: "gcp:kms/keyRing:KeyRing",
    operation: "delete",
    id: RING,
    inputs: { name: "polaris", location: "europe-west4" },
    requests: [],
  },
  {
    name: "a key is made and read, and its version is not waited for",
    token: "gcp:kms/cryptoKey:CryptoKey",
    operation: "create",
    inputs: KEY_INPUTS,
    answers: { [`GET /v1/${KEY}`]: {} },
    requests: [
      [
        `POST /v1/${RING}/cryptoKeys?alt=json&cryptoKeyId=key&skipInitialVersionCreation=false`,
        {
          purpose: "ASYMMETRIC_DECRYPT",
          versionTemplate: { algorithm: "RSA_DECRYPT_OAEP_4096_SHA256", protectionLevel: "HSM" },
          destroyScheduledDuration: "2592000s",
          labels: { ...MARK, app: "polaris" },
        },
      ],
      [`GET /v1/${KEY}?alt=json`],
    ],
  },
  {
    name: "a key's labels are patched, with both objects in the body",
    token: "gcp:kms/cryptoKey:CryptoKey",
    operation: "update",
    id: KEY,
    state: { ...KEY_INPUTS, labels: {}, effectiveLabels: MARK },
    inputs: KEY_INPUTS,
    answers: { [`GET /v1/${KEY}`]: {} },
    requests: [
      [
        `PATCH /v1/${KEY}?alt=json&updateMask=labels`,
        {
          labels: { ...MARK, app: "polaris" },
          versionTemplate: { algorithm: "RSA_DECRYPT_OAEP_4096_SHA256", protectionLevel: "HSM" },
        },
      ],
      [`GET /v1/${KEY}?alt=json`],
    ],
  },
  {
    name: "a key's deletion policy is the provider's own: only a read",
    token: "gcp:kms/cryptoKey:CryptoKey",
    operation: "update",
    id: KEY,
    state: { ...KEY_INPUTS, deletionPolicy: "DELETE" },
    inputs: { ...KEY_INPUTS, deletionPolicy: "PREVENT" },
    answers: { [`GET /v1/${KEY}`]: {} },
    requests: [[`GET /v1/${KEY}?alt=json`]],
  },
  {
    name: "a deleted key stays, and every version that is not destroyed is",
    token: "gcp:kms/cryptoKey:CryptoKey",
    operation: "delete",
    id: KEY,
    inputs: KEY_INPUTS,
    answers: {
      [`GET /v1/${KEY}/cryptoKeyVersions`]: {
        cryptoKeyVersions: [
          { name: `${KEY}/cryptoKeyVersions/1`, state: "ENABLED" },
          { name: `${KEY}/cryptoKeyVersions/2`, state: "DESTROYED" },
          { name: `${KEY}/cryptoKeyVersions/3`, state: "DESTROY_SCHEDULED" },
          { name: `${KEY}/cryptoKeyVersions/4`, state: "PENDING_GENERATION" },
        ],
      },
    },
    requests: [
      [`GET /v1/${KEY}/cryptoKeyVersions?${HAND}`],
      [`POST /v1/${KEY}/cryptoKeyVersions/1:destroy?${HAND}`, {}],
      [`POST /v1/${KEY}/cryptoKeyVersions/4:destroy?${HAND}`, {}],
    ],
  },
  {
    name: "an abandoned key is left alone",
    token: "gcp:kms/cryptoKey:CryptoKey",
    operation: "delete",
    id: KEY,
    inputs: { ...KEY_INPUTS, deletionPolicy: "ABANDON" },
    requests: [],
  },
  {
    name: "a member of a key is added to its policy",
    token: "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember",
    operation: "create",
    inputs: { cryptoKeyId: KEY, role: "roles/cloudkms.cryptoKeyDecrypter", member: "user:A@example.com" },
    answers: {
      [`GET /v1/${KEY}:getIamPolicy`]: [
        { etag: "e1", version: 1, bindings: [{ role: "roles/viewer", members: ["user:b@example.com"] }] },
        {
          etag: "e2",
          bindings: [{ role: "roles/cloudkms.cryptoKeyDecrypter", members: ["user:a@example.com"] }],
        },
      ],
    },
    requests: [
      [`GET /v1/${KEY}:getIamPolicy?alt=json&options.requestedPolicyVersion=3&prettyPrint=false`],
      [
        `POST /v1/${KEY}:setIamPolicy?${HAND}`,
        {
          policy: {
            bindings: [
              { role: "roles/cloudkms.cryptoKeyDecrypter", members: ["user:a@example.com"] },
              { role: "roles/viewer", members: ["user:b@example.com"] },
            ],
            etag: "e1",
            version: 3,
          },
        },
      ],
      ...Array.from({ length: 4 }, (): Recorded => [
        `GET /v1/${KEY}:getIamPolicy?alt=json&options.requestedPolicyVersion=3&prettyPrint=false`,
      ]),
    ],
  },
  {
    name: "the last member of a policy leaves no bindings",
    token: "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember",
    operation: "delete",
    id: "x",
    inputs: { cryptoKeyId: "p/europe-west4/polaris/key", role: "roles/viewer", member: "user:a@example.com" },
    answers: {
      [`GET /v1/${KEY}:getIamPolicy`]: {
        etag: "e1",
        bindings: [{ role: "roles/viewer", members: ["user:a@example.com"] }],
      },
    },
    requests: [
      [`GET /v1/${KEY}:getIamPolicy?alt=json&options.requestedPolicyVersion=3&prettyPrint=false`],
      [`POST /v1/${KEY}:setIamPolicy?${HAND}`, { policy: { etag: "e1", version: 3 } }],
      ...Array.from({ length: 3 }, (): Recorded => [
        `GET /v1/${KEY}:getIamPolicy?alt=json&options.requestedPolicyVersion=3&prettyPrint=false`,
      ]),
    ],
  },
  {
    name: "a member of a project is added by POST, read by POST",
    token: "gcp:projects/iAMMember:IAMMember",
    operation: "create",
    inputs: {
      project: "p",
      role: "roles/logging.logWriter",
      member: "serviceAccount:vm@p.iam.gserviceaccount.com",
    },
    answers: {
      "POST /v1/projects/p:getIamPolicy": [
        { etag: "e1" },
        {
          etag: "e2",
          bindings: [
            { role: "roles/logging.logWriter", members: ["serviceAccount:vm@p.iam.gserviceaccount.com"] },
          ],
        },
      ],
    },
    requests: [
      [`POST /v1/projects/p:getIamPolicy?${HAND}`, { options: { requestedPolicyVersion: 3 } }],
      [
        `POST /v1/projects/p:setIamPolicy?${HAND}`,
        {
          policy: {
            bindings: [
              { role: "roles/logging.logWriter", members: ["serviceAccount:vm@p.iam.gserviceaccount.com"] },
            ],
            etag: "e1",
            version: 3,
          },
          updateMask: "bindings,etag,auditConfigs",
        },
      ],
      ...Array.from({ length: 4 }, (): Recorded => [
        `POST /v1/projects/p:getIamPolicy?${HAND}`,
        { options: { requestedPolicyVersion: 3 } },
      ]),
    ],
  },
  {
    name: "a member of a repository is added without asking for a version",
    token: "gcp:artifactregistry/repositoryIamMember:RepositoryIamMember",
    operation: "create",
    inputs: {
      repository: "polaris",
      location: "europe-west4",
      role: "roles/artifactregistry.reader",
      member: "serviceAccount:vm@p.iam.gserviceaccount.com",
    },
    answers: {
      [`GET /v1/${REPOSITORY}:getIamPolicy`]: {
        bindings: [
          { role: "roles/artifactregistry.reader", members: ["serviceAccount:vm@p.iam.gserviceaccount.com"] },
        ],
      },
    },
    requests: [
      [`GET /v1/${REPOSITORY}:getIamPolicy?alt=json`],
      [
        `POST /v1/${REPOSITORY}:setIamPolicy?alt=json`,
        {
          policy: {
            bindings: [
              {
                role: "roles/artifactregistry.reader",
                members: ["serviceAccount:vm@p.iam.gserviceaccount.com"],
              },
            ],
            version: 3,
          },
        },
      ],
      ...Array.from({ length: 4 }, (): Recorded => [`GET /v1/${REPOSITORY}:getIamPolicy?alt=json`]),
    ],
  },
  {
    name: "a secret is made and read",
    token: "gcp:secretmanager/secret:Secret",
    operation: "create",
    inputs: {
      secretId: "api-key",
      replication: { userManaged: { replicas: [{ location: "europe-west4" }] } },
    },
    answers: { [`GET /v1/${SECRET}`]: { name: "projects/7/secrets/api-key" } },
    requests: [
      [
        "POST /v1/projects/p/secrets?alt=json&secretId=api-key",
        { replication: { userManaged: { replicas: [{ location: "europe-west4" }] } }, labels: MARK },
      ],
      [`GET /v1/${SECRET}?alt=json`],
    ],
  },
  {
    name: "a secret that is kept everywhere says so with an empty object",
    token: "gcp:secretmanager/secret:Secret",
    operation: "create",
    inputs: { secretId: "api-key", replication: { auto: {} } },
    answers: { [`GET /v1/${SECRET}`]: { name: "projects/7/secrets/api-key" } },
    requests: [
      [
        "POST /v1/projects/p/secrets?alt=json&secretId=api-key",
        { replication: { automatic: {} }, labels: MARK },
      ],
      [`GET /v1/${SECRET}?alt=json`],
    ],
  },
  {
    name: "a secret is deleted",
    token: "gcp:secretmanager/secret:Secret",
    operation: "delete",
    id: SECRET,
    inputs: { secretId: "api-key", replication: { auto: {} } },
    requests: [[`DELETE /v1/${SECRET}?alt=json`]],
  },
  {
    name: "a secret's version is added, enabled, read, and read back",
    token: "gcp:secretmanager/secretVersion:SecretVersion",
    operation: "create",
    inputs: { secret: SECRET, secretData: "hush" },
    answers: {
      [`POST /v1/${SECRET}:addVersion`]: { name: `${SECRET}/versions/1` },
      [`GET /v1/${SECRET}/versions/1`]: { name: `${SECRET}/versions/1`, state: "ENABLED" },
      [`GET /v1/${SECRET}/versions/1:access`]: { payload: { data: "aHVzaA==" } },
    },
    requests: [
      [`POST /v1/${SECRET}:addVersion?alt=json`, { payload: { data: "aHVzaA==" } }],
      [`POST /v1/${SECRET}/versions/1:enable?alt=json`],
      [`GET /v1/${SECRET}/versions/1?alt=json`],
      [`GET /v1/${SECRET}/versions/1:access?alt=json`],
    ],
  },
  {
    name: "a secret's version is destroyed",
    token: "gcp:secretmanager/secretVersion:SecretVersion",
    operation: "delete",
    id: `${SECRET}/versions/1`,
    inputs: { secret: SECRET, secretData: "hush" },
    requests: [[`POST /v1/${SECRET}/versions/1:destroy?alt=json`]],
  },
  {
    name: "a member of a secret is added to its policy",
    token: "gcp:secretmanager/secretIamMember:SecretIamMember",
    operation: "create",
    inputs: {
      secretId: "api-key",
      role: "roles/secretmanager.secretAccessor",
      member: "principal://iam.googleapis.com/Subject",
    },
    answers: {
      [`GET /v1/${SECRET}:getIamPolicy`]: {
        etag: "e",
        bindings: [
          { role: "roles/secretmanager.secretAccessor", members: ["principal://iam.googleapis.com/Subject"] },
        ],
      },
    },
    requests: [
      [`GET /v1/${SECRET}:getIamPolicy?alt=json&options.requestedPolicyVersion=3`],
      [
        `POST /v1/${SECRET}:setIamPolicy?alt=json`,
        {
          policy: {
            etag: "e",
            bindings: [
              {
                role: "roles/secretmanager.secretAccessor",
                members: ["principal://iam.googleapis.com/Subject"],
              },
            ],
            version: 3,
          },
        },
      ],
      ...Array.from({ length: 4 }, (): Recorded => [
        `GET /v1/${SECRET}:getIamPolicy?alt=json&options.requestedPolicyVersion=3`,
      ]),
    ],
  },
];
