import { createHash, createPrivateKey, generateKeyPair, type KeyObject } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import { attestationCondition, subjectMapping } from "@polaris-cvm/stacks/attestation-condition.ts";
import {
  parseTrustConfig,
  type TrustConfig,
  type TrustConfigInput,
} from "@polaris-cvm/stacks/local/trust/config.ts";
import { createLog } from "@polaris-cvm/stacks/local/trust/log.ts";
import { startTrustServices, type TrustServices } from "@polaris-cvm/stacks/local/trust/trust-services.ts";
import { type JSONWebKeySet, type JWTPayload, SignJWT } from "jose";

export const machine = {
  projectId: "sim-project",
  projectNumber: "123456789012",
  zone: "local-a",
  instanceName: "hello-default",
  instanceId: "1234567890123456789",
  serviceAccount: "hello-vm@sim-project.iam.gserviceaccount.com",
};
export const credentials = {
  machine: "planted-machine-credential-0001",
  otherMachine: "planted-machine-credential-0002",
  administrator: "planted-administrator-credential",
};
export const administratorEmail = "deployer@sim-project.local";

const pool = `projects/${machine.projectNumber}/locations/global/workloadIdentityPools/polaris-pool`;
export const subject = `gcpcvm::${machine.projectNumber}::${machine.instanceId}`;
export const principal = `principal://iam.googleapis.com/${pool}/subject/${subject}`;
export const cryptoKey = "projects/sim-project/locations/local/keyRings/hello-ring/cryptoKeys/hello-key";
export const otherCryptoKey = "projects/sim-project/locations/local/keyRings/hello-ring/cryptoKeys/other-key";
export const serviceAccount = "federated@sim-project.iam.gserviceaccount.com";

/** Audience of the token exchange at a provider of the fixture. */
export function audienceOf(provider: string, inPool = "polaris-pool"): string {
  return `//iam.googleapis.com/${pool.replace("polaris-pool", inPool)}/providers/${provider}`;
}

export const condition = attestationCondition({
  softwareName: "POLARIS_SIMULATED",
  hardwareModels: ["POLARIS_SIMULATED_NO_TEE"],
  secureBoot: true,
  projectNumber: machine.projectNumber,
  instanceId: machine.instanceId,
  zone: machine.zone,
  serviceAccount: machine.serviceAccount,
});

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

type Pool = TrustConfigInput["workloadIdentity"]["pools"][number];

/** A provider with the real condition, or with the parts that a test replaces. */
export function provider(
  id: string,
  replaced: Partial<Pool["providers"][number]> = {},
): Pool["providers"][number] {
  return {
    id,
    issuerUri: "self",
    allowedAudiences: [],
    attributeMapping: { "google.subject": subjectMapping() },
    attributeCondition: condition,
    ...replaced,
  };
}

/** A complete configuration document. */
export function configDocument(stateDir: string): TrustConfigInput {
  return {
    version: 1,
    port: 0,
    stateDir,
    machines: [
      { credentialSha256: sha256(credentials.machine), ...machine },
      {
        credentialSha256: sha256(credentials.otherMachine),
        ...machine,
        instanceId: "999",
        instanceName: "other",
      },
    ],
    administrators: [{ credentialSha256: sha256(credentials.administrator), email: administratorEmail }],
    workloadIdentity: {
      projectNumber: machine.projectNumber,
      pools: [
        {
          id: "polaris-pool",
          providers: [
            provider("attested"),
            provider("disabled-provider", { disabled: true }),
            provider("truthy", { attributeCondition: "assertion.swname" }),
            provider("lenient", { attributeCondition: "assertion.swname == 'POLARIS_SIMULATED'" }),
            provider("by-sub", {
              attributeCondition: "assertion.swname == 'POLARIS_SIMULATED'",
              attributeMapping: {
                "google.subject": "assertion.sub",
                "attribute.zone": "assertion.submods.gce.zone",
              },
            }),
            provider("own-audience", { allowedAudiences: ["https://sts.example"] }),
            provider("elsewhere", { issuerUri: "http://127.0.0.1:1/issuer" }),
          ],
        },
        { id: "disabled-pool", disabled: true, providers: [provider("attested")] },
      ],
    },
    serviceAccounts: [
      { email: serviceAccount, bindings: [{ role: "roles/iam.workloadIdentityUser", members: [principal] }] },
    ],
    kms: {
      project: machine.projectId,
      location: "local",
      keyRings: [
        {
          id: "hello-ring",
          cryptoKeys: [
            {
              id: "hello-key",
              bindings: [
                {
                  role: "roles/cloudkms.cryptoKeyDecrypter",
                  members: [principal, `serviceAccount:${serviceAccount}`, `user:${administratorEmail}`],
                },
                { role: "roles/cloudkms.publicKeyViewer", members: [principal] },
                { role: "roles/cloudkms.viewer", members: [principal] },
              ],
            },
            { id: "other-key", bindings: [] },
          ],
        },
      ],
    },
  };
}

let sharedKey: Promise<KeyObject> | undefined;

/** RSA-4096 keys take long to make: the first one is shared by the tests of a file. */
export async function sharedRsaKey(): Promise<KeyObject> {
  sharedKey ??= newRsaKey();
  return sharedKey;
}

export async function newRsaKey(): Promise<KeyObject> {
  return (await promisify(generateKeyPair)("rsa", { modulusLength: 4096 })).privateKey;
}

export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-test-"));
  // Retries: a key version that is still being generated is written while the folder goes.
  t.after(() => rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 }));
  return folder;
}

export interface Clock {
  nowMs: number;
}

export interface TestTrust {
  readonly services: TrustServices;
  readonly url: string;
  readonly issuer: string;
  readonly config: TrustConfig;
  readonly clock: Clock;
  readonly logs: string[];
  /** Sends a request and reads the JSON answer. */
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
}

export interface CallOptions {
  readonly bearer?: string | undefined;
  readonly json?: unknown;
  readonly form?: Readonly<Record<string, string>> | readonly (readonly [string, string])[];
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: AnswerBody;
}

/** What the services answer with; an answer has some of it, and tests say which. */
export interface AnswerBody {
  readonly token: string;
  readonly issuer: string;
  readonly jwks_uri: string;
  readonly keys: JSONWebKeySet["keys"];
  readonly access_token: string;
  readonly expires_in: number;
  readonly accessToken: string;
  readonly expireTime: string;
  readonly name: string;
  readonly state: string | number;
  readonly purpose: string | number;
  readonly versionTemplate: unknown;
  readonly destroyTime: string;
  readonly destroyEventTime: string;
  readonly pem: string;
  readonly plaintext: string;
  readonly cryptoKeyVersions: readonly { readonly name: string }[];
  readonly nextPageToken: string;
  readonly totalSize: number;
  readonly error: {
    readonly code: number;
    readonly status: string;
    readonly message: string;
    readonly details: readonly {
      readonly reason: string;
      readonly violations: readonly { readonly type: string; readonly subject: string }[];
    }[];
  };
  readonly error_description: string;
}

/** Starts the real services on a free port, with a clock that stands still and one shared RSA-4096 key. */
export async function startTestTrust(
  t: TestContext,
  options: {
    readonly stateDir?: string;
    readonly change?: (document: TrustConfigInput) => void;
    readonly clock?: Clock;
    readonly generateKey?: () => Promise<KeyObject>;
  } = {},
): Promise<TestTrust> {
  const document = configDocument(options.stateDir ?? join(await temporaryFolder(t), "trust"));
  options.change?.(document);
  const config = parseTrustConfig(document);
  const clock = options.clock ?? { nowMs: Date.parse("2026-11-21T10:00:00Z") };
  const logs: string[] = [];
  const now = (): number => clock.nowMs;
  const services = await startTrustServices(config, {
    log: createLog("trust", now, (line) => logs.push(line)),
    now,
    generateKey: options.generateKey ?? sharedRsaKey,
  });
  t.after(() => services.close());
  await services.ready;
  const { url } = services;
  return {
    services,
    url,
    issuer: `${url}/issuer`,
    config,
    clock,
    logs,
    call: (method, path, callOptions) => call(`${url}${path}`, method, callOptions),
  };
}

async function call(
  url: string,
  method: string,
  { bearer, json, form, body, headers }: CallOptions = {},
): Promise<Answer> {
  const response = await fetch(url, {
    method,
    headers: {
      ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
      ...(json === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(json === undefined ? {} : { body: JSON.stringify(json) }),
    ...(form === undefined ? {} : { body: new URLSearchParams(form as Record<string, string>) }),
    ...(body === undefined ? {} : { body }),
  });
  return { status: response.status, headers: response.headers, body: (await response.json()) as AnswerBody };
}

/** A token from the issuer itself, for a machine of the fixture. */
export async function issueToken(
  trust: TestTrust,
  audience: string,
  credential = credentials.machine,
): Promise<string> {
  const answer = await trust.call("POST", "/issuer/v1/token", {
    bearer: credential,
    json: { audience, token_type: "OIDC" },
  });
  return answer.body.token;
}

export interface MachineClaims extends JWTPayload {
  secboot: boolean | string;
  hwmodel: string;
  swname: string;
  submods: {
    gce: Record<"zone" | "project_id" | "project_number" | "instance_name" | "instance_id", string>;
  };
  google_service_accounts: string[] | string;
}

/** The claims that the issuer would sign for the machine. */
export function machineClaims(): MachineClaims {
  const { serviceAccount: email, projectId, projectNumber, zone, instanceName, instanceId } = machine;
  return {
    sub: `simulated://projects/${projectId}/zones/${zone}/instances/${instanceName}`,
    secboot: true,
    oemid: 0,
    hwmodel: "POLARIS_SIMULATED_NO_TEE",
    swname: "POLARIS_SIMULATED",
    dbgstat: "enabled",
    submods: {
      gce: {
        zone,
        project_id: projectId,
        project_number: projectNumber,
        instance_name: instanceName,
        instance_id: instanceId,
      },
    },
    google_service_accounts: [email],
  };
}

export interface ForgedToken {
  readonly audience?: string | undefined;
  readonly issuer?: string;
  readonly claims?: (claims: MachineClaims) => void;
  readonly issuedAtOffsetSeconds?: number;
  readonly notBeforeOffsetSeconds?: number;
  readonly lifetimeSeconds?: number;
  /** Signs instead of the issuer's own key. */
  readonly key?: KeyObject | Uint8Array;
  readonly algorithm?: string;
}

/** A token with any claims, signed by the issuer's own key unless said otherwise. */
export async function forgeToken(trust: TestTrust, forged: ForgedToken = {}): Promise<string> {
  const issuedAt = Math.floor(trust.clock.nowMs / 1000) + (forged.issuedAtOffsetSeconds ?? 0);
  const claims: MachineClaims = {
    aud: forged.audience ?? audienceOf("attested"),
    iss: forged.issuer ?? trust.issuer,
    iat: issuedAt,
    nbf: issuedAt + (forged.notBeforeOffsetSeconds ?? 0),
    exp: issuedAt + (forged.lifetimeSeconds ?? 3600),
    ...machineClaims(),
  };
  forged.claims?.(claims);
  const key =
    forged.key ?? createPrivateKey(await readFile(join(trust.config.stateDir, "issuer-signing-key.pem")));
  return new SignJWT(claims).setProtectedHeader({ alg: forged.algorithm ?? "RS256", typ: "JWT" }).sign(key);
}

/** The form of a token exchange as google-auth-library sends it. */
export function exchangeForm(token: string, audience = audienceOf("attested")): Record<string, string> {
  return {
    grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
    audience,
    scope: "https://www.googleapis.com/auth/cloud-platform",
    requested_token_type: "urn:ietf:params:oauth:token-type:access_token",
    subject_token: token,
    subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
  };
}

/** An access token of the attested principal, or of what another machine may get. */
export async function accessToken(
  trust: TestTrust,
  provider = "attested",
  credential = credentials.machine,
): Promise<string> {
  const token = await issueToken(trust, audienceOf(provider), credential);
  const answer = await trust.call("POST", "/v1/token", { form: exchangeForm(token, audienceOf(provider)) });
  if (answer.status !== 200) throw new Error(JSON.stringify(answer.body));
  return answer.body.access_token;
}
