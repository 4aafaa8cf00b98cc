/** Attacks on a stack that is really deployed, over HTTP. Each refusal has a twin that works: else it would mean nothing. */
import assert from "node:assert/strict";
import { constants, createHash, createPrivateKey, generateKeyPairSync, publicEncrypt } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { TestContext } from "node:test";
import {
  ATTESTATION_AUDIENCE,
  createClient,
  createEphemeralKeyHandler,
  createNonce,
  decodeBase64,
  encodeBase64,
  encodeBase64Url,
  failedChecks,
  fetchAttestationDocument,
  openEnvelope,
  verifyAttestation,
} from "@polaris-cvm/sdk";
import type { AttestationExpectations } from "@polaris-cvm/sdk";
import { parseTrustConfig } from "@polaris-cvm/stacks/local/trust/config.ts";
import type { TrustConfig } from "@polaris-cvm/stacks/local/trust/config.ts";
import { startTrustServices } from "@polaris-cvm/stacks/local/trust/trust-services.ts";
import { loadLockFile } from "@polaris-cvm/stacks/lock-file/file.ts";
import { planExpectations } from "@polaris-cvm/stacks/verify.ts";
import { decodeJwt, decodeProtectedHeader, SignJWT } from "jose";
import { TestProject } from "../polaris-process.ts";

/** What an attacker may hold, and what is attacked. */
interface Target {
  readonly endpoint: string;
  readonly trustUrl: string;
  readonly config: TrustConfig;
  /** Audience of the token exchange. */
  readonly provider: string;
  readonly cryptoKey: string;
  readonly machineCredential: string;
  readonly administratorCredential: string;
  /** The token that the proxy exchanges. */
  readonly attestationToken: string;
  readonly expectations: AttestationExpectations;
}

let project: TestProject;
let target: Target;

before(async () => {
  project = await TestProject.create();
  const deployed = await project.run(["deploy", "--yes"]);
  assert.equal(deployed.exitCode, 0, deployed.stderr);
  const stackDir = join(project.dir, ".polaris/default");
  const read = (path: string): Promise<string> => readFile(join(stackDir, path), "utf8");
  const config = parseTrustConfig(JSON.parse(await read("trust.json")));
  const lockFile = await loadLockFile(join(project.dir, "polaris.lock"));
  const endpoint = lockFile?.deployed["default"]?.endpoint;
  assert.ok(lockFile !== undefined && endpoint !== undefined);
  const { workloadIdentity, kms } = config;
  const pool = workloadIdentity.pools[0];
  const ring = kms.keyRings[0];
  target = {
    endpoint,
    trustUrl: `http://127.0.0.1:${config.port}`,
    config,
    provider: `//iam.googleapis.com/projects/${workloadIdentity.projectNumber}/locations/global/workloadIdentityPools/${pool?.id}/providers/${pool?.providers[0]?.id}`,
    cryptoKey: `projects/${kms.project}/locations/${kms.location}/keyRings/${ring?.id}/cryptoKeys/${ring?.cryptoKeys[0]?.id}`,
    machineCredential: await read("credentials/machine"),
    administratorCredential: await read("credentials/administrator"),
    attestationToken: (await read("token/attestation-token")).trim(),
    expectations: planExpectations(lockFile, "default", true),
  };
});
after(() => project.remove());

interface Answer {
  readonly status: number;
  // Bodies differ by service and outcome; tests assert the values that they name.
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly body: any;
}

async function send(url: string, credential?: string, init: RequestInit = {}): Promise<Answer> {
  const headers = new Headers(init.headers);
  if (credential !== undefined) headers.set("authorization", `Bearer ${credential}`);
  const response = await fetch(url, { ...init, headers });
  return { status: response.status, body: await response.json() };
}

function post(url: string, body: unknown, credential?: string): Promise<Answer> {
  const headers = { "content-type": "application/json" };
  return send(url, credential, { method: "POST", headers, body: JSON.stringify(body) });
}

function requestToken(trustUrl: string, credential: string | undefined, audience: string): Promise<Answer> {
  return post(`${trustUrl}/issuer/v1/token`, { audience, token_type: "OIDC" }, credential);
}

function exchange(trustUrl: string, subjectToken: string): Promise<Answer> {
  const body = new URLSearchParams({
    grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
    audience: target.provider,
    scope: "https://www.googleapis.com/auth/cloud-platform",
    requested_token_type: "urn:ietf:params:oauth:token-type:access_token",
    subject_token: subjectToken,
    subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
  });
  return send(`${trustUrl}/v1/token`, undefined, { method: "POST", body });
}

async function accessToken(): Promise<string> {
  const { status, body } = await exchange(target.trustUrl, target.attestationToken);
  assert.equal(status, 200, JSON.stringify(body));
  return body.access_token;
}

function decrypt(
  ciphertext: Uint8Array,
  credential: string | undefined,
  { trustUrl = target.trustUrl, version = `${target.cryptoKey}/cryptoKeyVersions/1` } = {},
): Promise<Answer> {
  const body = { ciphertext: Buffer.from(ciphertext).toString("base64") };
  return post(`${trustUrl}/v1/${version}:asymmetricDecrypt`, body, credential);
}

/** The value `secret`, encrypted to the deployed key by somebody who may know no more than its public half. */
async function encryptToKey(): Promise<Uint8Array> {
  const { body } = await send(`${target.endpoint}/polaris-container/publicKey`);
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  return publicEncrypt({ key: body.publicKey, padding, oaepHash: "sha256" }, Buffer.from("secret"));
}

/** Another token with the header and claims of one, some of them changed. */
function forge(token: string, privateKey: KeyObject, changes: Record<string, unknown> = {}): Promise<string> {
  const { alg, kid, typ } = decodeProtectedHeader(token);
  assert.ok(alg !== undefined && kid !== undefined && typ !== undefined);
  return new SignJWT({ ...decodeJwt(token), ...changes })
    .setProtectedHeader({ alg, kid, typ })
    .sign(privateKey);
}

const strangersKey = generateKeyPairSync("rsa", { modulusLength: 2048 });

test("the machine's own token, exchanged, decrypts what was encrypted to the public key", async () => {
  const { status, body } = await decrypt(await encryptToKey(), await accessToken());
  assert.equal(status, 200);
  assert.equal(Buffer.from(body.plaintext, "base64").toString(), "secret");
});

test("the issuer gives a token to the machine's credential, and to no other and none", async () => {
  const ask = (credential?: string): Promise<Answer> =>
    requestToken(target.trustUrl, credential, target.provider);
  assert.equal((await ask(target.machineCredential)).status, 200);
  for (const credential of [
    undefined,
    "",
    "wrong",
    target.administratorCredential,
    createHash("sha256").update(target.machineCredential).digest("hex"),
  ]) {
    const { status, body } = await ask(credential);
    assert.deepEqual([status, body.error.status], [401, "UNAUTHENTICATED"], credential ?? "no credential");
  }
});

test("a token that is shown to clients cannot be exchanged", async () => {
  const { body } = await requestToken(target.trustUrl, target.machineCredential, ATTESTATION_AUDIENCE);
  const refused = await exchange(target.trustUrl, body.token);
  assert.deepEqual([refused.status, refused.body.error], [400, "invalid_grant"]);
  assert.match(refused.body.error_description, /audience .*polaris-attestation-v1.* does not match/);
});

test("the token of the exchange is no evidence for clients", async () => {
  const nonce = createNonce();
  const document = await fetchAttestationDocument(target.endpoint, nonce);
  const evidence = [{ type: "oidc-token", token: target.attestationToken }];
  const report = await verifyAttestation({
    document: { ...document, evidence },
    nonce,
    expectations: target.expectations,
  });
  assert.equal(report.trusted, false);
  assert.ok(failedChecks(report).includes("audience"));
});

test("a token with another payload cannot be exchanged", async () => {
  const [header, payload, signature] = target.attestationToken.split(".");
  const claims = JSON.parse(Buffer.from(payload ?? "", "base64url").toString());
  const forged = Buffer.from(JSON.stringify({ ...claims, exp: claims.exp + 60 })).toString("base64url");
  const refused = await exchange(target.trustUrl, `${header}.${forged}.${signature}`);
  assert.deepEqual(
    [refused.status, refused.body],
    [400, { error: "invalid_grant", error_description: "Unable to verify the ID Token signature." }],
  );
});

test("a token that a stranger signed cannot be exchanged, and neither can one without a signature", async () => {
  const forged = await forge(target.attestationToken, strangersKey.privateKey);
  const refused = await exchange(target.trustUrl, forged);
  assert.deepEqual(
    [refused.status, refused.body],
    [400, { error: "invalid_grant", error_description: "Unable to verify the ID Token signature." }],
  );
  const none = Buffer.from('{"alg":"none","typ":"JWT"}').toString("base64url");
  const unsigned = await exchange(target.trustUrl, `${none}.${target.attestationToken.split(".")[1]}.`);
  assert.deepEqual([unsigned.status, unsigned.body.error], [400, "invalid_grant"]);
});

test("evidence that a stranger signed is refused by clients", async () => {
  const nonce = createNonce();
  const document = await fetchAttestationDocument(target.endpoint, nonce);
  const token = await forge(document.evidence[0].token, strangersKey.privateKey);
  const report = await verifyAttestation({
    document: { ...document, evidence: [{ type: "oidc-token", token }] },
    nonce,
    expectations: target.expectations,
  });
  assert.equal(report.trusted, false);
  assert.equal(report.publicKey, undefined);
  assert.equal(report.checks.find(({ id }) => id === "token-signature")?.ok, false);
});

test("the machine's access token is good for its own key alone, and for nothing but using it", async () => {
  const ciphertext = await encryptToKey();
  const token = await accessToken();
  for (const cryptoKey of [
    `${target.cryptoKey}x`,
    target.cryptoKey.replace("/keyRings/", "/keyRings/other-"),
    target.cryptoKey.replace("projects/", "projects/other-"),
  ]) {
    const version = `${cryptoKey}/cryptoKeyVersions/1`;
    const { status, body } = await decrypt(ciphertext, token, { version });
    assert.deepEqual([status, body.error.status], [403, "PERMISSION_DENIED"], cryptoKey);
  }
  const key = `${target.trustUrl}/v1/${target.cryptoKey}`;
  assert.equal((await send(`${key}/cryptoKeyVersions/1/publicKey`, token)).status, 200);
  for (const path of ["/cryptoKeyVersions", "/cryptoKeyVersions/1:destroy"]) {
    assert.equal((await post(key + path, {}, token)).status, 403, path);
  }
});

test("the administrator can read the public key and cannot decrypt", async () => {
  const publicKey = `${target.trustUrl}/v1/${target.cryptoKey}/cryptoKeyVersions/1/publicKey`;
  const { status, body } = await send(publicKey, target.administratorCredential);
  assert.equal(status, 200);
  assert.match(body.pem, /^-----BEGIN PUBLIC KEY-----/);
  const refused = await decrypt(await encryptToKey(), target.administratorCredential);
  assert.deepEqual([refused.status, refused.body.error.status], [403, "PERMISSION_DENIED"]);
  assert.match(refused.body.error.message, /'cloudkms\.cryptoKeyVersions\.useToDecrypt' denied/);
});

test("without an access token nobody decrypts, not even the machine with its other credentials", async () => {
  const ciphertext = await encryptToKey();
  const altered = `${(await accessToken()).slice(0, -8)}AAAAAAAA`;
  const { machineCredential, attestationToken } = target;
  for (const credential of [undefined, machineCredential, attestationToken, altered]) {
    const { status, body } = await decrypt(ciphertext, credential);
    assert.deepEqual([status, body.error.status], [401, "UNAUTHENTICATED"]);
  }
});

type Machine = TrustConfig["machines"][number];

/** Other machines of the same issuer: what an attacker with an account there could start. */
const OTHER_MACHINES: Readonly<Record<string, (machine: Machine) => Machine>> = {
  "another instance of the same project": (machine) => ({ ...machine, instanceId: "1234567890123456789" }),
  "the same instance in another zone": (machine) => ({ ...machine, zone: "local-b" }),
  "a machine of another project": (machine) => ({
    ...machine,
    projectId: "attackers-project",
    projectNumber: "111111111111",
    serviceAccount: "attacker@attackers-project.iam.gserviceaccount.com",
  }),
  "another service account": (machine) => ({
    ...machine,
    serviceAccount: "attacker@x.iam.gserviceaccount.com",
  }),
};
const OTHER_CREDENTIAL = "credential-of-the-other-machine";

/** Trust services with the deployed keys and configuration, and one machine more. */
async function startWithOtherMachine(
  t: TestContext,
  change: (machine: Machine) => Machine,
  condition?: string,
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-attack-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const stateDir = join(folder, "trust");
  await cp(target.config.stateDir, stateDir, { recursive: true });
  const [machine] = target.config.machines;
  assert.ok(machine !== undefined);
  const credentialSha256 = createHash("sha256").update(OTHER_CREDENTIAL).digest("hex");
  const config = structuredClone(target.config);
  const provider = config.workloadIdentity.pools[0]?.providers[0];
  assert.ok(provider !== undefined);
  if (condition !== undefined) provider.attributeCondition = condition;
  config.machines.push({ ...change(machine), credentialSha256 });
  const services = await startTrustServices(
    { ...config, port: 0, stateDir },
    { log: () => undefined, now: Date.now },
  );
  t.after(() => services.close());
  await services.ready;
  return services.url;
}

for (const [name, change] of Object.entries(OTHER_MACHINES)) {
  test(`the deployed condition refuses ${name}`, async (t) => {
    const url = await startWithOtherMachine(t, change);
    const own = await requestToken(url, target.machineCredential, target.provider);
    assert.equal((await exchange(url, own.body.token)).status, 200);

    const other = await requestToken(url, OTHER_CREDENTIAL, target.provider);
    assert.equal(other.status, 200);
    const refusal = {
      status: 400,
      body: {
        error: "unauthorized_client",
        error_description: "The given credential is rejected by the attribute condition.",
      },
    };
    assert.deepEqual(await exchange(url, other.body.token), refusal);

    // The same claims at the deployed service itself, signed as its own issuer would sign them.
    const pem = await readFile(join(target.config.stateDir, "issuer-signing-key.pem"), "utf8");
    const iss = `${target.trustUrl}/issuer`;
    const signedAt = (token: string): Promise<string> => forge(token, createPrivateKey(pem), { iss });
    assert.equal((await exchange(target.trustUrl, await signedAt(own.body.token))).status, 200);
    assert.deepEqual(await exchange(target.trustUrl, await signedAt(other.body.token)), refusal);
  });
}

test("were there no condition, the key's grant would still refuse another instance", async (t) => {
  const change = OTHER_MACHINES["another instance of the same project"];
  assert.ok(change !== undefined);
  const url = await startWithOtherMachine(t, change, "true");
  const decryptAs = async (credential: string): Promise<Answer> => {
    const { body } = await requestToken(url, credential, target.provider);
    const exchanged = await exchange(url, body.token);
    assert.equal(exchanged.status, 200);
    return decrypt(await encryptToKey(), exchanged.body.access_token, { trustUrl: url });
  };
  assert.equal((await decryptAs(target.machineCredential)).status, 200);
  const refused = await decryptAs(OTHER_CREDENTIAL);
  assert.deepEqual([refused.status, refused.body.error.status], [403, "PERMISSION_DENIED"]);
});

test("evidence is good for one nonce and one stack, and a changed document is noticed", async () => {
  const { expectations, endpoint } = target;
  const nonce = createNonce();
  const document = await fetchAttestationDocument(endpoint, nonce);
  const good = await verifyAttestation({ document, nonce, expectations });
  assert.deepEqual([good.trusted, good.simulated, failedChecks(good)], [true, true, []]);

  const failedWith = async (
    changes: Record<string, unknown>,
    expected: Partial<AttestationExpectations> = {},
    verifiersNonce = nonce,
  ): Promise<string[]> => {
    const report = await verifyAttestation({
      document: { ...document, ...changes },
      nonce: verifiersNonce,
      expectations: { ...expectations, ...expected },
    });
    assert.deepEqual([report.trusted, report.publicKey], [false, undefined]);
    return [...failedChecks(report)];
  };
  const otherNonce = createNonce();
  assert.deepEqual(await failedWith({}, {}, otherNonce), ["nonce"]);
  assert.deepEqual(await failedWith({ nonce: encodeBase64Url(otherNonce) }, {}, otherNonce), ["key-binding"]);
  assert.deepEqual(await failedWith({}, { stack: "hello/other" }), ["stack"]);
  assert.deepEqual(await failedWith({ stack: "hello/other" }, { stack: "hello/other" }), ["key-binding"]);
  assert.deepEqual(await failedWith({}, { acceptSimulated: false }), ["tee"]);

  const publicKey = strangersKey.publicKey.export({ type: "spki", format: "pem" });
  const spki = strangersKey.publicKey.export({ type: "spki", format: "der" });
  const keyId = `sha256:${createHash("sha256").update(spki).digest("hex")}`;
  const swapped = await failedWith({ publicKey, keyId });
  assert.deepEqual(swapped.sort(), ["key-binding", "public-key"]);
});

/** A sealed request as somebody on the way sees it. */
interface Recorded {
  readonly headers: Headers;
  readonly body: Uint8Array<ArrayBuffer>;
}

const responseKey = createEphemeralKeyHandler({ modulusLength: 2048 });

/** Lets the client send a sealed request, and records it. */
async function record(contentType: string, body: string): Promise<Recorded> {
  let recorded: Recorded | undefined;
  const client = createClient({
    url: target.endpoint,
    expect: target.expectations,
    keyHandler: responseKey,
    fetch: async (input, init) => {
      const request = new Request(input, init);
      if (request.method === "POST") {
        recorded = { headers: request.headers, body: new Uint8Array(await request.clone().arrayBuffer()) };
      }
      return fetch(request);
    },
  });
  const response = await client.fetch("/echo", {
    method: "POST",
    headers: { "content-type": contentType },
    body,
  });
  assert.equal(await response.text(), body);
  assert.ok(recorded !== undefined);
  return recorded;
}

function replay({ headers, body }: Recorded): Promise<Response> {
  return fetch(target.endpoint, { method: "POST", headers, body });
}

async function openText(response: Response): Promise<string> {
  const sealed = decodeBase64(await response.text());
  assert.ok(sealed !== undefined);
  return new TextDecoder().decode(await openEnvelope(sealed, responseKey.unwrap));
}

test("known limit of wire v1: a recorded request is answered again", async () => {
  const recorded = await record("text/plain", "pay once");
  for (const attempt of [1, 2]) {
    const response = await replay(recorded);
    assert.equal(response.status, 200, `attempt ${attempt}`);
    assert.equal(await openText(response), "pay once");
  }
});

test("known limit of wire v1: parts of two requests can be recombined", async () => {
  const first = await record("text/first", "pay the first");
  const second = await record("text/second", "pay the second");
  const response = await replay({ headers: first.headers, body: second.body });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "text/first");
  assert.equal(await openText(response), "pay the second");
});

test("a recorded request that is changed anywhere is refused", async () => {
  const recorded = await record("text/plain", "pay once");
  const body = new Uint8Array(recorded.body);
  body[body.length - 1] = (body.at(-1) ?? 0) ^ 1;
  const response = await replay({ ...recorded, body });
  assert.deepEqual([response.status, response.headers.get("polaris-error")], [400, "ENVELOPE_OPEN_FAILED"]);
});

test("somebody on the way cannot put a response key of his own, or none, in place of the client's", async () => {
  const { headers, body } = await record("text/plain", "for the client only");
  const swapped = new Headers(headers);
  const pem = strangersKey.publicKey.export({ type: "spki", format: "pem" });
  swapped.set("polaris-response-public-key", encodeBase64(new TextEncoder().encode(pem)));
  const refused = await replay({ headers: swapped, body });
  assert.deepEqual([refused.status, refused.headers.get("polaris-error")], [400, "REQUEST_INVALID"]);
  assert.match(await refused.text(), /the response key is not the one in the sealed headers/);

  const without = new Headers(headers);
  without.delete("polaris-response-public-key");
  const alsoRefused = await replay({ headers: without, body });
  assert.equal(alsoRefused.headers.get("polaris-error"), "ENCRYPTION_REQUIRED");
});
