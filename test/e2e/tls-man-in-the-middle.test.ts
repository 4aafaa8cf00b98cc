/** Attested TLS, and somebody in between who has the endpoint's real evidence and a certificate of their own. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { hashPublicKey } from "@polaris-cvm/sdk";
import { loadTlsIdentity, tlsServerOptions } from "../../proxy/src/tls-identity.ts";
import { TestProject } from "../polaris-process.ts";
import { startTlsRelay } from "../tls-relay.ts";

const YAML = `version: 1
name: tls
workload: { health: { path: /healthz, timeout: 30s } }
proxy: { tls: attested }
targets: { local: { run: [node, server.js], files: [server.js] } }
`;

test("verify and request refuse a man in the middle, and send nothing to them", async (t) => {
  const project = await TestProject.create({ "polaris.yaml": YAML });
  t.after(() => project.remove());
  const deployed = await project.json(["deploy", "--yes"]);
  assert.equal(deployed.error, null);
  const port = Number(new URL(deployed.data.endpoint as string).port);
  const attacker = await loadTlsIdentity({ mode: "attested" });
  const relay = await startTlsRelay(t, port, attacker);
  const request = ["request", "POST", `${relay.url}/echo`, "--data", "planted secret", "--allow-simulated"];

  // Somebody who only passes bytes on is no reason to refuse anything.
  assert.equal((await project.run(["verify", relay.url, "--allow-simulated"])).exitCode, 0);
  assert.equal((await project.run(request)).stdout, "planted secret");
  assert.equal(relay.read(), "");

  relay.attack();
  const verified = await project.json(["verify", relay.url, "--allow-simulated"]);
  assert.deepEqual([verified.error?.code, verified.error?.exitCode], ["VERIFICATION_FAILED", 10]);
  const failed = verified.data.checks.filter(({ ok }: { ok: boolean }) => !ok);
  assert.deepEqual(
    failed.map(({ id, actual }: { id: string; actual: string }) => [id, actual]),
    [["tls-key", await hashPublicKey(attacker.publicKeySpki)]],
  );
  const lines = (await project.run(["verify", relay.url, "--allow-simulated"])).stdout;
  assert.match(lines, /^✗ +tls-key +expected sha256:[0-9a-f]{64}, got sha256:[0-9a-f]{64}$/m);

  const refused = await project.run(request);
  assert.equal(refused.exitCode, 10);
  assert.equal(refused.stdout, "");
  assert.match(refused.stderr, /^polaris: error: endpoint is not the expected one: tls-key$/m);
  assert.equal(relay.read().match(/GET \/polaris-container\/attestation/g)?.length, 3);
  assert.doesNotMatch(relay.read(), /POST|polaris-secure|planted secret/);

  // Whoever wants no verification gets none, of the TLS key neither.
  const insecure = await project.run([...request, "--insecure-no-verify"]);
  assert.deepEqual([insecure.exitCode, insecure.stdout], [0, "planted secret"]);

  // And is told before anything is sent: this endpoint answers once the warning is there.
  const warned = Promise.withResolvers<void>();
  const slow = createServer(tlsServerOptions(attacker), (_request, response) => {
    void warned.promise.then(() => response.writeHead(404).end());
  }).listen(0, "127.0.0.1");
  await once(slow, "listening");
  t.after(() => slow.close().closeAllConnections());
  const { port: slowPort } = slow.address() as AddressInfo;
  const asking = project.start(["request", "GET", `https://127.0.0.1:${slowPort}/`, "--insecure-no-verify"]);
  await asking.output(/warning: INSECURE: the key is not verified/);
  warned.resolve();
  const { exitCode, stderr } = await asking.finished;
  assert.equal(exitCode, 10);
  assert.match(stderr, /^polaris: warning: INSECURE: .*\npolaris: error: .* instead of a public key\n/);
});
