import { randomBytes, type KeyObject } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAccessTokens } from "@polaris-cvm/stacks/local/trust/access-token.ts";
import type { SigningKey } from "@polaris-cvm/stacks/local/trust/issuer-key.ts";
import { openKeyStore } from "@polaris-cvm/stacks/local/trust/kms-store.ts";
import type { Api, HttpService } from "./api.ts";
import { createRegistryFront } from "./artifact-registry/registry-front.ts";
import { Repositories } from "./artifact-registry/repositories.ts";
import { createArtifactRegistryApi } from "./artifact-registry.ts";
import { createAttestationIssuer } from "./attestation-issuer.ts";
import { type AttestationVerifier, createConfidentialComputingApi } from "./confidential-computing.ts";
import { GoogleError } from "./google-error.ts";
import { createIamApi } from "./iam.ts";
import { IdentityPools } from "./iam/identity-pools.ts";
import { createIamCredentialsApi } from "./iam-credentials.ts";
import { createKmsApi } from "./kms.ts";
import { createSecretManagerApi } from "./secret-manager.ts";
import { createStsApi } from "./sts.ts";
import type { World } from "./world.ts";

export interface IamServicesOptions {
  /** How many reads of a new service account find nothing. Default: none. */
  readonly invisibleReads?: number;
  /** Makes the RSA-4096 keys of the key service, which takes seconds; tests have one at hand. */
  readonly generateKey?: () => Promise<KeyObject>;
  /** Locations that have no hardware modules. Default: none. */
  readonly locationsWithoutHsm?: readonly string[];
  /** Looks at the evidence of machines. Without one, nothing proves anything. */
  readonly verifyAttestation?: AttestationVerifier;
  /** Signs attestation tokens; for tests that sign some themselves. */
  readonly attestationKey?: SigningKey;
}

/** The services that decide who gets a key, a secret or an image: they share identities, tokens and keys. */
export interface IamServices {
  readonly apis: readonly Api[];
  readonly services: readonly HttpService[];
  stop(): Promise<void>;
}

/** One set for one world. Its state ends with {@link IamServices.stop}. */
export async function createIamServices(
  world: World,
  options: IamServicesOptions = {},
): Promise<IamServices> {
  const pools = new IdentityPools(world);
  const accessTokens = createAccessTokens({
    secret: randomBytes(32),
    now: world.now,
    isPoolUsable: (pool) => pools.isUsable(pool),
  });
  world.addAuthenticator((token) => {
    const verdict = accessTokens.verify(token);
    if (!verdict.valid) return undefined;
    return { member: verdict.caller.principal, memberships: verdict.caller.memberships };
  });
  const folder = await mkdtemp(join(tmpdir(), "polaris-box-kms-"));
  const store = await openKeyStore({
    folder,
    cryptoKeys: [],
    now: world.now,
    // The version says so itself, by its state GENERATION_FAILED.
    onGenerationFailed: () => undefined,
    ...(options.generateKey === undefined ? {} : { generateKey: options.generateKey }),
  });
  const issuer = await createAttestationIssuer(
    world,
    options.attestationKey === undefined ? {} : { key: options.attestationKey },
  );
  const repositories = new Repositories(world);
  return {
    apis: [
      createIamApi(world, { pools, ownIssuer: issuer.issuer, invisibleReads: options.invisibleReads ?? 0 }),
      createIamCredentialsApi(world, accessTokens),
      createStsApi(world, { pools, accessTokens, ownIssuer: issuer.issuer, ownKeys: issuer.keys }),
      createKmsApi(world, { store, locationsWithoutHsm: options.locationsWithoutHsm ?? [] }),
      createSecretManagerApi(world),
      createArtifactRegistryApi(world, repositories),
      createConfidentialComputingApi(world, { issuer, verify: options.verifyAttestation ?? refuseEvidence }),
    ],
    services: [issuer.service, createRegistryFront(world, repositories)],
    // A version that is still being generated is written while the folder goes.
    stop: () => rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 }),
  };
}

const refuseEvidence: AttestationVerifier = async () => {
  throw new GoogleError("INVALID_ARGUMENT", "The attestation could not be verified.");
};
