import assert from "node:assert/strict";
import { test } from "node:test";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { defaultBackend, parseBackend } from "./backend.ts";

test("the default is a folder in the user's Polaris home", () => {
  assert.deepEqual(defaultBackend("/home/u/.polaris"), {
    kind: "file",
    url: "file:///home/u/.polaris/state",
    folder: "/home/u/.polaris/state",
  });
});

test("addresses of folders, buckets and Pulumi Cloud are taken", () => {
  for (const [text, kind] of [
    ["file:///var/lib/polaris", "file"],
    ["file:///with%20space/state", "file"],
    ["gs://acme-polaris-state", "gs"],
    ["gs://acme-polaris-state/prod", "gs"],
    ["azblob://state?storage_account=acme", "azblob"],
    ["s3://acme-state?region=eu-central-1&awssdk=v2", "s3"],
    ["https://api.pulumi.com", "pulumi-cloud"],
    ["https://pulumi.acme.example/", "pulumi-cloud"],
  ] as const) {
    assert.equal(parseBackend(text).kind, kind, text);
  }
  const backend = parseBackend("file:///with%20space/state");
  assert.equal(backend.kind === "file" && backend.folder, "/with space/state");
});

test("any other address is refused, and a password in it is not repeated", () => {
  for (const text of [
    "",
    "state",
    "/var/lib/polaris",
    "file://state",
    "file://~/state",
    "file:///",
    "file:///state?no_tmp_dir=true",
    "http://api.pulumi.com",
    "https://api.pulumi.com?token=hunter22",
    "https://user:hunter22@api.pulumi.com",
    "s3://key:hunter22@bucket",
    "s3://bucket?secret=hunter22",
    "gs://",
    "gs://bucket?x=1",
    "gs://bucket#hunter22",
    "postgres://db/state",
    "mem://",
  ]) {
    assert.throws(
      () => parseBackend(text),
      (error: unknown) => {
        assert.ok(error instanceof PolarisError, text);
        assert.equal(error.code, "CONFIG_INVALID");
        assert.doesNotMatch(`${error.message} ${error.hint}`, /hunter22/);
        return true;
      },
      text,
    );
  }
});
