import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { createIssuerClient, type RequestToken } from "./issuer-client.ts";

interface FakeIssuer {
  readonly requestToken: RequestToken;
  readonly requests: {
    readonly path: string;
    readonly authorization: string | undefined;
    readonly body: unknown;
  }[];
  answer: { status: number; body: string };
  readonly credentialFile: string;
}

async function startIssuer(t: TestContext): Promise<FakeIssuer> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-test-"));
  t.after(() => rm(folder, { recursive: true }));
  const credentialFile = join(folder, "credential");
  await writeFile(credentialFile, "the-credential\n");
  const requests: FakeIssuer["requests"] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      const { authorization } = request.headers;
      requests.push({ path: `${request.method} ${request.url}`, authorization, body: JSON.parse(body) });
      response.writeHead(issuer.answer.status, { location: "/elsewhere" }).end(issuer.answer.body);
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const issuerUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/issuer`;
  const issuer: FakeIssuer = {
    requestToken: createIssuerClient({ issuerUrl, credentialFile }),
    requests,
    answer: { status: 200, body: '{"token":"a.b.c"}' },
    credentialFile,
  };
  return issuer;
}

const never = new AbortController().signal;

test("the request names audience and nonces, and proves the machine by the credential that is in the file now", async (t) => {
  const issuer = await startIssuer(t);
  assert.equal(await issuer.requestToken("audience", ["nonce"], never), "a.b.c");
  await writeFile(issuer.credentialFile, "another");
  await issuer.requestToken("audience", [], never);
  assert.deepEqual(issuer.requests, [
    {
      path: "POST /issuer/v1/token",
      authorization: "Bearer the-credential",
      body: { audience: "audience", nonces: ["nonce"], token_type: "OIDC" },
    },
    {
      path: "POST /issuer/v1/token",
      authorization: "Bearer another",
      body: { audience: "audience", nonces: [], token_type: "OIDC" },
    },
  ]);
});

test("whatever is no token is one error", async (t) => {
  const issuer = await startIssuer(t);
  const rows: [number, string, string][] = [
    [401, '{"error":{"message":"no"}}', "the attestation issuer gives no token: HTTP status 401"],
    [503, "{}", "the attestation issuer gives no token: HTTP status 503"],
    [200, "not json", "the attestation issuer gives no token"],
    [302, "{}", "the attestation issuer gives no token"],
    [200, "{}", "the attestation issuer gives something else than a token"],
    [200, '{"token":"a b c\\n"}', "the attestation issuer gives something else than a token"],
    [200, '{"token":"a.b.c\\n"}', "the attestation issuer gives something else than a token"],
  ];
  for (const [status, body, message] of rows) {
    issuer.answer = { status, body };
    await assert.rejects(issuer.requestToken("a", [], never), { code: "ATTESTATION_UNAVAILABLE", message });
  }
  await assert.rejects(issuer.requestToken("a", [], AbortSignal.abort()), {
    code: "ATTESTATION_UNAVAILABLE",
  });
  await rm(issuer.credentialFile);
  await assert.rejects(issuer.requestToken("a", [], never), {
    code: "ATTESTATION_UNAVAILABLE",
    message: "cannot read the machine's credential",
  });
});
