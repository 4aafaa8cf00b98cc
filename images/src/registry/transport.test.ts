import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { createSelfSignedCertificate } from "../../../proxy/src/self-signed-certificate.ts";
import { startHostileRegistry } from "../../testing/hostile-registry.ts";
import { rejection } from "../../testing/planted-secrets.ts";
import { createTransport, discardBody, readBody } from "./transport.ts";
import type { Transport, TransportOptions } from "./transport.ts";

const signal = AbortSignal.timeout(30_000);

const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
const CERTIFICATE = {
  cert: createSelfSignedCertificate(keys, Date.now()),
  key: keys.privateKey.export({ type: "pkcs8", format: "pem" }),
};

function connect(t: TestContext, options: TransportOptions = {}): Transport {
  const transport = createTransport({ certificateAuthorities: CERTIFICATE.cert, ...options });
  t.after(() => transport.close());
  return transport;
}

test("a redirect from TLS to plain HTTP is refused, also within this machine", async (t) => {
  const plain = await startHostileRegistry((_request, response) => void response.end());
  const secure = await startHostileRegistry(
    (_request, response) => void response.writeHead(307, { location: `http://${plain.host}/` }).end(),
    CERTIFICATE,
  );
  t.after(() => Promise.all([plain.stop(), secure.stop()]));
  const sending = connect(t).send({
    method: "GET",
    url: new URL(`https://localhost:${secure.port}/`),
    authorization: "Bearer pl4nt3d",
    signal,
  });
  const error = await rejection(sending);
  assert.equal(error.code, "REGISTRY_FAILED");
  assert.match(error.message, /expected https/);
  assert.equal(secure.seen.length, 1);
  assert.equal(plain.seen.length, 0);
});

test("a redirect from TLS to TLS is followed, without the login", async (t) => {
  const storage = await startHostileRegistry((_request, response) => void response.end("bytes"), CERTIFICATE);
  const secure = await startHostileRegistry(
    (_request, response) =>
      void response.writeHead(307, { location: `https://localhost:${storage.port}/` }).end(),
    CERTIFICATE,
  );
  t.after(() => Promise.all([storage.stop(), secure.stop()]));
  const answer = await connect(t).send({
    method: "GET",
    url: new URL(`https://localhost:${secure.port}/`),
    authorization: "Bearer pl4nt3d",
    signal,
  });
  assert.equal(Buffer.from((await readBody(answer, 100)) ?? []).toString(), "bytes");
  assert.equal(secure.seen[0]?.authorization, "Bearer pl4nt3d");
  assert.equal(storage.seen[0]?.authorization, undefined);
});

test("the answer to a POST is not a redirect", async (t) => {
  const server = await startHostileRegistry(
    (_request, response) => void response.writeHead(307, { location: "/other" }).end(),
  );
  t.after(() => server.stop());
  const url = new URL(`http://${server.host}/`);
  const answer = await connect(t).send({ method: "POST", url, body: "secret=pl4nt3d", signal });
  assert.equal(answer.status, 307);
  await discardBody(answer);
  assert.equal(server.seen.length, 1);
});

test("a short body that comes byte by byte is given up after its time", async (t) => {
  const server = await startHostileRegistry((_request, response) => {
    const timer = setInterval(() => response.write("."), 20);
    response.once("close", () => clearInterval(timer));
  });
  t.after(() => server.stop());
  const answer = await connect(t).send({ method: "GET", url: new URL(`http://${server.host}/`), signal });
  const error = await rejection(readBody(answer, 1_000_000, 200));
  assert.equal(error.code, "REGISTRY_UNREACHABLE");
  assert.match(error.message, /no answer in time/);
});
