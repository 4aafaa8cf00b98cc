import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import type { ErrorCode } from "@polaris-cvm/sdk/errors";
import { startHostileRegistry } from "../../testing/hostile-registry.ts";
import type { AnswerRequest, HostileRegistry } from "../../testing/hostile-registry.ts";
import { rejection } from "../../testing/planted-secrets.ts";
import { Authenticator } from "./authentication.ts";
import type { CredentialSource } from "./credentials.ts";
import { createTransport } from "./transport.ts";

const signal = AbortSignal.timeout(30_000);

const PASSWORD: CredentialSource = {
  find: async () => ({ kind: "password", username: "builder", password: "pl4nt3d-Passw0rd" }),
};
const IDENTITY: CredentialSource = {
  find: async () => ({ kind: "identity-token", token: "pl4nt3d-identity" }),
};
const BASIC = `Basic ${Buffer.from("builder:pl4nt3d-Passw0rd").toString("base64")}`;

const ASKED = {
  registry: "127.0.0.1:5000",
  scopes: ["repository:team/app:pull"],
  subject: "127.0.0.1:5000/team/app:v1",
  signal,
};

async function start(t: TestContext, answer: AnswerRequest): Promise<HostileRegistry> {
  const server = await startHostileRegistry(answer);
  t.after(() => server.stop());
  return server;
}

function authenticate(t: TestContext, credentials: CredentialSource | undefined): Authenticator {
  const transport = createTransport();
  t.after(() => transport.close());
  return new Authenticator(transport, credentials, [1]);
}

const give =
  (token: object): AnswerRequest =>
  (_request, response) =>
    void response.end(JSON.stringify(token));

test("a token is asked for with the service, our scopes and those of the challenge", async (t) => {
  const server = await start(t, give({ token: "abc", expires_in: 300 }));
  const authenticator = authenticate(t, PASSWORD);
  const challenge = `Bearer realm="http://${server.host}/token?a=b",service="the registry",scope="repository:team/app:pull more"`;
  assert.equal(authenticator.currentAuthorization(ASKED), undefined);
  assert.equal(await authenticator.answerChallenge(ASKED, challenge, undefined), "Bearer abc");
  assert.equal(authenticator.currentAuthorization(ASKED), "Bearer abc");
  const [{ url, authorization } = { url: "", authorization: "" }] = server.seen;
  assert.equal(authorization, BASIC);
  assert.deepEqual(
    [...new URL(url, "http://x").searchParams],
    [
      ["a", "b"],
      ["service", "the registry"],
      ["scope", "repository:team/app:pull"],
      ["scope", "more"],
    ],
  );
});

test("a token is for its registry and scopes only, and as long as it is good", async (t) => {
  const server = await start(t, give({ access_token: "abc", expires_in: 6 }));
  const authenticator = authenticate(t, undefined);
  const challenge = `Bearer realm="http://${server.host}/"`;
  await authenticator.answerChallenge(ASKED, challenge, undefined);
  assert.equal(server.seen[0]?.authorization, undefined);
  assert.equal(authenticator.currentAuthorization(ASKED), "Bearer abc");
  const others = [
    { ...ASKED, registry: "127.0.0.1:5001" },
    { ...ASKED, scopes: ["repository:team/other:pull"] },
  ];
  for (const other of others) assert.equal(authenticator.currentAuthorization(other), undefined);
  await new Promise((resolve) => setTimeout(resolve, 1100));
  assert.equal(authenticator.currentAuthorization(ASKED), undefined);
});

test("an identity token is sent in the body of a POST, and nowhere else", async (t) => {
  let body = "";
  const server = await start(t, async (request, response) => {
    for await (const piece of request) body += String(piece);
    response.end(JSON.stringify({ access_token: "abc" }));
  });
  const challenge = `Bearer realm="http://${server.host}/token",service="s"`;
  await authenticate(t, IDENTITY).answerChallenge(ASKED, challenge, undefined);
  assert.deepEqual(server.seen, [{ method: "POST", url: "/token", authorization: undefined }]);
  assert.deepEqual(Object.fromEntries(new URLSearchParams(body)), {
    grant_type: "refresh_token",
    client_id: "polaris",
    refresh_token: "pl4nt3d-identity",
    scope: "repository:team/app:pull",
    service: "s",
  });
});

test("a realm without TLS gets nothing, unless all is within this machine", async (t) => {
  const server = await start(t, give({ token: "abc" }));
  const realms: readonly (readonly [string, string])[] = [
    ["registry.test", `http://${server.host}/token`],
    ["registry.test", "http://token.test/"],
    ["127.0.0.1:5000", "http://192.0.2.1/"],
    ["127.0.0.1:5000", "file:///etc/passwd"],
    ["127.0.0.1:5000", `http://u:pl4nt3d@${server.host}/`],
    ["127.0.0.1:5000", "/token"],
    ["127.0.0.1:5000", ""],
  ];
  for (const [registry, realm] of realms) {
    const authenticator = authenticate(t, PASSWORD);
    const answering = authenticator.answerChallenge(
      { ...ASKED, registry },
      `Bearer realm="${realm}"`,
      undefined,
    );
    const error = await rejection(answering);
    assert.equal(error.code, "REGISTRY_DENIED", realm);
    assert.match(error.message, /expected a realm/);
  }
  assert.deepEqual(server.seen, []);
});

test("Basic is not answered twice with the same, and not with an identity token", async (t) => {
  const header = 'Basic realm="x"';
  const authenticator = authenticate(t, PASSWORD);
  assert.equal(await authenticator.answerChallenge(ASKED, header, undefined), BASIC);
  assert.equal(await authenticator.answerChallenge(ASKED, header, BASIC), undefined);
  assert.equal(await authenticate(t, IDENTITY).answerChallenge(ASKED, header, undefined), undefined);
  assert.equal(await authenticate(t, undefined).answerChallenge(ASKED, header, undefined), undefined);
});

const TOKEN_FAULTS: readonly {
  readonly name: string;
  readonly answer: AnswerRequest;
  readonly code: ErrorCode;
  readonly message: RegExp;
}[] = [
  {
    name: "a wrong login",
    answer: (request, response) => void response.writeHead(401).end(request.headers.authorization),
    code: "REGISTRY_DENIED",
    message: /does not let us at a token for 127\.0\.0\.1:5000\/team\/app:v1 \(status 401\)$/,
  },
  {
    name: "no end of failures",
    answer: (_request, response) => void response.writeHead(503).end(),
    code: "REGISTRY_FAILED",
    message: /failed at a token for .* \(status 503\)$/,
  },
  {
    name: "what is not JSON",
    answer: (_request, response) => void response.end('{"token": "pl4nt3d-token'),
    code: "REGISTRY_FAILED",
    message: /expected a token from 127\.0\.0\.1:\d+, got what is not JSON$/,
  },
  {
    name: "JSON without a token",
    answer: give({ token: null, secret: "pl4nt3d-token" }),
    code: "REGISTRY_FAILED",
    message: /got no token$/,
  },
  {
    name: "a token that would be a header of its own",
    answer: give({ token: "pl4nt3d-token\r\nX-Evil: 1" }),
    code: "REGISTRY_FAILED",
    message: /got no token$/,
  },
  {
    name: "an answer without an end",
    answer: (_request, response) => void response.end(`{"token":"${"a".repeat(70_000)}"}`),
    code: "REGISTRY_FAILED",
    message: /got more than 65536 bytes$/,
  },
  {
    name: "a closed connection",
    answer: (request) => void request.socket.destroy(),
    code: "REGISTRY_UNREACHABLE",
    message: /cannot reach/,
  },
];

for (const { name, answer, code, message } of TOKEN_FAULTS) {
  test(`a token server with ${name} ends with ${code}, and tells no secret`, async (t) => {
    const server = await start(t, answer);
    const challenge = `Bearer realm="http://${server.host}/token"`;
    const error = await rejection(authenticate(t, PASSWORD).answerChallenge(ASKED, challenge, undefined));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    assert.ok(error.hint);
  });
}

test("a token server that leads to another host does not lead our login there", async (t) => {
  const other = await start(t, give({ token: "abc" }));
  const server = await start(
    t,
    (_request, response) => void response.writeHead(307, { location: `http://${other.host}/` }).end(),
  );
  await authenticate(t, PASSWORD).answerChallenge(ASKED, `Bearer realm="http://${server.host}/"`, undefined);
  assert.equal(server.seen[0]?.authorization, BASIC);
  assert.equal(other.seen[0]?.authorization, undefined);
});
