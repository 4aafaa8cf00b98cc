import type { Authenticate } from "./authenticate.ts";
import { crc32c } from "./crc32c.ts";
import { errorInfo, googleError } from "./google-error.ts";
import { parseJsonBody, parseQuery, wantsNumericEnums } from "./google-request.ts";
import type { Binding, IsAllowed, Permission } from "./iam-roles.ts";
import {
  type EnumStyle,
  formatCryptoKey,
  formatDecryption,
  formatPublicKey,
  formatVersion,
  parseState,
  type ProtectionLevel,
} from "./kms-json.ts";
import type { KeyVersion } from "./kms-manifest.ts";
import { type KmsPath, parseKmsPath, versionName } from "./kms-names.ts";
import type { KeyStore } from "./kms-store.ts";
import { pathSegments, type Service, type ServiceRequest, type ServiceResponse } from "./service.ts";

/** A crypto key and its policy. */
export interface CryptoKey {
  readonly bindings: readonly Binding[];
  readonly protectionLevel: ProtectionLevel;
  /** How long a version that is to be destroyed can be restored. */
  readonly destroyScheduledSeconds: number;
}

export interface KmsOptions {
  readonly authenticate: Authenticate;
  /** The crypto key of a resource name; undefined if there is none. */
  readonly findCryptoKey: (name: string) => CryptoKey | undefined;
  readonly isAllowed: IsAllowed<{ readonly cryptoKey: string }>;
  readonly store: KeyStore;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** One call: everything is known but whether the caller may. */
interface Call {
  readonly options: KmsOptions;
  readonly request: ServiceRequest;
  readonly path: KmsPath;
  readonly style: EnumStyle;
}

interface Method {
  /** Name of the RPC in google.cloud.kms.v1.KeyManagementService. */
  readonly rpc: string;
  readonly permission: Permission;
  readonly handle: (call: Call, key: CryptoKey) => Promise<unknown>;
}

/** RSA-4096: longer or shorter ciphertexts cannot be any. */
const CIPHERTEXT_BYTES = 512;
const MAX_PAGE_SIZE = 1000;

/** HTTP method, `key` or `version`, and action → RPC. */
const METHODS: Readonly<Record<string, Method>> = {
  "GET key ": { rpc: "GetCryptoKey", permission: "cloudkms.cryptoKeys.get", handle: getCryptoKey },
  "GET key cryptoKeyVersions": {
    rpc: "ListCryptoKeyVersions",
    permission: "cloudkms.cryptoKeyVersions.list",
    handle: listVersions,
  },
  "POST key cryptoKeyVersions": {
    rpc: "CreateCryptoKeyVersion",
    permission: "cloudkms.cryptoKeyVersions.create",
    handle: createVersion,
  },
  "GET version ": {
    rpc: "GetCryptoKeyVersion",
    permission: "cloudkms.cryptoKeyVersions.get",
    handle: getVersion,
  },
  "PATCH version ": {
    rpc: "UpdateCryptoKeyVersion",
    permission: "cloudkms.cryptoKeyVersions.update",
    handle: updateVersion,
  },
  "POST version :destroy": {
    rpc: "DestroyCryptoKeyVersion",
    permission: "cloudkms.cryptoKeyVersions.destroy",
    handle: destroyVersion,
  },
  "POST version :restore": {
    rpc: "RestoreCryptoKeyVersion",
    permission: "cloudkms.cryptoKeyVersions.restore",
    handle: restoreVersion,
  },
  "GET version publicKey": {
    rpc: "GetPublicKey",
    permission: "cloudkms.cryptoKeyVersions.viewPublicKey",
    handle: getPublicKey,
  },
  "POST version :asymmetricDecrypt": {
    rpc: "AsymmetricDecrypt",
    permission: "cloudkms.cryptoKeyVersions.useToDecrypt",
    handle: asymmetricDecrypt,
  },
};

/**
 * Google's Cloud KMS at its paths (`/v1/projects/…/cryptoKeys/…`), for keys of RSA_DECRYPT_OAEP_4096_SHA256. Who may do
 * what is decided by the roles of the caller on the key, before anything is said about the key.
 */
export function createKms(options: KmsOptions): Service {
  return (request) => {
    const [version, ...segments] = pathSegments(request.path) ?? [];
    if (version !== "v1" || segments[0] !== "projects" || segments[4] !== "keyRings") return undefined;
    return {
      operation: `kms.${findMethod(request, segments)?.rpc ?? "unknown"}`,
      handle: () => handle(options, request, segments),
    };
  };
}

function findMethod(request: ServiceRequest, segments: readonly string[]): Method | undefined {
  try {
    const path = parseKmsPath(segments);
    if (path === undefined) return undefined;
    return METHODS[
      `${request.method} ${path.versionNumber === undefined ? "key" : "version"} ${path.action}`
    ];
  } catch {
    // A name that cannot be one: handle() says so to a caller that is known.
    return undefined;
  }
}

async function handle(
  options: KmsOptions,
  request: ServiceRequest,
  segments: readonly string[],
): Promise<ServiceResponse> {
  const method = findMethod(request, segments);
  const caller = options.authenticate(request, {
    service: "cloudkms.googleapis.com",
    method: `google.cloud.kms.v1.KeyManagementService.${method?.rpc ?? "Unknown"}`,
  });
  const path = parseKmsPath(segments);
  if (path === undefined || method === undefined) {
    throw googleError("NOT_FOUND", "The requested URL was not found on this server.", {
      reason: "no such method",
    });
  }
  const key = options.findCryptoKey(path.cryptoKey);
  const resource = { project: path.project, cryptoKey: path.cryptoKey, bindings: key?.bindings ?? [] };
  if (!options.isAllowed(caller, method.permission, resource)) {
    throw permissionDenied(method.permission, resourceName(path));
  }
  if (key === undefined) throw googleError("NOT_FOUND", `CryptoKey ${path.cryptoKey} not found.`);
  const call = { options, request, path, style: { numeric: wantsNumericEnums(request) } };
  return { status: 200, body: await method.handle(call, key) };
}

async function getCryptoKey({ options, request, path, style }: Call, key: CryptoKey): Promise<unknown> {
  parseQuery(request, []);
  return formatCryptoKey(
    path.cryptoKey,
    { ...key, createdAtMs: options.store.createdAtMs(path.cryptoKey) },
    style,
  );
}

async function listVersions({ options, request, path, style }: Call, key: CryptoKey): Promise<unknown> {
  const query = parseQuery(request, ["pageSize", "pageToken", "view", "filter", "orderBy"]);
  for (const name of ["filter", "orderBy"] as const) {
    if ((query[name] ?? "") !== "") throw googleError("INVALID_ARGUMENT", `${name} is not supported here.`);
  }
  const pageSize = parseCount(query.pageSize, "pageSize") || MAX_PAGE_SIZE;
  const offset = parseCount(query.pageToken, "pageToken");
  for (const { number } of options.store.list(path.cryptoKey))
    await settledVersion(options, path.cryptoKey, number);
  const versions = options.store.list(path.cryptoKey);
  const end = offset + Math.min(pageSize, MAX_PAGE_SIZE);
  return {
    cryptoKeyVersions: versions
      .slice(offset, end)
      .map((version) => formatVersion(path.cryptoKey, version, key.protectionLevel, style)),
    ...(end < versions.length ? { nextPageToken: String(end) } : {}),
    totalSize: versions.length,
  };
}

async function createVersion({ options, request, path, style }: Call, key: CryptoKey): Promise<unknown> {
  parseQuery(request, []);
  const body = parseJsonBody(request, ["state"]);
  if (body.state !== undefined && parseState(body.state) !== "ENABLED") {
    throw googleError("INVALID_ARGUMENT", "A new version can only become ENABLED.", {
      reason: "wrong state",
    });
  }
  return formatVersion(
    path.cryptoKey,
    await options.store.create(path.cryptoKey),
    key.protectionLevel,
    style,
  );
}

async function getVersion({ options, request, path, style }: Call, key: CryptoKey): Promise<unknown> {
  parseQuery(request, []);
  const version = await settledVersion(options, path.cryptoKey, path.versionNumber);
  return formatVersion(path.cryptoKey, version, key.protectionLevel, style);
}

async function updateVersion(call: Call, key: CryptoKey): Promise<unknown> {
  const { updateMask } = parseQuery(call.request, ["updateMask"]);
  const body = parseJsonBody(call.request, ["name", "state"]);
  if (updateMask !== "state") {
    throw googleError("INVALID_ARGUMENT", "update_mask must be: state.", { reason: "wrong update mask" });
  }
  const state = parseState(body.state);
  if (state !== "ENABLED" && state !== "DISABLED") {
    throw googleError("INVALID_ARGUMENT", "state must be ENABLED or DISABLED.", { reason: "wrong state" });
  }
  return changeState(call, key, ["ENABLED", "DISABLED"], (version) => ({ ...version, state }));
}

async function destroyVersion(call: Call, key: CryptoKey): Promise<unknown> {
  parseQuery(call.request, []);
  parseJsonBody(call.request, []);
  const destroyAtMs = call.options.now() + key.destroyScheduledSeconds * 1000;
  return changeState(call, key, ["ENABLED", "DISABLED"], (version) => ({
    ...version,
    state: "DESTROY_SCHEDULED",
    destroyAtMs,
  }));
}

async function restoreVersion(call: Call, key: CryptoKey): Promise<unknown> {
  parseQuery(call.request, []);
  parseJsonBody(call.request, []);
  return changeState(call, key, ["DESTROY_SCHEDULED"], (version) => ({
    ...version,
    state: "DISABLED",
    destroyAtMs: undefined,
  }));
}

async function getPublicKey({ options, request, path, style }: Call, key: CryptoKey): Promise<unknown> {
  const { publicKeyFormat } = parseQuery(request, ["publicKeyFormat"]);
  if (
    publicKeyFormat !== undefined &&
    !["PEM", "1", "0", "PUBLIC_KEY_FORMAT_UNSPECIFIED"].includes(publicKeyFormat)
  ) {
    throw googleError("INVALID_ARGUMENT", "The only public key format here is PEM.", {
      reason: "wrong format",
    });
  }
  const version = await enabledVersion(options, path.cryptoKey, path.versionNumber);
  return formatPublicKey(
    versionName(path.cryptoKey, version.number),
    version.publicKeyPem ?? "",
    key.protectionLevel,
    style,
  );
}

async function asymmetricDecrypt({ options, request, path, style }: Call, key: CryptoKey): Promise<unknown> {
  parseQuery(request, []);
  const body = parseJsonBody(request, ["ciphertext", "ciphertextCrc32c"]);
  const ciphertext = parseBytes(body.ciphertext);
  const expectedCrc32c = parseCrc32c(body.ciphertextCrc32c);
  const version = await enabledVersion(options, path.cryptoKey, path.versionNumber);
  if (expectedCrc32c !== undefined && expectedCrc32c !== crc32c(ciphertext)) {
    // An error, not `verifiedCiphertextCrc32c: false`: that one says that no checksum arrived (Cloud KMS, "Verifying
    // end-to-end data integrity").
    throw googleError(
      "INVALID_ARGUMENT",
      "The checksum in field ciphertext_crc32c did not match the data in field ciphertext.",
      { reason: "checksum mismatch" },
    );
  }
  const plaintext =
    ciphertext.length === CIPHERTEXT_BYTES
      ? await options.store.decrypt(path.cryptoKey, version.number, ciphertext)
      : undefined;
  if (plaintext === undefined) {
    throw googleError("INVALID_ARGUMENT", "Decryption failed: the ciphertext is invalid.", {
      reason: "ciphertext is not one of this key",
    });
  }
  return formatDecryption(plaintext, expectedCrc32c !== undefined, key.protectionLevel, style);
}

async function changeState(
  { options, path, style }: Call,
  key: CryptoKey,
  from: readonly KeyVersion["state"][],
  change: (version: KeyVersion) => KeyVersion,
): Promise<unknown> {
  const { number } = await settledVersion(options, path.cryptoKey, path.versionNumber);
  const changed = await options.store.update(path.cryptoKey, number, (version) => {
    if (!from.includes(version.state)) {
      throw googleError(
        "FAILED_PRECONDITION",
        `${versionName(path.cryptoKey, number)} must be ${from.join(" or ")}, current state is: ${version.state}.`,
        { reason: "version is in another state" },
      );
    }
    return change(version);
  });
  return formatVersion(path.cryptoKey, changed, key.protectionLevel, style);
}

/** The version as it is now: one whose time has come is destroyed before anything else is done with it. */
async function settledVersion(
  options: KmsOptions,
  cryptoKey: string,
  number: number | undefined,
): Promise<KeyVersion> {
  const version = number === undefined ? undefined : options.store.get(cryptoKey, number);
  if (version === undefined) {
    throw googleError(
      "NOT_FOUND",
      `CryptoKeyVersion ${cryptoKey}/cryptoKeyVersions/${number ?? ""} not found.`,
    );
  }
  const isDue = (known: KeyVersion): boolean =>
    known.state === "DESTROY_SCHEDULED" &&
    known.destroyAtMs !== undefined &&
    known.destroyAtMs <= options.now();
  if (!isDue(version)) return version;
  return options.store.update(cryptoKey, version.number, (known) =>
    isDue(known) ? { ...known, state: "DESTROYED", destroyedAtMs: options.now() } : known,
  );
}

async function enabledVersion(
  options: KmsOptions,
  cryptoKey: string,
  number: number | undefined,
): Promise<KeyVersion> {
  const version = await settledVersion(options, cryptoKey, number);
  if (version.state === "ENABLED") return version;
  const subject = versionName(cryptoKey, version.number);
  throw googleError("FAILED_PRECONDITION", `${subject} is not enabled, current state is: ${version.state}.`, {
    reason: "version is not enabled",
    details: [
      {
        "@type": "type.googleapis.com/google.rpc.PreconditionFailure",
        violations: [{ type: `KEY_${version.state}`, subject }],
      },
    ],
  });
}

function permissionDenied(permission: Permission, resource: string): Error {
  return googleError(
    "PERMISSION_DENIED",
    `Permission '${permission}' denied on resource '${resource}' (or it may not exist).`,
    {
      reason: "caller has no role with the permission",
      details: [errorInfo("IAM_PERMISSION_DENIED", "cloudkms.googleapis.com", { permission, resource })],
    },
  );
}

function resourceName(path: KmsPath): string {
  return path.versionNumber === undefined ? path.cryptoKey : versionName(path.cryptoKey, path.versionNumber);
}

/** Bytes in JSON: base64 in either alphabet, with or without padding (Protocol Buffers JSON). */
function parseBytes(value: unknown): Uint8Array {
  if (typeof value === "string" && value !== "") {
    const bytes = Buffer.from(value, "base64");
    const canonical = value
      .replaceAll("+", "-")
      .replaceAll("/", "_")
      .replace(/={0,2}$/, "");
    if (bytes.toString("base64url") === canonical) return bytes;
  }
  throw googleError(
    "INVALID_ARGUMENT",
    "Invalid value at 'ciphertext' (TYPE_BYTES), Base64 decoding failed.",
    {
      reason: "ciphertext is not base64",
    },
  );
}

function parseCrc32c(value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined;
  const text = typeof value === "number" || typeof value === "string" ? String(value) : "";
  if (!/^[0-9]{1,10}$/.test(text) || Number(text) > 0xffffffff) {
    throw googleError("INVALID_ARGUMENT", "Invalid value at 'ciphertext_crc32c' (TYPE_INT64)", {
      reason: "checksum is not a 32-bit number",
    });
  }
  return Number(text);
}

function parseCount(value: string | undefined, name: string): number {
  if (value === undefined || value === "") return 0;
  if (!/^[0-9]{1,6}$/.test(value)) throw googleError("INVALID_ARGUMENT", `Invalid value at '${name}'.`);
  return Number(value);
}
