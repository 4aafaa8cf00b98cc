import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { createAccessTokens } from "./access-token.ts";
import { createAuthenticate } from "./authenticate.ts";
import { compileCondition, compileMapping } from "./cel.ts";
import type { TrustConfig } from "./config.ts";
import { ensurePrivateFolder, readFileIfPresent, readFolder, writeFileDurably } from "./durable-file.ts";
import { createIamCredentials } from "./iam-credentials.ts";
import { type Caller, hasPermission } from "./iam-roles.ts";
import { loadSigningKey, RESTORE, type SigningKey } from "./issuer-key.ts";
import { createIssuerKeysLoader } from "./issuer-keys.ts";
import { createIssuer, issuerKeys, SIMULATED_PLATFORM } from "./issuer.ts";
import { createKms, type CryptoKey } from "./kms.ts";
import { type KeyStore, type KeyStoreOptions, openKeyStore } from "./kms-store.ts";
import type { Log } from "./log.ts";
import { startServer } from "./server.ts";
import { createSts, type IdentityProvider } from "./sts.ts";
import type { Service } from "./service.ts";

/** Cloud KMS keeps a version that is to be destroyed for 30 days. */
const DESTROY_SCHEDULED_SECONDS = 2_592_000;
const SECRET_BYTES = 32;

export interface TrustServices {
  readonly port: number;
  readonly url: string;
  /** Resolves when every key exists and the services answer; rejects if the state is broken. */
  readonly ready: Promise<void>;
  close(): Promise<void>;
}

export interface TrustServicesOptions {
  readonly log: Log;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Makes the RSA-4096 keys of the key service. */
  readonly generateKey?: KeyStoreOptions["generateKey"];
}

/**
 * Starts issuer, token exchange, IAM credentials and key service on one port of the loopback interface, and at a Unix
 * socket if one is named. The port comes first: whoever has it owns the state folder.
 *
 * @throws {PolarisError} PORT_TAKEN, and as of claimSocketPath
 */
export async function startTrustServices(
  config: TrustConfig,
  options: TrustServicesOptions,
): Promise<TrustServices> {
  const server = await startServer({ port: config.port, socket: config.socket, log: options.log });
  const url = `http://127.0.0.1:${server.port}`;
  options.log("info", "listening", { port: server.port });
  const mount = async (): Promise<void> => {
    const state = await loadState(config, options);
    server.mount(createServices(config, state, { ...options, url }));
    options.log("info", "ready", { port: server.port });
  };
  const ready = mount();
  // Whoever waits for it sees the failure; nobody having to wait must not end the process.
  ready.catch(() => undefined);
  return { port: server.port, url, ready, close: () => server.close() };
}

interface TrustState {
  readonly signingKey: SigningKey;
  readonly accessTokenSecret: Uint8Array;
  readonly store: KeyStore;
}

async function loadState(
  config: TrustConfig,
  { log, now, generateKey }: TrustServicesOptions,
): Promise<TrustState> {
  const folder = config.stateDir;
  await ensurePrivateFolder(folder);
  await readFolder(folder);
  const [signingKey, accessTokenSecret, store] = await Promise.all([
    loadSigningKey(join(folder, "issuer-signing-key.pem")),
    loadSecret(join(folder, "access-token-secret")),
    openKeyStore({
      folder: join(folder, "kms"),
      cryptoKeys: config.kms.keyRings.flatMap((ring) =>
        ring.cryptoKeys.map((key) => ({
          name: cryptoKeyName(config, ring.id, key.id),
          folder: join(ring.id, key.id),
        })),
      ),
      now,
      onGenerationFailed: (resource) => log("error", "key generation failed", { resource }),
      ...(generateKey === undefined ? {} : { generateKey }),
    }),
  ]);
  return { signingKey, accessTokenSecret, store };
}

function createServices(
  config: TrustConfig,
  state: TrustState,
  { now, url }: TrustServicesOptions & { readonly url: string },
): readonly Service[] {
  const issuerUrl = `${url}/issuer`;
  const pools = describePools(config, issuerUrl);
  const accessTokens = createAccessTokens({
    secret: state.accessTokenSecret,
    now,
    isPoolUsable: (pool) => pools.usable.has(pool),
  });
  const administrators = describeAdministrators(config);
  const authenticate = createAuthenticate({
    accessTokens,
    findAdministrator: (credentialSha256) => administrators.get(credentialSha256),
  });
  const machines = new Map(config.machines.map((machine) => [machine.credentialSha256, machine]));
  const serviceAccounts = new Map(config.serviceAccounts.map(({ email, bindings }) => [email, bindings]));
  const cryptoKeys = describeCryptoKeys(config);
  const loadOtherIssuerKeys = createIssuerKeysLoader(now);
  return [
    createIssuer({
      issuerUrl,
      signingKey: state.signingKey,
      platform: SIMULATED_PLATFORM,
      findMachine: (credentialSha256) => machines.get(credentialSha256),
      now,
    }),
    createSts({
      findProvider: (name) => pools.providers.get(name),
      loadIssuerKeys: async (issuerUri) =>
        issuerUri === issuerUrl ? issuerKeys(state.signingKey) : loadOtherIssuerKeys(issuerUri),
      accessTokens,
      now,
    }),
    createIamCredentials({
      authenticate,
      findServiceAccount: (email) => serviceAccounts.get(email),
      isAllowed: hasPermission,
      accessTokens,
      now,
    }),
    createKms({
      authenticate,
      findCryptoKey: (name) => cryptoKeys.get(name),
      isAllowed: hasPermission,
      store: state.store,
      now,
    }),
  ];
}

/** Pools that tokens may come from, and providers that tokens may be exchanged at. */
function describePools(
  config: TrustConfig,
  issuerUrl: string,
): { readonly usable: ReadonlySet<string>; readonly providers: ReadonlyMap<string, IdentityProvider> } {
  const usable = new Set<string>();
  const providers = new Map<string, IdentityProvider>();
  for (const { id, disabled, providers: members } of config.workloadIdentity.pools) {
    if (disabled) continue;
    const pool = `projects/${config.workloadIdentity.projectNumber}/locations/global/workloadIdentityPools/${id}`;
    usable.add(pool);
    for (const provider of members) {
      if (provider.disabled) continue;
      providers.set(`${pool}/providers/${provider.id}`, {
        pool,
        id: provider.id,
        issuerUri: provider.issuerUri === "self" ? issuerUrl : provider.issuerUri,
        allowedAudiences: provider.allowedAudiences,
        mapping: compileMapping(provider.attributeMapping),
        condition: compileCondition(provider.attributeCondition),
      });
    }
  }
  return { usable, providers };
}

/** Administrators care for keys and see public keys. No binding applies to them: they never decrypt. */
function describeAdministrators(config: TrustConfig): ReadonlyMap<string, Caller> {
  const { project } = config.kms;
  return new Map(
    config.administrators.map(({ credentialSha256, email }) => [
      credentialSha256,
      {
        principal: `user:${email}`,
        memberships: [],
        projectRoles: [
          { project, role: "roles/cloudkms.admin" },
          { project, role: "roles/cloudkms.publicKeyViewer" },
        ],
      },
    ]),
  );
}

function describeCryptoKeys(config: TrustConfig): ReadonlyMap<string, CryptoKey> {
  const keys = new Map<string, CryptoKey>();
  for (const ring of config.kms.keyRings) {
    for (const { id, bindings } of ring.cryptoKeys) {
      keys.set(cryptoKeyName(config, ring.id, id), {
        bindings,
        protectionLevel: "SOFTWARE",
        destroyScheduledSeconds: DESTROY_SCHEDULED_SECONDS,
      });
    }
  }
  return keys;
}

function cryptoKeyName({ kms }: TrustConfig, keyRing: string, cryptoKey: string): string {
  return `projects/${kms.project}/locations/${kms.location}/keyRings/${keyRing}/cryptoKeys/${cryptoKey}`;
}

/** The secret in the file; a new one is made only if there is no file. */
async function loadSecret(path: string): Promise<Uint8Array> {
  const text = await readFileIfPresent(path);
  if (text === undefined) {
    const secret = randomBytes(SECRET_BYTES);
    await writeFileDurably(path, `${secret.toString("hex")}\n`);
    return secret;
  }
  if (!/^[0-9a-f]{64}\n$/.test(text)) {
    throw new PolarisError("STATE_CORRUPT", `${path} does not hold a secret`, { hint: RESTORE });
  }
  return Buffer.from(text.trim(), "hex");
}
