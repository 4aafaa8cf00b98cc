import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { loadTokenAgentConfig, parseTokenAgentConfig } from "./config.ts";

const valid = {
  version: 1,
  issuerUrl: "http://127.0.0.1:4000/issuer",
  credentialFile: "/credential",
  stsAudience: "//iam.googleapis.com/projects/1",
  tokenFile: "/token",
  socketPath: "/s/agent.sock",
};

test("a token lives forty minutes in the file unless said otherwise, and the file can be left out", () => {
  assert.equal(parseTokenAgentConfig(valid).refreshMs, 2_400_000);
  assert.equal(parseTokenAgentConfig({ ...valid, stsAudience: null, tokenFile: null }).tokenFile, null);
});

test("what is wrong in a configuration is refused", () => {
  const rows: [Record<string, unknown>, RegExp][] = [
    [{ version: 2 }, /version: /],
    [{ audience: "x" }, /Unrecognized key: "audience"/],
    [{ issuerUrl: "unix:/x" }, /issuerUrl: /],
    [{ socketPath: "agent.sock" }, /socketPath: expected an absolute path/],
    [{ stsAudience: null }, /stsAudience and tokenFile belong together/],
    [{ tokenFile: null }, /stsAudience and tokenFile belong together/],
    [
      { stsAudience: "polaris-attestation-v1" },
      /stsAudience: stsAudience is the audience of evidence for clients/,
    ],
    [{ refreshMs: 3_600_000 }, /refreshMs: /],
  ];
  for (const [change, message] of rows) {
    assert.throws(() => parseTokenAgentConfig({ ...valid, ...change }), { code: "CONFIG_INVALID", message });
  }
});

test("a file that is missing, unreadable or no JSON has its own code", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "polaris-test-"));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, "token-agent.json");
  await assert.rejects(loadTokenAgentConfig(path), { code: "CONFIG_FILE_NOT_FOUND" });
  await assert.rejects(loadTokenAgentConfig(folder), { code: "CONFIG_UNREADABLE" });
  await writeFile(path, "{");
  await assert.rejects(loadTokenAgentConfig(path), { code: "CONFIG_SYNTAX" });
  await writeFile(path, JSON.stringify(valid));
  assert.equal((await loadTokenAgentConfig(path)).socketPath, "/s/agent.sock");
});
