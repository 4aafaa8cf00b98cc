import { open } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import * as z from "zod";
import { parseImageReference } from "../image-reference.ts";
import { errnoOf } from "../system-error.ts";
import { askCredentialHelper } from "./credential-helper.ts";
import { credentialKey } from "./registry-host.ts";

/** Who we are to a registry. */
export type Credential =
  | { readonly kind: "password"; readonly username: string; readonly password: string }
  /** What a token server gave `docker login` instead of keeping the password. */
  | { readonly kind: "identity-token"; readonly token: string };

export interface CredentialSource {
  /**
   * Asked only after a registry has said that it wants to know who we are.
   *
   * @param registry  as in an image reference
   * @returns undefined if there are none: then we are a stranger
   */
  find(registry: string, signal: AbortSignal): Promise<Credential | undefined>;
}

const MAX_CONFIG_BYTES = 1024 * 1024;

/** The part of Docker's config.json that is about logins. */
const dockerConfig = z.object({
  auths: z
    .record(
      z.string(),
      z.object({ auth: z.string().nullish(), identitytoken: z.string().nullish() }).nullable(),
    )
    .nullish(),
  credsStore: z.string().nullish(),
  credHelpers: z.record(z.string(), z.string()).nullish(),
});

type DockerConfig = z.output<typeof dockerConfig>;

/** How a helper says that its secret is an identity token (docker-credential-helpers). */
const IDENTITY_TOKEN_USERNAME = "<token>";

/**
 * Logins from where people have them: POLARIS_REGISTRY, POLARIS_REGISTRY_USERNAME and POLARIS_REGISTRY_PASSWORD for one
 * registry, then what `docker login` has left: credHelpers, credsStore and auths of config.json, in this order.
 *
 * `find` rejects with a PolarisError: CREDENTIAL_HELPER_FAILED; CONFIG_UNREADABLE, CONFIG_SYNTAX or CONFIG_INVALID for
 * config.json. None has anything of what is in there.
 *
 * @param environment  also that of the credential helpers, except for the variables of Polaris
 * @param dockerConfigDir  default: DOCKER_CONFIG, or `.docker` in the home folder
 * @throws {PolarisError} USAGE_INVALID if one of the three variables is missing, or the first is no host
 */
export function createCredentialSource(
  environment: Readonly<Record<string, string | undefined>>,
  dockerConfigDir: string = environment["DOCKER_CONFIG"] || join(homedir(), ".docker"),
  { helperTimeoutMs }: { readonly helperTimeoutMs?: number } = {},
): CredentialSource {
  const own = readOwnCredential(environment);
  return {
    async find(registry, signal) {
      if (own !== undefined && isSameRegistry(own.registry, registry)) return own.credential;
      const config = await readDockerConfig(join(dockerConfigDir, "config.json"));
      if (config === undefined) return undefined;
      const helper = valueFor(config.credHelpers ?? {}, registry) ?? config.credsStore;
      if (helper !== undefined && helper !== null && helper !== "") {
        const login = await askCredentialHelper(helper, credentialKey(registry), {
          environment,
          signal,
          ...(helperTimeoutMs !== undefined && { timeoutMs: helperTimeoutMs }),
        });
        if (login !== undefined) {
          return login.username === IDENTITY_TOKEN_USERNAME
            ? { kind: "identity-token", token: login.secret }
            : { kind: "password", username: login.username, password: login.secret };
        }
      }
      return credentialFromConfig(config, registry);
    },
  };
}

interface OwnCredential {
  readonly registry: string;
  readonly credential: Credential;
}

function readOwnCredential(
  environment: Readonly<Record<string, string | undefined>>,
): OwnCredential | undefined {
  // An empty variable counts as none: a CI system sets all that it knows.
  const registry = environment["POLARIS_REGISTRY"] || undefined;
  const username = environment["POLARIS_REGISTRY_USERNAME"] || undefined;
  const password = environment["POLARIS_REGISTRY_PASSWORD"] || undefined;
  if (registry === undefined && username === undefined && password === undefined) return undefined;
  const missing = Object.entries({
    POLARIS_REGISTRY: registry,
    POLARIS_REGISTRY_USERNAME: username,
    POLARIS_REGISTRY_PASSWORD: password,
  }).flatMap(([name, value]) => (value === undefined ? [name] : []));
  if (registry === undefined || username === undefined || password === undefined) {
    throw new PolarisError("USAGE_INVALID", `${missing.join(" and ")} must be set too`, {
      hint: "set POLARIS_REGISTRY (its host), POLARIS_REGISTRY_USERNAME and POLARIS_REGISTRY_PASSWORD together, or none",
    });
  }
  if (username.includes(":")) {
    throw new PolarisError("USAGE_INVALID", `POLARIS_REGISTRY_USERNAME has a ":", which no user name can`);
  }
  if (!isRegistry(hostOf(registry))) {
    // Not what it is: as in a URL, there may be a password in it.
    throw new PolarisError("USAGE_INVALID", "POLARIS_REGISTRY is not the host of a registry", {
      hint: "set it to what stands before the first slash of an image's name, such as ghcr.io or localhost:5000",
    });
  }
  return { registry, credential: { kind: "password", username, password } };
}

async function readDockerConfig(path: string): Promise<DockerConfig | undefined> {
  const bytes = await readSmallFile(path);
  if (bytes === undefined) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    // The parser's own error quotes the text, which has passwords in it.
    throw new PolarisError("CONFIG_SYNTAX", `${path} is not JSON`, { hint: LOGIN_AGAIN });
  }
  const parsed = dockerConfig.safeParse(json);
  if (parsed.success) return parsed.data;
  const [key] = parsed.error.issues[0]?.path ?? [];
  throw new PolarisError("CONFIG_INVALID", `${path} is wrong at ${String(key ?? "its top")}`, {
    hint: LOGIN_AGAIN,
  });
}

const LOGIN_AGAIN = "mend the file, or remove it and log in again";

async function readSmallFile(path: string): Promise<Uint8Array | undefined> {
  try {
    await using file = await open(path, "r");
    // One byte more than there may be shows what is too long, also where the size is not told.
    const buffer = Buffer.alloc(MAX_CONFIG_BYTES + 1);
    let byteCount = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, byteCount, buffer.length - byteCount);
      if (bytesRead === 0) break;
      byteCount += bytesRead;
    }
    if (byteCount <= MAX_CONFIG_BYTES) return buffer.subarray(0, byteCount);
  } catch (cause) {
    const errno = errnoOf(cause);
    if (errno === "ENOENT" || errno === "ENOTDIR") return undefined;
    throw new PolarisError("CONFIG_UNREADABLE", `cannot read ${path} (${errno ?? "unknown reason"})`, {
      hint: "make it readable, or set DOCKER_CONFIG to another folder",
      cause,
    });
  }
  throw new PolarisError("CONFIG_UNREADABLE", `${path} is longer than ${MAX_CONFIG_BYTES} bytes`);
}

function credentialFromConfig(config: DockerConfig, registry: string): Credential | undefined {
  const entry = valueFor(config.auths ?? {}, registry);
  // `docker login` leaves an empty entry if a store keeps the login.
  if (entry === undefined || entry === null) return undefined;
  if (entry.identitytoken) return { kind: "identity-token", token: entry.identitytoken };
  if (!entry.auth) return undefined;
  const text = Buffer.from(entry.auth, "base64").toString("utf8");
  const colon = text.indexOf(":");
  if (colon < 1) {
    throw new PolarisError("CONFIG_INVALID", `the login for ${registry} in Docker's config.json is damaged`, {
      hint: LOGIN_AGAIN,
    });
  }
  // Docker itself ignores the zeros that old versions have put behind it.
  return {
    kind: "password",
    username: text.slice(0, colon),
    password: text.slice(colon + 1).replace(/\0+$/, ""),
  };
}

/** The entry for a registry: under its own name first, then under one that means the same. */
function valueFor<T>(entries: Readonly<Record<string, T>>, registry: string): T | undefined {
  const exact = Object.entries(entries).find(([key]) => key === credentialKey(registry));
  return (exact ?? Object.entries(entries).find(([key]) => isSameRegistry(key, registry)))?.[1];
}

function isSameRegistry(key: string, registry: string): boolean {
  const host = hostOf(key);
  return host === registry || (registry === "docker.io" && host === "index.docker.io");
}

/** Docker has written names of registries with a scheme and the version of the API, too. */
function hostOf(key: string): string {
  return key
    .toLowerCase()
    .replace(/^https?:\/\//, "")
    .replace(/\/(?:v[12]\/?)?$/, "");
}

/** Whether images can be of this registry: otherwise nobody would ever be asked for a login with it. */
function isRegistry(host: string): boolean {
  try {
    return isSameRegistry(host, parseImageReference(`${host}/image`).registry);
  } catch {
    return false;
  }
}
