/** What must be nowhere on the disk of who deploys. */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { StackCloud } from "./parts-fixture.ts";

/** The value of the workload's secret. */
export const SECRET_VALUE = "s3cret-that-only-the-workload-has";

/** The access token and the workload's secret, as they are and in base64, as Secret Manager takes them. */
export function secretTexts({ box }: StackCloud): readonly string[] {
  return [box.accessToken, SECRET_VALUE].flatMap((secret) => [
    secret,
    // Without its last characters, which what comes behind it in a longer text would change.
    Buffer.from(secret).toString("base64").slice(0, -4),
  ]);
}

/** Looks into every file below the cloud's folder: state, its history and backups, logs, plans. */
export async function assertNoSecretOnDisk(cloud: StackCloud): Promise<void> {
  const entries = await readdir(cloud.folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  assert.ok(
    files.some((file) => file.endsWith("engine.log")) && files.some((file) => file.endsWith(".json")),
  );
  for (const file of files) {
    const content = await readFile(file, "utf8");
    for (const text of secretTexts(cloud)) assert.ok(!content.includes(text), `a secret is in ${file}`);
  }
}
