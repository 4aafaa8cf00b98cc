import assert from "node:assert/strict";
import { test } from "node:test";

import { writeInitConfig } from "./write-init-config.ts";

test(
  "says at once where no project can be",
  { skip: process.platform !== "linux" && "there is no /proc", timeout: 5_000 },
  async () => {
    const answers = { name: "hello", run: ["node", "server.js"] };
    for (const path of ["/proc/shop/polaris.yaml", "/proc/polaris.yaml"]) {
      await assert.rejects(writeInitConfig(path, answers, { overwrite: false }), {
        code: "STATE_UNWRITABLE",
      });
    }
  },
);
