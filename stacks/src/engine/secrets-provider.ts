import { randomBytes } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { createFileAtomic } from "../atomic-file.ts";
import { makeFolder } from "../make-folder.ts";

/** What encrypts the secrets in the engine's state: a passphrase in a file, or a key of a cloud's key service. */
export type SecretsProvider =
  | { readonly kind: "passphrase"; readonly file: string }
  | { readonly kind: "gcpkms" | "azurekeyvault" | "awskms"; readonly url: string };

const KEY_URLS: Readonly<Record<"gcpkms" | "azurekeyvault" | "awskms", RegExp>> = {
  gcpkms:
    /^gcpkms:\/\/projects\/[a-z][a-z0-9:.-]{4,62}\/locations\/[a-z0-9-]{1,63}\/keyRings\/[\w-]{1,63}\/cryptoKeys\/[\w-]{1,63}$/,
  azurekeyvault:
    /^azurekeyvault:\/\/[a-zA-Z][a-zA-Z0-9-]{1,22}[a-zA-Z0-9]\.vault\.(azure\.net|azure\.cn|usgovcloudapi\.net)\/keys\/[a-zA-Z0-9-]{1,127}(\/[0-9a-f]{32})?$/,
  // A key's id, alias or ARN. Only what says where the key is may stand behind the `?`.
  awskms:
    /^awskms:\/\/\/?[\w:/-]{1,256}(\?(region|awssdk|profile)=[\w-]{1,63}(&(region|awssdk|profile)=[\w-]{1,63})*)?$/,
};

/**
 * @param text  `passphrase`, or the URL of a key
 * @param passphraseFile  where a passphrase is kept
 * @throws {PolarisError} CONFIG_INVALID
 */
export function parseSecretsProvider(text: string, passphraseFile: string): SecretsProvider {
  if (text === "passphrase") return { kind: "passphrase", file: passphraseFile };
  for (const kind of ["gcpkms", "azurekeyvault", "awskms"] as const) {
    if (KEY_URLS[kind].test(text)) return { kind, url: text };
  }
  throw new PolarisError("CONFIG_INVALID", "what encrypts the secrets of the state is not known", {
    hint: "expected passphrase, gcpkms://projects/…/cryptoKeys/…, azurekeyvault://….vault.azure.net/keys/… or awskms://…",
  });
}

/** As `pulumi stack init` takes it. */
export function secretsProviderArgument(provider: SecretsProvider): string {
  return provider.kind === "passphrase" ? "passphrase" : provider.url;
}

/**
 * The passphrase in the file, drawn if there is none. Whoever has it and the state reads the secrets in it; whoever has
 * lost it reads them no more.
 *
 * @returns 32 random bytes in base64url, or what the user has put there; never to be printed
 * @throws {PolarisError} STATE_CORRUPT if the file is empty, too long, or open to others; STATE_UNWRITABLE
 */
export async function ensurePassphrase(file: string): Promise<string> {
  await makeFolder(dirname(file), 0o700);
  await createFileAtomic(file, `${randomBytes(32).toString("base64url")}\n`, { mode: 0o600 });
  const { mode, size } = await stat(file);
  if ((mode & 0o077) !== 0) {
    throw passphraseUnusable(file, "can be read by others", `chmod 600 ${file}`);
  }
  if (size > 4096) throw passphraseUnusable(file, "is too long", "put one line into it");
  const passphrase = (await readFile(file, "utf8")).trim();
  if (passphrase === "") throw passphraseUnusable(file, "is empty", "restore it from a backup");
  return passphrase;
}

function passphraseUnusable(file: string, problem: string, hint: string): PolarisError {
  return new PolarisError("STATE_CORRUPT", `the passphrase of the state in ${file} ${problem}`, { hint });
}
