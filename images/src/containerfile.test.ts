/** The Containerfile beside the image that we build: what can be compared without an engine. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { collect } from "../testing/blob-bytes.ts";
import { createSmallBase } from "../testing/small-base.ts";
import { DEFAULT_BASE_IMAGE } from "./base-image.ts";
import { blobPath } from "./layout.ts";
import { parseImageConfig } from "./manifest.ts";
import { buildProxyImage } from "./proxy-image.ts";

const TEXT = await readFile(new URL("../Containerfile", import.meta.url), "utf8");

/** Instructions without comments, each with its continuations in one line. */
const INSTRUCTIONS = TEXT.replaceAll(/^#.*\n/gm, "")
  .replaceAll("\\\n", "")
  .trim()
  .split("\n");

function argumentsOf(instruction: string): string {
  const [only, ...more] = INSTRUCTIONS.filter((line) => line.startsWith(`${instruction} `));
  assert.ok(only !== undefined && more.length === 0, `${instruction}: ${INSTRUCTIONS.join("\n")}`);
  return only.slice(instruction.length + 1).trim();
}

test("the Containerfile unpacks our layer and says what our image says", async () => {
  const { signal } = new AbortController();
  const image = await buildProxyImage({ base: createSmallBase(), baseName: "small", signal });
  const config = parseImageConfig(await collect(image, image.config));
  assert.deepEqual(
    {
      entrypoint: JSON.parse(argumentsOf("ENTRYPOINT")) as unknown,
      cmd: JSON.parse(argumentsOf("CMD")) as unknown,
      user: argumentsOf("USER"),
      workingDir: argumentsOf("WORKDIR"),
      exposedPorts: [argumentsOf("EXPOSE")],
    },
    {
      entrypoint: config.entrypoint,
      cmd: config.cmd,
      user: config.user,
      workingDir: config.workingDir,
      exposedPorts: config.exposedPorts,
    },
  );
  const [source, target] = argumentsOf("ADD").split(" ");
  const layer = image.layers.at(-1)?.digest ?? "";
  assert.equal(source?.replace("${LAYER}", layer.replace("sha256:", "")), blobPath(layer));
  assert.equal(target, "/");
  assert.deepEqual(
    INSTRUCTIONS.map((line) => line.split(" ")[0]),
    ["ARG", "FROM", "ARG", "ADD", "USER", "WORKDIR", "EXPOSE", "ENTRYPOINT", "CMD"],
  );
});

test("every Containerfile stands on the base that we stand on", async () => {
  for (const path of ["../Containerfile", "../../examples/proxy/Containerfile"]) {
    const text = await readFile(new URL(path, import.meta.url), "utf8");
    const bases = [...text.matchAll(/^(?:ARG NODE_IMAGE=|FROM )(\S+)/gm)].map((match) => match[1]);
    assert.deepEqual([...new Set(bases)], [DEFAULT_BASE_IMAGE, "${NODE_IMAGE}"], path);
  }
});
