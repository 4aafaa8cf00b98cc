import assert from "node:assert/strict";
import { access, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";

import { PolarisError } from "@polaris-cvm/sdk/errors";
import * as fc from "fast-check";
import { parse } from "yaml";

import { renderInitConfig } from "./init-template.ts";
import type { InitAnswers } from "./init-template.ts";
import { formatInlineYaml } from "./inline-yaml.ts";
import { configJsonSchema } from "./json-schema.ts";
import { parseConfig } from "./load.ts";
import { writeInitConfig } from "./write-init-config.ts";

const ANSWERS: InitAnswers = { name: "hello", run: ["node", "server.js"] };

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "polaris-init-"));
});
after(async () => {
  await rm(folder, { recursive: true, force: true });
});

const text = fc
  .oneof(
    fc.string({ unit: "binary", maxLength: 10 }),
    fc.constantFrom(
      "null",
      "yes",
      "off",
      "1",
      "1e3",
      "0x1F",
      ".5",
      "~",
      "a: b",
      "# no",
      "- a",
      "a\nb",
      "*a",
      "&a",
      "!a",
      "%a",
      "@a",
      "---",
    ),
  )
  .filter((value) => !value.includes("\0"));
const variable = fc
  .stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,8}$/)
  .filter((name) => !/^(PORT|HOST|POLARIS_.*)$/.test(name));
const mode = fc.constantFrom("off", "optional", "required");
const answers = fc.record(
  {
    name: fc.stringMatching(/^[a-z][a-z0-9-]{0,29}$/),
    run: fc
      .tuple(
        text.filter((program) => program.trim() !== ""),
        fc.array(text, { maxLength: 4 }),
      )
      .map(([program, rest]) => [program, ...rest]),
    healthPath: fc.constantFrom("/", "/healthz", "/a?b=c", '/q"uote'),
    port: fc.integer({ min: 1, max: 30_000 }),
    proxyPort: fc.integer({ min: 30_001, max: 65_535 }),
    env: fc.dictionary(
      variable.map((name) => `E_${name}`),
      text,
      { maxKeys: 3 },
    ),
    secrets: fc.uniqueArray(
      variable.map((name) => `S_${name}`),
      { maxLength: 3 },
    ),
    requests: mode,
    responses: mode,
    key: fc.constantFrom("hsm", "ephemeral"),
  },
  { requiredKeys: ["name", "run"] },
);

test("writes a file that says what was answered", () => {
  fc.assert(
    fc.property(answers, (given) => {
      const { config } = parseConfig(renderInitConfig(given, "./schema.json"), {
        fileName: "polaris.yaml",
      });
      assert.equal(config.name, given.name);
      assert.deepEqual(config.targets.local.run, given.run);
      assert.equal(config.workload.health.path, given.healthPath);
      assert.equal(config.workload.port, given.port);
      assert.equal(config.proxy.port, given.proxyPort);
      assert.deepEqual({ ...config.workload.env }, { ...given.env });
      assert.deepEqual(Object.keys(config.workload.secrets), given.secrets ?? []);
      assert.deepEqual(config.proxy.encryption, {
        requests: given.requests ?? "required",
        responses: given.responses ?? "required",
      });
      assert.equal(config.key.kind, given.key ?? "hsm");
    }),
    { numRuns: 200 },
  );
});

test("writes any text on one line so that YAML reads it again", () => {
  const value = fc.oneof(
    text,
    fc.array(text, { maxLength: 3 }),
    fc.dictionary(
      text.filter((key) => key !== "__proto__"),
      text,
      { maxKeys: 3 },
    ),
  );
  fc.assert(
    fc.property(value, (given) => {
      const line = formatInlineYaml(given);
      assert.doesNotMatch(line, /[\r\n\u0085\u2028\u2029]/);
      assert.deepEqual(parse(`key: ${line} # comment\n`), {
        key: typeof given === "object" && !Array.isArray(given) ? { ...given } : given,
      });
    }),
    { numRuns: 300 },
  );
});

test("has comments whose examples are valid, each alone and all together", () => {
  const lines = renderInitConfig(ANSWERS, "./schema.json").split("\n");
  const examples = lines.flatMap((line, index) => (/^ *# [a-z]+: /.test(line) ? [index] : []));
  assert.deepEqual(
    examples.map((index) => lines[index]?.trim().split(":")[0]),
    ["# port", "# env", "# secrets", "# port", "# files", "# stacks"],
  );
  for (const chosen of [...examples.map((index) => [index]), examples]) {
    const changed = lines
      .map((line, index) => (chosen.includes(index) ? line.replace("# ", "") : line))
      .join("\n");
    const { config } = parseConfig(changed, { fileName: "polaris.yaml", stack: "default" });
    assert.notDeepEqual(config, parseConfig(lines.join("\n"), { fileName: "polaris.yaml" }).config, changed);
  }
});

test("is short", () => {
  const lines = renderInitConfig(ANSWERS, "./schema.json").split("\n");
  assert.ok(lines.length <= 40, `${lines.length} lines`);
  for (const line of lines) assert.ok(line.length <= 120, line);
  assert.equal(lines[0], "# yaml-language-server: $schema=./schema.json");
});

test("refuses answers that are not valid, naming the key", () => {
  const cases = [
    [{ ...ANSWERS, name: "Hello World" }, "name"],
    [{ ...ANSWERS, run: [] }, "targets.local.run"],
    [{ ...ANSWERS, healthPath: "healthz" }, "workload.health.path"],
    [{ ...ANSWERS, env: { PORT: "1" } }, "workload.env.PORT"],
    [{ ...ANSWERS, proxyPort: 0 }, "proxy.port"],
  ] as const;
  for (const [given, path] of cases) {
    assert.throws(
      () => renderInitConfig(given, "./schema.json"),
      (error: unknown) => {
        assert.ok(error instanceof PolarisError);
        assert.equal(error.code, "CONFIG_INVALID");
        const problems = (error.details?.["problems"] ?? []) as readonly { path: string }[];
        assert.deepEqual(
          problems.map((problem) => problem.path),
          [path],
        );
        return true;
      },
    );
  }
});

function schemaReference(yaml: string): string {
  return /^# yaml-language-server: \$schema=(\S+)\n/.exec(yaml)?.[1] ?? assert.fail("no schema line");
}

test("points an editor at the installed schema, from any depth of the project", async () => {
  const root = join(folder, "installed");
  const installed = join(root, "node_modules/@polaris-cvm/stacks/src/config");
  await mkdir(installed, { recursive: true });
  await writeFile(join(installed, "polaris.schema.json"), "{}");
  for (const [project, reference] of [
    [root, "./node_modules/@polaris-cvm/stacks/src/config/polaris.schema.json"],
    [join(root, "services", "api"), "../../node_modules/@polaris-cvm/stacks/src/config/polaris.schema.json"],
  ] as const) {
    await writeInitConfig(join(project, "polaris.yaml"), ANSWERS, { overwrite: false });
    const written = schemaReference(await readFile(join(project, "polaris.yaml"), "utf8"));
    assert.equal(written, reference);
    await access(resolve(project, written));
    assert.ok(!(await readdir(project)).includes(".polaris"));
  }
});

test("brings the schema along where Polaris is not installed for the project", async () => {
  const project = join(folder, "alone");
  await writeInitConfig(join(project, "polaris.yaml"), ANSWERS, { overwrite: false });
  const written = schemaReference(await readFile(join(project, "polaris.yaml"), "utf8"));
  assert.equal(written, "./.polaris/polaris.schema.json");
  assert.deepEqual(JSON.parse(await readFile(resolve(project, written), "utf8")), configJsonSchema());
  assert.equal(await readFile(join(project, ".polaris/.gitignore"), "utf8"), "*\n");
  assert.equal((await stat(join(project, ".polaris"))).mode & 0o777, 0o700);
});

test("overwrites a polaris.yaml only when told to", async () => {
  const path = join(folder, "twice", "polaris.yaml");
  await writeInitConfig(path, ANSWERS, { overwrite: false });
  const first = await readFile(path, "utf8");
  await assert.rejects(writeInitConfig(path, { ...ANSWERS, name: "other" }, { overwrite: false }), {
    code: "USAGE_INVALID",
    message: "polaris.yaml is there already",
  });
  assert.equal(await readFile(path, "utf8"), first);
  await writeInitConfig(path, { ...ANSWERS, name: "other" }, { overwrite: true });
  assert.equal(parseConfig(await readFile(path, "utf8"), { fileName: "f" }).config.name, "other");
  assert.equal((await stat(path)).mode & 0o777, 0o644 & ~process.umask());
});

test("leaves nothing behind when an answer is wrong or the folder cannot be made", async () => {
  const nowhere = join(folder, "wrong-answer");
  await assert.rejects(
    writeInitConfig(join(nowhere, "polaris.yaml"), { ...ANSWERS, name: "No" }, { overwrite: false }),
    {
      code: "CONFIG_INVALID",
    },
  );
  await assert.rejects(access(nowhere), { code: "ENOENT" });
  await writeFile(join(folder, "file"), "");
  await assert.rejects(writeInitConfig(join(folder, "file", "polaris.yaml"), ANSWERS, { overwrite: false }), {
    code: "STATE_UNWRITABLE",
  });
});
