import assert from "node:assert/strict";
import { before, test } from "node:test";
import { createSmallBase } from "../testing/small-base.ts";
import { buildProxyImage } from "./proxy-image.ts";
import type { BuiltImage } from "./proxy-image.ts";

interface Component {
  readonly type: string;
  readonly "bom-ref": string;
  readonly name: string;
  readonly version?: string;
  readonly purl?: string;
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
  readonly licenses?: readonly { readonly expression: string }[];
  readonly components?: readonly Component[];
}

interface Sbom {
  readonly bomFormat: string;
  readonly specVersion: string;
  readonly serialNumber: string;
  readonly version: number;
  readonly metadata: { readonly timestamp: string; readonly component: Component };
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn?: readonly string[] }[];
}

const { signal } = new AbortController();
const base = createSmallBase();
let image: BuiltImage;
let sbom: Sbom;
before(async () => {
  image = await buildProxyImage({ base, baseName: "docker.io/library/node:26-slim", signal });
  sbom = JSON.parse(Buffer.from(image.sbom).toString()) as Sbom;
});

/** From bom-1.6.schema.json, as far as it concerns what we write. */
const TYPES = new Set(["container", "file", "library", "platform"]);
const MEMBERS = new Set(["type", "bom-ref", "name", "version", "purl", "hashes", "licenses", "components"]);

function listAll(components: readonly Component[]): Component[] {
  return components.flatMap((component) => [component, ...listAll(component.components ?? [])]);
}

test("it has the form of CycloneDX 1.6", () => {
  assert.equal(sbom.bomFormat, "CycloneDX");
  assert.equal(sbom.specVersion, "1.6");
  assert.equal(sbom.version, 1);
  assert.match(
    sbom.serialNumber,
    /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  );
  assert.equal(sbom.metadata.timestamp, "1970-01-01T00:00:00Z");
  const all = listAll([sbom.metadata.component, ...sbom.components]);
  for (const component of all) {
    assert.ok(TYPES.has(component.type), component.type);
    assert.ok(component.name !== "");
    for (const member of Object.keys(component)) assert.ok(MEMBERS.has(member), member);
    for (const { alg, content } of component.hashes ?? []) {
      assert.equal(alg, "SHA-256");
      assert.match(content, /^[0-9a-f]{64}$/);
    }
  }
  const refs = all.map((component) => component["bom-ref"]);
  assert.equal(new Set(refs).size, refs.length);
  for (const { ref, dependsOn = [] } of sbom.dependencies) {
    for (const named of [ref, ...dependsOn]) assert.ok(refs.includes(named), named);
  }
});

test("it names the image, its base with Node, its files and every bundled package", () => {
  assert.deepEqual(sbom.metadata.component.hashes, [
    { alg: "SHA-256", content: image.manifest.digest.slice(7) },
  ]);
  const [first, ...others] = sbom.components;
  assert.equal(first?.type, "container");
  assert.equal(first?.name, "docker.io/library/node:26-slim");
  assert.equal(first?.version, base.manifest.digest);
  assert.deepEqual(
    first?.components?.map(({ purl }) => purl),
    ["pkg:generic/node@26.10.0"],
  );

  const files = others.filter(({ type }) => type === "file");
  assert.deepEqual(
    files.map(({ name }) => name),
    ["/polaris/polaris-proxy.mjs", "/polaris/licenses.txt"],
  );
  const libraries = others.filter(({ type }) => type === "library");
  assert.equal(libraries.length + files.length, others.length);
  const undici = libraries.find(({ name }) => name === "undici");
  assert.match(undici?.purl ?? "", /^pkg:npm\/undici@\d+\.\d+\.\d+$/);
  assert.deepEqual(undici?.licenses, [{ expression: "MIT" }]);
  const proxy = libraries.find(({ name }) => name === "@polaris-cvm/proxy");
  assert.equal(proxy?.purl, "pkg:npm/%40polaris-cvm/proxy@0.1.0");
});

test("the name of the base is in the SBOM and not in the image", async () => {
  const elsewhere = await buildProxyImage({ base, baseName: "layout", signal });
  assert.equal(elsewhere.manifest.digest, image.manifest.digest);
  assert.notDeepEqual(elsewhere.sbom, image.sbom);
  const unknownNode = createSmallBase({ env: [] });
  const other = await buildProxyImage({ base: unknownNode, baseName: "layout", signal });
  assert.doesNotMatch(Buffer.from(other.sbom).toString(), /pkg:generic\/node/);
});
