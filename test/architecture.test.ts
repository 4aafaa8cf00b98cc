import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PACKAGES = ["sdk", "proxy", "stacks", "images", "cli"];

/** What each room may import: its own files, and these. Tests may import everything. */
const MAY_IMPORT: Readonly<Record<string, RegExp>> = {
  // Of axios, types only: test/browser/bundle-size.test.ts proves that nothing of it is there at run time.
  sdk: /^(jose|axios|#pinned-transport)$/,
  // What browsers never load.
  "sdk/src/node": /^node:/,
  proxy: /^(node:|undici$|prom-client$|zod$|@polaris-cvm\/sdk($|\/))/,
  stacks: /^(node:|zod$|yaml$|jose$|@polaris-cvm\/(sdk($|\/)|images\/|proxy\/environment$))/,
  "stacks/src/engine": /^(node:|zod$|@pulumi\/pulumi($|\/)|@polaris-cvm\/sdk\/errors$)/,
  "stacks/src/gcp/programs":
    /^(node:|zod$|@pulumi\/(pulumi($|\/)|gcp\/([a-z]+\/)?\w+\.js$)|@polaris-cvm\/sdk\/errors$)/,
  "stacks/src/local/trust": /^(node:|zod$|jose$|@marcbachmann\/cel-js$|@polaris-cvm\/sdk\/errors$)/,
  "images/src/cos": /^(node:|zod$|yaml$|@polaris-cvm\/sdk($|\/errors$))/,
  images: /^(node:|zod$|undici$|esbuild$|fflate$|@polaris-cvm\/sdk($|\/))/,
  cli: /^(node:|commander$|inquirer$|@polaris-cvm\/(sdk|stacks|images)($|\/))/,
};

/** Rooms that stand on the rest of their package. Nobody of the sdk's rest loads Node's part of it. */
const REACH: Readonly<Record<string, string>> = {
  "sdk/src/node": "sdk/",
  "stacks/src/engine": "stacks/src/",
  "images/src/cos": "images/src/",
};

interface Import {
  readonly file: string;
  readonly specifier: string;
}

async function listSources(): Promise<string[]> {
  const files: string[] = [];
  for (const name of PACKAGES) {
    const entries = await readdir(join(ROOT, name), { recursive: true, withFileTypes: true });
    for (const entry of entries) {
      const path = relative(ROOT, join(entry.parentPath, entry.name));
      const isTest = path.endsWith(".test.ts") || path.includes("/testing/") || path.endsWith("-fixture.ts");
      if (entry.isFile() && path.endsWith(".ts") && !isTest && !path.includes("node_modules"))
        files.push(path);
    }
  }
  return files;
}

async function listImports(files: readonly string[]): Promise<Import[]> {
  const imports: Import[] = [];
  for (const file of files) {
    const text = await readFile(join(ROOT, file), "utf8");
    for (const match of text.matchAll(/(?:^|\s)(?:from|import)\s*\(?\s*"([^"]+)"/g)) {
      imports.push({ file, specifier: match[1] ?? "" });
    }
  }
  return imports;
}

/** The innermost room that has rules of its own. */
function roomOf(file: string): string {
  const inner = Object.keys(MAY_IMPORT).find((room) => room.includes("/") && file.startsWith(`${room}/`));
  return inner ?? file.split("/")[0] ?? "";
}

test("every import goes in the direction that docs/architecture.md draws", async () => {
  const files = await listSources();
  assert.ok(files.length > 100, `only ${files.length} files found`);
  const wrong: string[] = [];
  for (const { file, specifier } of await listImports(files)) {
    const room = roomOf(file);
    if (specifier.startsWith(".")) {
      const target = relative(ROOT, resolve(ROOT, dirname(file), specifier));
      const reach = REACH[room] ?? `${room}/`;
      const isLoadedByBrowsers = room === "sdk" && target.startsWith("sdk/src/node/");
      if (!target.startsWith(reach) || isLoadedByBrowsers) wrong.push(`${file} imports ${target}`);
    } else if (!MAY_IMPORT[room]?.test(specifier)) {
      wrong.push(`${file} imports ${specifier}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test("no file has a name that says nothing", async () => {
  const files = await listSources();
  assert.deepEqual(
    files.filter((file) => /(^|\/)(utils?|helpers?|common|misc|types)\.ts$/.test(file)),
    [],
  );
});

test("the environment is read in the config modules and nowhere else", async () => {
  const readers: string[] = [];
  for (const file of await listSources()) {
    if (/process\.env\b/.test(await readFile(join(ROOT, file), "utf8"))) readers.push(file);
  }
  assert.deepEqual(readers.sort(), [
    "cli/src/process-environment.ts",
    "proxy/src/config.ts",
    "stacks/src/local/supervisor/part-runner.ts",
  ]);
});
