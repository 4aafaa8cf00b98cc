import assert from "node:assert/strict";
import { test } from "node:test";
import { parseProxyEnvironment } from "@polaris-cvm/proxy/environment";
import type { ImageWorkload } from "../../plan.ts";
import { sampleImage, sampleImagePlan } from "../../testing/sample-image.ts";
import { samplePaths, sampleState } from "../../testing/sample-stack.ts";
import { planContainers } from "./container-plan.ts";
import type { ContainerChoices, ContainerConfigs } from "./container-plan.ts";
import { chooseContainerUser } from "./container-user.ts";
import { createArguments } from "./create-arguments.ts";
import { checkContainers } from "./stack-containers.ts";

const PROXY_IMAGE = `sha256:${"9d".repeat(32)}`;

const CHOICES: ContainerChoices = {
  engine: "docker",
  proxyImage: PROXY_IMAGE,
  proxyUser: null,
  secretNames: ["API_KEY"],
};

function containersOf(
  lines = "",
  image: Partial<ImageWorkload> = {},
  choices: Partial<ContainerChoices> = {},
): ContainerConfigs {
  return planContainers(sampleImagePlan(lines, image), samplePaths, sampleState, { ...CHOICES, ...choices });
}

/** The values that an option has in a command line. */
function valuesOf(args: readonly string[], option: string): string[] {
  return args.flatMap((arg, index) => (arg === option ? [args[index + 1] ?? ""] : []));
}

test("the workload is the image of the lock by its digest, with the lock's command, in the closed network alone", () => {
  const { workload } = containersOf();
  const args = createArguments(workload);
  const image = `registry.example:5000/acme/shop@${sampleImage.platformDigest}`;
  assert.deepEqual(args.slice(args.indexOf(image)), [image, "--serve", "a b"]);
  assert.deepEqual(valuesOf(args, "--entrypoint"), ["/bin/shop"]);
  assert.deepEqual(workload.networks, [`polaris-${samplePaths.containers.stackId}-inside`]);
  assert.deepEqual(valuesOf(args, "--network"), workload.networks);
  assert.deepEqual(valuesOf(args, "--network-alias"), ["workload"]);
  // No resolver of the host (CVE-2024-29018).
  assert.deepEqual(valuesOf(args, "--dns"), ["127.0.0.1"]);
  for (const option of ["--publish", "--mount", "--user", "--read-only"])
    assert.ok(!args.includes(option), option);
});

test("the proxy is our image, read-only, published on loopback, and sees two folders without writing", () => {
  const { proxy } = containersOf();
  const args = createArguments(proxy);
  assert.equal(args.at(-1), PROXY_IMAGE);
  assert.ok(args.includes("--read-only"));
  assert.deepEqual(valuesOf(args, "--publish"), ["127.0.0.1:40003:3000"]);
  assert.deepEqual(valuesOf(args, "--mount"), [
    `type=bind,source=${samplePaths.containers.servicesDir},target=/run/polaris-local/services,readonly`,
    "type=bind,source=/home/someone/shop/.polaris/staging/token,target=/run/polaris-local/token,readonly",
  ]);
  assert.deepEqual(proxy.networks, [
    `polaris-${samplePaths.containers.stackId}-outside`,
    `polaris-${samplePaths.containers.stackId}-inside`,
  ]);
  assert.ok(!args.includes("--dns") && !args.includes("--entrypoint"));
});

test("both have no privileges, no restarts by the engine, and the labels that they are found by", () => {
  const { workload, proxy } = containersOf();
  for (const config of [workload, proxy]) {
    const args = createArguments(config);
    assert.deepEqual(valuesOf(args, "--cap-drop"), ["ALL"]);
    assert.deepEqual(valuesOf(args, "--security-opt"), ["no-new-privileges"]);
    assert.deepEqual(valuesOf(args, "--pull"), ["never"]);
    assert.deepEqual(valuesOf(args, "--label"), [
      `polaris.stack=${samplePaths.containers.stackId}`,
      `polaris.part=${config.part}`,
    ]);
    for (const option of ["--privileged", "--restart", "--cap-add"])
      assert.ok(!args.includes(option), option);
  }
});

test("the proxy speaks to the workload by its name, and to the local services by their sockets", () => {
  const { settings } = parseProxyEnvironment(containersOf().proxy.env);
  assert.equal(settings.workload.url, "http://workload:8000");
  assert.deepEqual([settings.host, settings.port], ["0.0.0.0", 3000]);
  assert.equal(settings.tokenAgentSocket, "/run/polaris-local/services/token-agent.sock");
  assert.ok(settings.key.kind === "google-federated");
  assert.equal(settings.key.localServicesSocket, "/run/polaris-local/services/trust.sock");
  assert.equal(settings.key.tokenFile, "/run/polaris-local/token/attestation-token");
  assert.equal(settings.key.stsUrl, "http://127.0.0.1:40001");
});

test("with an ephemeral key the proxy sees no token", () => {
  const { proxy } = containersOf("key: { kind: ephemeral }");
  assert.deepEqual(
    proxy.mounts.map(({ target }) => target),
    ["/run/polaris-local/services"],
  );
});

test("TLS files are copies in a folder of their own", () => {
  const { proxy } = containersOf("proxy: { tls: { certificate: a.pem, key: b.pem } }");
  assert.deepEqual(proxy.mounts.at(-1), {
    source: samplePaths.containers.tlsDir,
    target: "/run/polaris-local/tls",
    readOnly: true,
  });
  assert.deepEqual(parseProxyEnvironment(proxy.env).settings.tls, {
    mode: "files",
    certificateFile: "/run/polaris-local/tls/certificate.pem",
    keyFile: "/run/polaris-local/tls/key.pem",
  });
});

const PORTS: readonly [exposed: readonly string[], lines: string, port: number][] = [
  [[], "", 8080],
  [["8000/tcp"], "", 8000],
  [["8000"], "", 8000],
  [["53/udp", "9000/tcp"], "", 9000],
  [["8000/tcp", "9000/tcp"], "workload: { port: 9000 }", 9000],
  [["8000/tcp"], "workload: { port: 1234 }", 1234],
];

for (const [exposedPorts, lines, port] of PORTS) {
  test(`an image that exposes ${exposedPorts.join(" ") || "nothing"}, with "${lines}", has port ${port}, and is told so`, () => {
    const { workload, proxy } = containersOf(lines, { exposedPorts });
    assert.equal(parseProxyEnvironment(proxy.env).settings.workload.url, `http://workload:${port}`);
    assert.deepEqual([workload.env["HOST"], workload.env["PORT"]], ["0.0.0.0", String(port)]);
    assert.deepEqual(checkContainers(sampleImagePlan(lines, { exposedPorts })), []);
  });
}

test("several exposed ports without a choice are found before a deploy", () => {
  const findings = checkContainers(sampleImagePlan("", { exposedPorts: ["1/tcp", "2/tcp"] }));
  assert.deepEqual(
    findings.map(({ check }) => check),
    ["workload-port"],
  );
});

test("the key API is a socket in a folder that both have, the workload without writing", () => {
  const lines = "proxy: { workloadKeyApi: true }";
  const { workload, proxy } = containersOf(lines);
  const source = `${samplePaths.socketDir}/key-api`;
  const target = "/run/polaris/key-api";
  assert.deepEqual(valuesOf(createArguments(workload), "--mount"), [
    `type=bind,source=${source},target=${target},readonly`,
  ]);
  assert.equal(
    valuesOf(createArguments(proxy), "--mount").at(-1),
    `type=bind,source=${source},target=${target}`,
  );
  const { settings } = parseProxyEnvironment(proxy.env);
  assert.equal(settings.workloadKeyApiSocket, `${target}/key-api.sock`);
  assert.equal(settings.workloadKeyApiAccess, "mounted");
  assert.equal(workload.env["POLARIS_KEY_API_SOCKET"], settings.workloadKeyApiSocket);
  assert.deepEqual(checkContainers(sampleImagePlan(lines)), []);

  const off = containersOf();
  assert.ok(!JSON.stringify(off).includes(source) && !JSON.stringify(off.workload).includes("KEY_API"));
  assert.equal(off.proxy.env["POLARIS_PROXY_WORKLOAD_KEY_API_ACCESS"], "owner");
});

test("a secret is named, and its value is nowhere; one that engines take for themselves is refused", () => {
  const { workload, proxy } = containersOf();
  assert.ok(valuesOf(createArguments(workload), "--env").includes("API_KEY"));
  assert.ok(!JSON.stringify(proxy).includes("API_KEY"));
  for (const name of ["PATH", "HOME", "DOCKER_HOST", "LD_PRELOAD", "https_proxy", "POLARIS_LAUNCH_ID"]) {
    assert.throws(() => containersOf("", {}, { secretNames: ["API_KEY", name] }), {
      code: "CONFIG_INVALID",
      message: `a secret of a container cannot be called ${name}`,
    });
  }
});

test("root gives the proxy's group what it needs, and anybody else runs the proxy as himself", () => {
  assert.deepEqual(chooseContainerUser(0, 0), { user: null, group: 65_532 });
  assert.deepEqual(chooseContainerUser(1000, 100), { user: "1000:100", group: null });
  const { proxy } = containersOf("", {}, { proxyUser: "1000:100" });
  assert.deepEqual(valuesOf(createArguments(proxy), "--user"), ["1000:100"]);
});

test("a folder with a comma and a quote in its name stays one field of a mount", () => {
  const { proxy } = containersOf();
  const mounts = [{ source: '/a,b"c', target: "/x", readOnly: false }];
  assert.deepEqual(valuesOf(createArguments({ ...proxy, mounts }), "--mount"), [
    'type=bind,"source=/a,b""c",target=/x',
  ]);
});
