import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAppOutputs, parseBaseOutputs, parseKeyOutputs } from "./part-outputs.ts";

const BASE = {
  network: "projects/p/global/networks/n",
  subnetwork: "projects/p/regions/r/subnetworks/s",
  serviceAccountEmail: "vm@p.iam.gserviceaccount.com",
  repository: "projects/p/locations/r/repositories/i",
};
const KEY = { keyRing: "r", key: "k", pool: "p", provider: "q", decrypters: [] };
const APP = {
  instance: "projects/p/zones/z/instances/vm",
  instanceId: "18446744073709551615",
  internalAddress: "10.0.0.2",
};

test("what the programs give is taken as it is", () => {
  assert.deepEqual(parseBaseOutputs(BASE), BASE);
  assert.deepEqual(parseKeyOutputs(KEY), KEY);
  assert.deepEqual(parseAppOutputs(APP), APP);
});

const REFUSED: readonly (readonly [title: string, parse: () => unknown, message: RegExp])[] = [
  ["nothing", () => parseBaseOutputs(undefined), /^the outputs of part base are not/],
  [
    "the outputs of a deploy that never ended",
    () => parseAppOutputs({}),
    /^the outputs "instance" of part app/,
  ],
  ["one too many", () => parseBaseOutputs({ ...BASE, more: "x" }), /^the outputs of part base/],
  [
    "no e-mail address",
    () => parseBaseOutputs({ ...BASE, serviceAccountEmail: "vm" }),
    /"serviceAccountEmail"/,
  ],
  ["two decrypters", () => parseKeyOutputs({ ...KEY, decrypters: ["a", "b"] }), /"decrypters"/],
  [
    "an instance id that lost its last digits",
    () => parseAppOutputs({ ...APP, instanceId: 4711 }),
    /"instanceId"/,
  ],
  ["an instance id that is none", () => parseAppOutputs({ ...APP, instanceId: "vm" }), /"instanceId"/],
  ["no address", () => parseAppOutputs({ ...APP, internalAddress: "" }), /"internalAddress"/],
  [
    "a value that is not known yet",
    () => parseAppOutputs({ ...APP, externalAddress: null }),
    /"externalAddress"/,
  ],
  ["a text without end", () => parseKeyOutputs({ ...KEY, key: "x".repeat(1025) }), /"key"/],
];

for (const [title, parse, message] of REFUSED) {
  test(`${title} is refused`, () => {
    assert.throws(parse, { code: "STATE_CORRUPT", message });
  });
}
