import assert from "node:assert/strict";
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { ensurePassphrase, parseSecretsProvider, secretsProviderArgument } from "./secrets-provider.ts";

const FILE = "/home/u/.polaris/passphrase";

test("a passphrase and the keys of three clouds are known, anything else is refused", () => {
  assert.deepEqual(parseSecretsProvider("passphrase", FILE), { kind: "passphrase", file: FILE });
  for (const [url, kind] of [
    ["gcpkms://projects/acme-keys/locations/europe-west4/keyRings/polaris/cryptoKeys/state", "gcpkms"],
    ["azurekeyvault://acme-vault.vault.azure.net/keys/state", "azurekeyvault"],
    ["awskms://1234abcd-12ab-34cd-56ef-1234567890ab?region=eu-central-1", "awskms"],
    ["awskms:///arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab", "awskms"],
    ["awskms://alias/polaris", "awskms"],
  ] as const) {
    const provider = parseSecretsProvider(url, FILE);
    assert.equal(provider.kind, kind, url);
    assert.equal(secretsProviderArgument(provider), url);
  }
  for (const text of [
    "",
    "default",
    "Passphrase",
    "hashivault://key",
    "gcpkms://projects/acme/locations/x/keyRings/r",
    "gcpkms://projects/acme-keys/locations/x/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1",
    "azurekeyvault://evil.example/keys/state",
    "azurekeyvault://acme-vault.vault.azure.net.evil.example/keys/state",
    "awskms://key?secret=x",
    "awskms://key --plaintext",
  ]) {
    assert.throws(
      () => parseSecretsProvider(text, FILE),
      (error: unknown) => error instanceof PolarisError && error.code === "CONFIG_INVALID",
      text,
    );
  }
});

test("a passphrase is drawn once, 32 random bytes for its owner alone", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "polaris-passphrase-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, "home", "passphrase");
  const drawn = await Promise.all([ensurePassphrase(file), ensurePassphrase(file), ensurePassphrase(file)]);
  assert.equal(new Set(drawn).size, 1, "two who begin at once must not lock each other out");
  assert.match(drawn[0], /^[\w-]{43}$/);
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.equal((await stat(join(folder, "home"))).mode & 0o777, 0o700);
  assert.equal((await readFile(file, "utf8")).trim(), drawn[0]);
});

test("a passphrase that is empty, or that others can read, is refused and left as it is", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "polaris-passphrase-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  for (const [content, mode, message] of [
    ["", 0o600, /is empty/],
    ["\n", 0o600, /is empty/],
    ["x".repeat(5000), 0o600, /too long/],
    ["good enough", 0o644, /can be read by others/],
  ] as const) {
    const file = join(folder, "passphrase");
    await writeFile(file, content);
    await chmod(file, mode);
    await assert.rejects(ensurePassphrase(file), (error: unknown) => {
      assert.ok(error instanceof PolarisError);
      assert.equal(error.code, "STATE_CORRUPT");
      assert.match(error.message, message);
      return true;
    });
    assert.equal(await readFile(file, "utf8"), content);
  }
});
