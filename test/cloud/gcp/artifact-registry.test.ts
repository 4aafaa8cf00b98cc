import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { REGISTRY_MISSING } from "../../../images/testing/registry-fixture.ts";
import { DISCOVERY_MISSING, PROJECT, startTestBox, type TestBox } from "./box-fixture.ts";

const PARENT = `/v1/projects/${PROJECT}/locations/europe-west4`;
const REPOSITORY = `${PARENT}/repositories/images`;
const BODY = {
  format: "DOCKER",
  mode: "STANDARD_REPOSITORY",
  description: "of the proxy",
  labels: { stack: "prod" },
};

async function makeRepository(box: TestBox): Promise<void> {
  await box.make("artifactregistry", "POST", `${PARENT}/repositories?repository_id=images`, BODY);
}

test(
  "a repository is made and deleted by operations, and changed at once",
  { skip: DISCOVERY_MISSING },
  async (t) => {
    const box = await startTestBox(t);
    await makeRepository(box);
    const { createTime, updateTime, ...rest } = await box.make("artifactregistry", "GET", REPOSITORY);
    assert.equal(createTime, updateTime);
    assert.deepEqual(rest, {
      ...BODY,
      name: REPOSITORY.slice(4),
      registryUri: "europe-west4-docker.pkg.dev/polaris-box/images",
    });
    const changed = await box.make(
      "artifactregistry",
      "PATCH",
      `${REPOSITORY}?updateMask=description,labels`,
      {
        cleanupPolicies: {},
        description: "changed",
        labels: { stack: "test" },
        vulnerabilityScanningConfig: {},
      },
    );
    assert.deepEqual([changed.description, changed.labels], ["changed", { stack: "test" }]);
    assert.equal(
      (await box.make("artifactregistry", "GET", `${PARENT}/repositories`)).repositories.length,
      1,
    );
    await box.make("artifactregistry", "DELETE", REPOSITORY);
    assert.equal((await box.call("artifactregistry", "GET", REPOSITORY)).status, 404);
  },
);

const refusals: readonly (readonly [
  name: string,
  path: string,
  body: object,
  status: number,
  message: RegExp,
])[] = [
  ["repository that exists", `${PARENT}/repositories?repositoryId=images`, BODY, 409, /already exists/],
  ["id in upper case", `${PARENT}/repositories?repositoryId=Images`, BODY, 400, /repository_id/],
  ["no id", `${PARENT}/repositories`, BODY, 400, /repository_id/],
  [
    "id of 64 characters",
    `${PARENT}/repositories?repositoryId=${"a".repeat(64)}`,
    BODY,
    400,
    /repository_id/,
  ],
  [
    "location that is none",
    `${PARENT.replace("europe-west4", "moon")}/repositories?repositoryId=x`,
    BODY,
    400,
    /moon/,
  ],
  ["unknown format", `${PARENT}/repositories?repositoryId=x`, { ...BODY, format: "TAR" }, 400, /TYPE_ENUM/],
  [
    "format that is not here",
    `${PARENT}/repositories?repositoryId=x`,
    { ...BODY, format: "NPM" },
    501,
    /DOCKER/,
  ],
  [
    "long description",
    `${PARENT}/repositories?repositoryId=x`,
    { ...BODY, description: "x".repeat(513) },
    400,
    /512/,
  ],
  [
    "label in upper case",
    `${PARENT}/repositories?repositoryId=x`,
    { ...BODY, labels: { a: "B" } },
    400,
    /Label value/,
  ],
];

test("repositories are refused by Google's rules", { skip: DISCOVERY_MISSING }, async (t) => {
  const box = await startTestBox(t);
  await makeRepository(box);
  for (const [name, path, json, status, message] of refusals) {
    await t.test(name, async () => {
      const answer = await box.call("artifactregistry", "POST", path, { json });
      assert.equal(answer.status, status, JSON.stringify(answer.body));
      assert.match(answer.body.error.message, message);
    });
  }
});

const CONFIG = Buffer.from("{}");
const CONFIG_DIGEST = `sha256:${createHash("sha256").update(CONFIG).digest("hex")}`;
const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
const MANIFEST = JSON.stringify({
  schemaVersion: 2,
  mediaType: MANIFEST_TYPE,
  config: {
    mediaType: "application/vnd.oci.image.config.v1+json",
    digest: CONFIG_DIGEST,
    size: CONFIG.length,
  },
  layers: [],
});

function basic(password: string, user = "oauth2accesstoken"): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` };
}

test(
  "the registry lets in by the access token, and by the rights on the repository",
  { skip: DISCOVERY_MISSING || REGISTRY_MISSING },
  async (t) => {
    const box = await startTestBox(t);
    await makeRepository(box);
    const registry = box.endpoints["registry"] ?? "";
    const images = `${registry}/v2/${PROJECT}/images/proxy`;
    const owner = basic(box.accessToken);
    const push = async (headers: Record<string, string>, image = images): Promise<number> => {
      const upload = await fetch(`${image}/blobs/uploads/`, { method: "POST", headers });
      if (upload.status !== 202) return upload.status;
      const location = new URL(upload.headers.get("location") ?? "");
      assert.equal(location.origin, registry, "uploads go on at the same address");
      location.searchParams.set("digest", CONFIG_DIGEST);
      const blob = await fetch(location, { method: "PUT", headers, body: CONFIG });
      assert.equal(blob.status, 201);
      const manifest = await fetch(`${image}/manifests/v1`, {
        method: "PUT",
        headers: { ...headers, "content-type": MANIFEST_TYPE },
        body: MANIFEST,
      });
      return manifest.status;
    };
    const pull = async (headers: Record<string, string>): Promise<number> =>
      (await fetch(`${images}/manifests/v1`, { headers: { ...headers, accept: MANIFEST_TYPE } })).status;

    assert.equal(await push(owner), 201);
    assert.equal(await pull(owner), 200);

    // What a Docker client does: it is told where tokens are, and asks there by the same password.
    const challenge = await fetch(`${registry}/v2/`);
    const realm = /realm="([^"]+)"/.exec(challenge.headers.get("www-authenticate") ?? "")?.[1] ?? "";
    assert.equal(challenge.status, 401);
    const { token } = (await (await fetch(`${realm}?service=x`, { headers: owner })).json()) as {
      token: string;
    };
    assert.equal(await pull({ authorization: `Bearer ${token}` }), 200);

    const reader = basic(box.tokenOf("user:reader@example.com"));
    assert.equal(await pull(reader), 403);
    const bindings = [{ role: "roles/artifactregistry.reader", members: ["user:reader@example.com"] }];
    await box.make("artifactregistry", "POST", `${REPOSITORY}:setIamPolicy`, {
      policy: { bindings, version: 3 },
    });
    assert.equal(await pull(reader), 200);
    assert.equal(await push(reader), 403, "a reader does not write");

    assert.equal(await pull({}), 401);
    assert.equal(await pull(basic("forged")), 401);
    assert.equal(await pull(basic(box.accessToken, "somebody")), 401);
    assert.equal(await push(owner, `${registry}/v2/${PROJECT}/none/proxy`), 404);
  },
);
