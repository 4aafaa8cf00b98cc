import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { REGISTRY_MISSING } from "../../images/testing/registry-fixture.ts";
import { PODMAN_MISSING } from "../podman-program.ts";

const MAIN_JOB = fileURLToPath(new URL("../podman-main-job.ts", import.meta.url));

test(
  "with Podman a stack is deployed, answers a sealed request, opens sealed data, and leaves nothing",
  { skip: PODMAN_MISSING || REGISTRY_MISSING },
  async () => {
    const { stdout } = await promisify(execFile)("unshare", ["--net", process.execPath, MAIN_JOB], {
      timeout: 180_000,
    });
    const { deployed, preview, ...rest } = JSON.parse(stdout) as Record<string, unknown>;
    assert.match(String(deployed), /^http:\/\/127\.0\.0\.1:\d+\n$/);
    assert.match(String(preview), /no changes\n$/);
    assert.deepEqual(rest, {
      answer: "Hello from behind the Polaris Secure Proxy!\n",
      opened: ["the data", "the data"],
      destroyed: "",
      left: ["", ""],
    });
  },
);
