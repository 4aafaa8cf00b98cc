import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { DISCOVERY_MISSING } from "./box-fixture.ts";

const APIS = [
  "artifactregistry",
  "attestation",
  "cloudbilling",
  "cloudkms",
  "cloudresourcemanager",
  "compute",
  "confidentialcomputing",
  "iam",
  "iamcredentials",
  "logging",
  "oauth2",
  "orgpolicy",
  "registry",
  "secretmanager",
  "serviceusage",
  "sts",
];

test(
  "the box starts alone, says in one line where it is, and ends when it is told to",
  { skip: DISCOVERY_MISSING, timeout: 20_000 },
  async (t) => {
    const program = fileURLToPath(new URL("main.ts", import.meta.url));
    const child = spawn(process.execPath, [program], { stdio: ["ignore", "pipe", "inherit"] });
    t.after(() => child.kill("SIGKILL"));
    const exited = once(child, "exit");
    const lines = createInterface({ input: child.stdout });
    const [line] = (await once(lines, "line")) as [string];
    const { endpoints, accessToken, project, ...more } = JSON.parse(line) as {
      readonly endpoints: Readonly<Record<string, string>>;
      readonly accessToken: string;
      readonly project: string;
    };
    assert.deepEqual(more, {});
    assert.deepEqual(Object.keys(endpoints).sort(), APIS);
    for (const origin of Object.values(endpoints)) assert.match(origin, /^http:\/\/127\.0\.0\.1:\d+$/);
    const response = await fetch(`${endpoints["cloudresourcemanager"]}/v3/projects/${project}`, {
      headers: { authorization: `Bearer ${accessToken}` },
    });
    assert.equal(response.status, 200);
    child.kill("SIGTERM");
    assert.deepEqual(await exited, [0, null]);
  },
);
