import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { computeBinding, encodeHex, parseAttestationDocument } from "@polaris-cvm/sdk";
import { createContainerKeyProvider } from "../testing/golden-vectors.ts";
import { startTokenAgent } from "../testing/token-agent-double.ts";
import { createAttestationDocument } from "./attestation.ts";

const nonce = randomBytes(32);
const signal = new AbortController().signal;

test("evidence is bound to the TLS key that was born here, and the document names it", async () => {
  await using agent = await startTokenAgent(() => "token e30.e30.c2ln\n");
  const keys = await createContainerKeyProvider();
  const { spki } = await keys.publicKey(signal);
  const tlsSpki = randomBytes(91);
  const nowMs = (): number => 1_800_000_000_000;
  const source = { stack: "test/default", keys, tokenAgentSocket: agent.socketPath, nowMs };
  const input = { stack: "test/default", nonce, spki };
  const hash = createHash("sha256").update(tlsSpki).digest("hex");
  for (const [key, named] of [
    [tlsSpki, `sha256:${hash}`],
    [undefined, null],
  ] as const) {
    const answer = await createAttestationDocument(
      { ...source, tlsSpki: key },
      nonce.toString("base64url"),
      signal,
    );
    const document = parseAttestationDocument(JSON.parse(JSON.stringify(answer)));
    assert.equal(document.tlsPublicKeySha256, named);
    assert.equal(document.binding, encodeHex(await computeBinding({ ...input, tlsSpki: key })));
    assert.equal(agent.questions.at(-1), `${document.binding}\n`);
  }
  keys.close();
});
