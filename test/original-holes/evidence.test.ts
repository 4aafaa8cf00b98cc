// 1.5.7: the original served its public key alone: whoever answered could name any key. That clients check what the evidence
// says, and that a key from in between is not sealed to, is shown in sdk/src/client.test.ts and sdk/src/verify-attestation.test.ts.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { createClient, verifyAttestation } from "@polaris-cvm/sdk";
import type { AttestationExpectations, Client } from "@polaris-cvm/sdk";
import { startProxy, startWorkload } from "../../proxy/testing/running-proxy.ts";
import { clientKeys } from "../../proxy/testing/sealing.ts";
import { NOW, startAttestedProxy } from "../sdk/attested-proxy.ts";

function createVerifyingClient(url: string, expect: AttestationExpectations): Client {
  return createClient({ url, expect, keyHandler: clientKeys, nowUnixSeconds: () => NOW });
}

test("1.5.7: the public key came without evidence; here the route beside it has evidence that is bound to it and to one nonce", async () => {
  await using workload = await startWorkload();
  await using attested = await startAttestedProxy(workload.url);
  const { expectations } = attested;
  const nonce = randomBytes(32);
  const route = `${attested.url}/polaris-container/attestation?nonce=${nonce.toString("base64url")}`;
  const document: unknown = await (await fetch(route)).json();
  const report = await verifyAttestation({ document, nonce, expectations, nowUnixSeconds: NOW });
  assert.equal(report.trusted, true);
  const { publicKey } = (await (await fetch(`${attested.url}/polaris-container/publicKey`)).json()) as {
    publicKey: string;
  };
  assert.equal(report.publicKey?.pem, publicKey);

  const later = { document, nonce: randomBytes(32), expectations, nowUnixSeconds: NOW };
  assert.equal((await verifyAttestation(later)).trusted, false, "it is no evidence for another nonce");
});

test("1.5.7: an endpoint that has a key and no evidence gets nothing of a request", async () => {
  await using workload = await startWorkload();
  await using attested = await startAttestedProxy(workload.url);
  await using bare = await startProxy(workload.url);
  const send = (url: string): Promise<Response> =>
    createVerifyingClient(url, attested.expectations).fetch("/secret", { method: "POST", body: "secret" });
  await assert.rejects(send(bare.url), { code: "ATTESTATION_UNAVAILABLE" });
  assert.equal(workload.seen.length, 0);
  assert.deepEqual(
    bare.log().map(({ method, status }) => [method, status]),
    [["GET", 503]],
    "one question for the evidence, and no request behind it",
  );
  assert.equal(await (await send(attested.url)).text(), "secret");
});
