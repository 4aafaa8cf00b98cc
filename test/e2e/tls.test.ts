import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { connect as connectTcp } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { connect as connectTls } from "node:tls";
import { createTestAuthority } from "@polaris-cvm/stacks/testing/certificates.ts";
import type { JsonDocument } from "../polaris-process.ts";
import { TestProject } from "../polaris-process.ts";

const yaml = (tls: string): string => `version: 1
name: tls
workload: { health: { path: /healthz, timeout: 30s } }
proxy: { tls: ${tls} }
targets: { local: { run: [node, server.js], files: [server.js] } }
`;

async function createProject(context: TestContext, tls: string): Promise<TestProject> {
  const project = await TestProject.create({ "polaris.yaml": yaml(tls) });
  context.after(() => project.remove());
  return project;
}

/** The check of one id, as `verify --json` has it. */
function findCheck(document: JsonDocument, id: string): { ok: boolean; expected: string; actual: string } {
  return document.data.checks.find((check: { id: string }) => check.id === id);
}

/** What a server says to a request in the clear, until it ends the connection. */
async function askInTheClear(endpoint: string): Promise<string> {
  const socket = connectTcp(Number(new URL(endpoint).port), "127.0.0.1");
  socket.write("GET /polaris-container/health HTTP/1.1\r\nhost: endpoint\r\nconnection: close\r\n\r\n");
  let text = "";
  socket.setEncoding("latin1").on("data", (piece: string) => (text += piece));
  socket.on("error", () => undefined);
  await once(socket, "close");
  return text;
}

/** The certificate that a server shows. */
async function readCertificate(endpoint: string): Promise<X509Certificate | undefined> {
  const socket = connectTls({
    host: "127.0.0.1",
    port: Number(new URL(endpoint).port),
    rejectUnauthorized: false,
  });
  await once(socket, "secureConnect");
  const certificate = socket.getPeerX509Certificate();
  socket.destroy();
  return certificate;
}

test("attested: an endpoint over TLS whose key the evidence names, for verify and request alike", async (context) => {
  const project = await createProject(context, "attested");
  const deployed = await project.run(["deploy", "--yes"]);
  assert.equal(deployed.exitCode, 0, deployed.stderr);
  const endpoint = deployed.stdout.trim();
  assert.match(endpoint, /^https:\/\/127\.0\.0\.1:\d+$/);

  const verified = await project.json(["verify"]);
  assert.equal(verified.error, null);
  const check = findCheck(verified, "tls-key");
  assert.equal(check.ok, true);
  const certificate = await readCertificate(endpoint);
  const spki = certificate?.publicKey.export({ type: "spki", format: "der" }) ?? Buffer.alloc(0);
  const hash = Buffer.from(await crypto.subtle.digest("SHA-256", new Uint8Array(spki))).toString("hex");
  assert.ok(check.actual.includes(`sha256:${hash}`), check.actual);

  const hello = await project.run(["request", "GET", "/hello"]);
  assert.deepEqual([hello.exitCode, hello.stdout], [0, "Hello from behind the Polaris Secure Proxy!\n"]);
  const echo = await project.run(["request", "POST", "/echo", "--data", "over TLS"]);
  assert.deepEqual([echo.exitCode, echo.stdout], [0, "over TLS"]);

  assert.doesNotMatch(await askInTheClear(endpoint), /HTTP\/|"status"/);
  assert.deepEqual((await project.json(["status"])).data.endpoint, endpoint);
  assert.equal((await project.json(["status"])).data.healthy, true);
  assert.equal((await project.run(["outputs", "endpoint"])).stdout, `${endpoint}\n`);
  assert.equal((await project.run(["doctor"])).exitCode, 0);
  assert.equal((await project.run(["preview", "--expect-no-changes"])).exitCode, 0);
});

test("TLS can be switched on and off; the port stays and the endpoint says which it is", async (context) => {
  const project = await createProject(context, "off");
  const plain = (await project.json(["deploy", "--yes"])).data.endpoint as string;
  assert.match(plain, /^http:/);

  await writeFile(join(project.dir, "polaris.yaml"), yaml("attested"));
  const preview = await project.json(["preview"]);
  assert.deepEqual(
    preview.data.changes
      .filter(({ action }: { action: string }) => action !== "same")
      .map(({ part, action }: { part: string; action: string }) => [part, action]),
    [["proxy", "replace"]],
  );
  assert.match((await project.run(["preview"])).stdout, /^ +~ +proxy .*; the endpoint becomes https$/m);
  const secure = await project.json(["deploy", "--yes"]);
  assert.equal(secure.error, null);
  assert.equal(secure.data.endpoint, plain.replace("http:", "https:"));
  assert.equal((await project.run(["verify"])).exitCode, 0);

  await writeFile(join(project.dir, "polaris.yaml"), yaml("off"));
  assert.equal((await project.json(["deploy", "--yes"])).data.endpoint, plain);
  assert.equal((await project.run(["request", "GET", "/hello"])).exitCode, 0);
});

test("files: clients trust the authority of the certificate, and a renewed one takes another deploy", async (context) => {
  const project = await createProject(context, "{ certificate: tls/endpoint.crt, key: tls/endpoint.key }");
  const authority = createTestAuthority();
  const authorityFile = join(project.dir, "authority.crt");
  const trusting = { NODE_EXTRA_CA_CERTS: authorityFile };
  await mkdir(join(project.dir, "tls"));
  await writeFile(authorityFile, authority.certificatePem);
  const saveCertificate = async (): Promise<X509Certificate> => {
    const { certificatePem, keyPem } = authority.issue();
    await writeFile(join(project.dir, "tls/endpoint.crt"), certificatePem);
    await writeFile(join(project.dir, "tls/endpoint.key"), keyPem, { mode: 0o600 });
    return new X509Certificate(certificatePem);
  };
  const first = await saveCertificate();

  const deployed = await project.json(["deploy", "--yes"], trusting);
  assert.equal(deployed.error, null);
  const endpoint = deployed.data.endpoint as string;
  assert.match(endpoint, /^https:/);
  assert.equal((await readCertificate(endpoint))?.fingerprint256, first.fingerprint256);
  const verified = await project.json(["verify"], trusting);
  assert.equal(verified.error, null);
  assert.equal(findCheck(verified, "tls-key").ok, true);
  const hello = await project.run(["request", "GET", "/hello"], trusting);
  assert.equal(hello.stdout, "Hello from behind the Polaris Secure Proxy!\n");
  assert.doesNotMatch(await askInTheClear(endpoint), /HTTP\/|"status"/);

  const distrusting = await project.json(["verify"]);
  assert.equal(distrusting.error?.code, "ENDPOINT_UNREACHABLE");
  assert.match(distrusting.error?.message ?? "", /UNABLE_TO_VERIFY_LEAF_SIGNATURE/);
  const doctor = await project.json(["doctor"]);
  assert.equal(doctor.error, null);
  assert.deepEqual(
    doctor.warnings.map(({ code, message }) => [code, message.includes("NODE_EXTRA_CA_CERTS")]),
    [["tls-files", true]],
  );
  assert.deepEqual((await project.json(["doctor"], trusting)).warnings, []);

  const renewed = await saveCertificate();
  assert.equal((await project.json(["deploy", "--yes"], trusting)).error, null);
  assert.equal((await readCertificate(endpoint))?.fingerprint256, renewed.fingerprint256);
  assert.equal((await project.run(["verify"], trusting)).exitCode, 0);

  // What runs is written down with the paths of the files, never with what is in them.
  const spec = await readFile(join(project.dir, ".polaris/default/run/proxy.spec.json"), "utf8");
  assert.ok(spec.includes(join("tls", "endpoint.key")), spec);
  assert.doesNotMatch(spec, /PRIVATE KEY/);
});

test("files that no client would accept are found before anything starts", async (context) => {
  const project = await createProject(context, "{ certificate: endpoint.crt, key: endpoint.key }");
  const missing = await project.json(["deploy", "--yes"]);
  assert.equal(missing.error?.code, "PREFLIGHT_FAILED");
  assert.equal(missing.error?.exitCode, 13);
  assert.match(
    missing.error?.message ?? "",
    /endpoint\.crt is not there\nproxy\.tls\.key: endpoint\.key is not there$/,
  );

  const elsewhere = createTestAuthority().issue({ host: "shop.example" });
  await writeFile(join(project.dir, "endpoint.crt"), elsewhere.certificatePem);
  await writeFile(join(project.dir, "endpoint.key"), elsewhere.keyPem);
  await chmod(join(project.dir, "endpoint.key"), 0o644);
  const doctor = await project.json(["doctor"]);
  assert.deepEqual(
    doctor.data.checks
      .filter(({ ok }: { ok: boolean }) => !ok)
      .map(({ id, found }: { id: string; found: string }) => [id, found]),
    [
      [
        "tls-files",
        "proxy.tls.certificate: the certificate in endpoint.crt does not name the endpoint's host, 127.0.0.1",
      ],
      ["tls-files", "proxy.tls.key: every user of this machine can open endpoint.key"],
    ],
  );
  assert.equal(doctor.error?.message, "in the way of a deploy: tls-files");
  assert.equal((await project.json(["status"])).error?.code, "STACK_NOT_FOUND");
});
