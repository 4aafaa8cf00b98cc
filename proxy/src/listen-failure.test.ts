import assert from "node:assert/strict";
import { test } from "node:test";
import { describeListenFailure } from "./listen-failure.ts";

const CASES: readonly [code: string | undefined, text: string][] = [
  ["EADDRINUSE", "port 80 of h is taken, set POLARIS_PROXY_PORT to a free one"],
  ["EACCES", "port 80 of h is not allowed to this user, set POLARIS_PROXY_PORT to one from 1024 on"],
  ["EADDRNOTAVAIL", "h is not an address of this machine, set POLARIS_PROXY_HOST to one of its own"],
  ["ENOTFOUND", "host h is not found, set POLARIS_PROXY_HOST to an address of this machine"],
  ["EAI_AGAIN", "host h is not found, set POLARIS_PROXY_HOST to an address of this machine"],
  ["EINVAL", "cannot listen on port 80 of h (EINVAL)"],
  ["words of somebody", "cannot listen on port 80 of h"],
  [undefined, "cannot listen on port 80 of h"],
];

for (const [code, text] of CASES) {
  test(`says what is wrong with an address that fails with ${code ?? "no code"}`, () => {
    const error = Object.assign(new Error("planted"), code === undefined ? {} : { code });
    assert.equal(describeListenFailure(error, { host: "h", port: 80 }), text);
  });
}

test("a taken port of the metrics is told by its own variable", () => {
  const settings = { host: "127.0.0.1", port: 3000, metricsPort: 9464 };
  const taken = (port: number): Error => Object.assign(new Error("taken"), { code: "EADDRINUSE", port });
  assert.match(describeListenFailure(taken(9464), settings), /^port 9464 .*POLARIS_PROXY_METRICS_PORT/);
  assert.match(describeListenFailure(taken(3000), settings), /^port 3000 .*POLARIS_PROXY_PORT/);
});
