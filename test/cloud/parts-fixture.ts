/** The three parts of a stack on the real engine, in a Google Cloud of the test's own. */
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { isPolarisError, type PolarisError } from "@polaris-cvm/sdk/errors";
import { openPart, type PartOptions } from "@polaris-cvm/stacks/engine/open-part.ts";
import type { Part } from "@polaris-cvm/stacks/engine/part.ts";
import {
  findTestEngine,
  skipWithout,
  testPartOptions,
} from "@polaris-cvm/stacks/engine/testing/test-part.ts";
import { createAppProgram } from "@polaris-cvm/stacks/gcp/programs/app-program.ts";
import { createBaseProgram } from "@polaris-cvm/stacks/gcp/programs/base-program.ts";
import { createKeyProgram } from "@polaris-cvm/stacks/gcp/programs/key-program.ts";
import type {
  AppPartInputs,
  BasePartInputs,
  KeyPartInputs,
} from "@polaris-cvm/stacks/gcp/programs/part-inputs.ts";
import type { VerifiedMachine } from "./gcp/attestation-issuer.ts";
import { FIRST_SERVICES, OWNER } from "./gcp/box.ts";
import { DISCOVERY_MISSING, startTestBox, type TestBox } from "./gcp/box-fixture.ts";
import type { InstanceEvent, Project, World } from "./gcp/world.ts";
import { startGcpProvider } from "./gcp-provider/start-provider.ts";
import { type HttpRelay, startHttpRelay } from "./http-relay.ts";
import {
  appInputs,
  type AppBasis,
  baseInputs,
  type CloudPlace,
  KEY_PROJECT,
  KEY_PROJECT_NUMBER,
  keyInputs,
} from "./parts-inputs.ts";

const engine = await findTestEngine(process.env);

/** For the `skip` of a test: why it cannot run here, or false. */
export const PARTS_SKIP = skipWithout(engine) || DISCOVERY_MISSING;

/** Keys, and the way to them: without the pool nobody gets to the key for 30 days. */
const KEY_TYPES: ReadonlySet<string> = new Set([
  "gcp:kms/keyRing:KeyRing",
  "gcp:kms/cryptoKey:CryptoKey",
  "gcp:iam/workloadIdentityPool:WorkloadIdentityPool",
  "gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider",
]);

export interface StackCloud {
  readonly box: TestBox;
  readonly keyProject: Project;
  /** Between the provider and Compute Engine. */
  readonly network: HttpRelay;
  /** Where state, logs and passphrase are. */
  readonly folder: string;
  /** The machine of an instance id, as it was made, and also when it is gone. */
  machine(instanceId: string): InstanceEvent;
  /** Whose evidence is looked at. */
  attesting: VerifiedMachine | undefined;
  openBase(changes?: Partial<BasePartInputs>, options?: Partial<PartOptions>): Promise<Part>;
  openKey(
    decrypter: string | undefined,
    changes?: Partial<KeyPartInputs>,
    options?: Partial<PartOptions>,
  ): Promise<Part>;
  openApp(basis: AppBasis, changes?: Partial<AppPartInputs>, options?: Partial<PartOptions>): Promise<Part>;
}

export async function startStackCloud(t: TestContext): Promise<StackCloud> {
  if (engine === undefined) throw new Error("no engine: the test should have been skipped");
  const folder = await realpath(await mkdtemp(join(tmpdir(), "polaris-parts-")));
  t.after(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
  const verifyAttestation = async (): Promise<VerifiedMachine> => {
    if (cloud.attesting === undefined) throw new Error("no machine attests itself");
    return cloud.attesting;
  };
  const box = await startTestBox(t, { enabledServices: FIRST_SERVICES, iam: { verifyAttestation } });
  const keyProject = addKeyProject(box.world);
  const network = await startHttpRelay(box.endpoints["compute"] ?? "");
  const provider = await startGcpProvider();
  t.after(async () => {
    await provider.stop();
    await network.stop();
  });
  const made = new Map<string, InstanceEvent>();
  box.world.onInstance((event) => made.set(event.instanceId, event));
  const place: CloudPlace = {
    accessToken: box.accessToken,
    origins: originsOf({ ...box.endpoints, compute: network.origin }),
  };
  const defaults = testPartOptions({ engine, directory: folder, debugProviders: `gcp:${provider.port}` });
  const open = (
    kind: string,
    program: PartOptions["program"],
    options: Partial<PartOptions> = {},
  ): Promise<Part> =>
    openPart({
      ...defaults,
      program,
      project: "polaris",
      stack: `hello-prod-${kind}`,
      workDir: join(folder, "work", kind),
      keyTypes: KEY_TYPES,
      ...options,
    });
  const cloud: StackCloud = {
    box,
    keyProject,
    network,
    folder,
    attesting: undefined,
    machine(instanceId) {
      const event = made.get(instanceId);
      if (event === undefined) throw new Error(`no machine has the id ${instanceId}`);
      return event;
    },
    openBase: (changes, options) =>
      open("base", createBaseProgram({ ...baseInputs(place), ...changes }), options),
    openKey: (decrypter, changes, options) =>
      open("key", createKeyProgram({ ...keyInputs(place, decrypter), ...changes }), options),
    openApp: (basis, changes, options) =>
      open("app", createAppProgram({ ...appInputs(place, basis), ...changes }), options),
  };
  return cloud;
}

/** What the work fails with; it must be an error of ours. */
export async function failureOf(work: Promise<unknown>): Promise<PolarisError> {
  try {
    await work;
  } catch (error) {
    if (isPolarisError(error)) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

function addKeyProject(world: World): Project {
  const project = world.addProject({
    projectId: KEY_PROJECT,
    projectNumber: KEY_PROJECT_NUMBER,
    enabledServices: FIRST_SERVICES,
  });
  world.policies.grant(`projects/${KEY_PROJECT}`, "roles/owner", OWNER);
  return project;
}

function originsOf(endpoints: Readonly<Record<string, string>>): CloudPlace["origins"] {
  const origin = (api: string): string => {
    const found = endpoints[api];
    if (found === undefined) throw new Error(`the cloud has no API ${api}`);
    return found;
  };
  return {
    artifactregistry: origin("artifactregistry"),
    cloudbilling: origin("cloudbilling"),
    cloudkms: origin("cloudkms"),
    cloudresourcemanager: origin("cloudresourcemanager"),
    compute: origin("compute"),
    iam: origin("iam"),
    iamcredentials: origin("iamcredentials"),
    secretmanager: origin("secretmanager"),
    serviceusage: origin("serviceusage"),
  };
}
