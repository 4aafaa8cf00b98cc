/** Inputs of a stack's three parts: machine and images in one project, the key in another. */
import { attestationCondition, subjectMapping } from "@polaris-cvm/stacks/attestation-condition.ts";
import type {
  ApiOrigins,
  AppPartInputs,
  BasePartInputs,
  KeyPartInputs,
} from "@polaris-cvm/stacks/gcp/programs/part-inputs.ts";
import type { BaseOutputs, KeyOutputs } from "@polaris-cvm/stacks/gcp/programs/part-outputs.ts";
import {
  APP_INPUTS,
  BASE_INPUTS,
  KEY_INPUTS,
} from "@polaris-cvm/stacks/gcp/programs/testing/sample-inputs.ts";
import { formatCloudConfig } from "@polaris-cvm/images/cos/cloud-config.ts";
import { bootWith } from "../../images/testing/sample-boot.ts";
import { GOOGLE_ISSUER } from "./gcp/attestation-issuer.ts";
import { NUMBER, PROJECT } from "./gcp/box-fixture.ts";

export const KEY_PROJECT = "polaris-keys";
export const KEY_PROJECT_NUMBER = "210987654321";
export const POOL = `projects/${KEY_PROJECT_NUMBER}/locations/global/workloadIdentityPools/${KEY_INPUTS.pool.poolId}`;
/** `aud` of the machine's token: the full name of the provider, so that the token is good for nothing else. */
export const AUDIENCE = `//iam.googleapis.com/${POOL}/providers/${KEY_INPUTS.pool.providerId}`;

/** Up to where the instance id is appended. */
const PRINCIPAL_PREFIX = `principal://iam.googleapis.com/${POOL}/subject/gcpcvm::${NUMBER}::`;

const IMAGES = "https://www.googleapis.com/compute/v1/projects/cos-cloud/global/images";
export const IMAGE = `${IMAGES}/cos-stable-125-19216-104-126`;
export const OTHER_IMAGE = `${IMAGES}/cos-125-19216-104-126`;

/** Where the APIs are, and who calls them. */
export interface CloudPlace {
  readonly origins: ApiOrigins;
  readonly accessToken: string;
}

/** The one principal that a machine is to the key. */
export function principalOf(instanceId: string): string {
  return `${PRINCIPAL_PREFIX}${instanceId}`;
}

export function baseInputs({ origins, accessToken }: CloudPlace): BasePartInputs {
  return {
    ...BASE_INPUTS,
    access: { project: PROJECT, origins, accessToken },
    services: [...BASE_INPUTS.services, "secretmanager.googleapis.com"],
  };
}

export function keyInputs(
  { origins, accessToken }: CloudPlace,
  decrypter: string | undefined,
): KeyPartInputs {
  return {
    ...KEY_INPUTS,
    access: { project: KEY_PROJECT, origins, accessToken },
    services: [...KEY_INPUTS.services, "sts.googleapis.com"],
    pool: {
      ...KEY_INPUTS.pool,
      issuerUri: GOOGLE_ISSUER,
      allowedAudiences: [AUDIENCE],
      attributeCondition: attestationCondition({
        softwareName: "GCE",
        hardwareModels: ["GCP_AMD_SEV_SNP"],
        secureBoot: true,
        projectNumber: NUMBER,
        zone: APP_INPUTS.zone,
        serviceAccount: `hello-prod-vm-x7k2@${PROJECT}.iam.gserviceaccount.com`,
      }),
      subjectMapping: subjectMapping(),
    },
    decrypter,
  };
}

/** What the two parts before it gave, and what is not to be found where it does not belong. */
export interface AppBasis {
  readonly base: BaseOutputs;
  readonly key: KeyOutputs;
  readonly secretValue: string;
  /** A variable of the workload, which is a part of the user-data. */
  readonly greeting: string;
}

export function appInputs({ origins, accessToken }: CloudPlace, basis: AppBasis): AppPartInputs {
  const { base, key, secretValue, greeting } = basis;
  return {
    ...APP_INPUTS,
    access: { project: PROJECT, origins, accessToken },
    image: IMAGE,
    subnetwork: base.subnetwork,
    serviceAccountEmail: base.serviceAccountEmail,
    userData: (secretVersions) =>
      formatCloudConfig(
        bootWith({
          workload: { environment: { GREETING: greeting } },
          others: {
            providerName: `//iam.googleapis.com/${key.provider}`,
            secrets: Object.entries(secretVersions).map(([name, version]) => ({ name, version })),
          },
        }),
      ),
    secrets: {
      readerPrefix: PRINCIPAL_PREFIX,
      values: [{ variable: "API_KEY", secretId: "hello-prod-api-key-x7k2", value: secretValue }],
    },
  };
}
