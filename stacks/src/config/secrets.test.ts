import assert from "node:assert/strict";
import { test } from "node:test";

import { PolarisError } from "@polaris-cvm/sdk/errors";

import { parseConfig } from "./load.ts";
import type { Config } from "./schema.ts";
import { resolveSecrets } from "./secrets.ts";

function configWith(secrets: string): Config {
  const text = `version: 1\nname: a\ntargets: { local: { run: [a] } }\nworkload: { secrets: ${secrets} }\n`;
  return parseConfig(text, { fileName: "f" }).config;
}

test("reads every secret from the variable that the configuration names", () => {
  const config = configWith("{ API_KEY: { fromEnv: MY_KEY }, TOKEN: { fromEnv: TOKEN } }");
  const values = resolveSecrets(config, { MY_KEY: "one", TOKEN: "two", OTHER: "three" });
  assert.deepEqual(values, { API_KEY: "one", TOKEN: "two" });
  assert.deepEqual(resolveSecrets(configWith("{}"), { A: "b" }), {});
});

test("names every variable that is missing or empty, and no value", () => {
  const config = configWith(
    "{ A: { fromEnv: SET }, B: { fromEnv: GONE }, C: { fromEnv: EMPTY }, D: { fromEnv: GONE } }",
  );
  assert.throws(
    () => resolveSecrets(config, { SET: "s3cret-value", EMPTY: "" }),
    (error: unknown) => {
      assert.ok(error instanceof PolarisError);
      assert.equal(error.code, "SECRET_MISSING");
      assert.equal(error.message, "GONE, EMPTY are not set, or empty");
      assert.equal(error.hint, "workload.secrets needs them: export the value before you run this command");
      assert.deepEqual(error.details, { variables: ["GONE", "EMPTY"] });
      return true;
    },
  );
  assert.throws(() => resolveSecrets(configWith("{ A: { fromEnv: GONE } }"), {}), {
    code: "SECRET_MISSING",
    message: "GONE is not set, or empty",
  });
});
