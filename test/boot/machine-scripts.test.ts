import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { chmod, mkdir, readFile, readdir, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import { SCRIPTS_MISSING, copyScripts, temporaryFolder } from "./boot-scripts.ts";

const run = promisify(execFile);

const ROOT_MISSING =
  SCRIPTS_MISSING || (process.getuid?.() === 0 ? false : "only root gives files to another group");

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function runScript(folder: string, name: string, ...args: readonly string[]): Promise<Outcome> {
  const path = `${folder}:${process.env["PATH"] ?? ""}`;
  const options = { env: { PATH: path }, timeout: 30_000 };
  try {
    const { stdout, stderr } = await run("/bin/bash", [join(folder, name), ...args], options);
    return { code: 0, stdout, stderr };
  } catch (error) {
    return error as Outcome;
  }
}

/** A release of the token tool, and a server that it is downloaded from. */
async function startRelease(t: TestContext): Promise<{
  readonly url: string;
  readonly sha256Hex: string;
  readonly requests: string[];
  failures: number;
}> {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, "gotpm"), "#!/bin/bash\necho the tool\n");
  await writeFile(join(folder, "README.md"), "not this");
  await run("tar", ["-czf", join(folder, "release.tar.gz"), "-C", folder, "README.md", "gotpm"]);
  const archive = await readFile(join(folder, "release.tar.gz"));
  const release = {
    url: "",
    sha256Hex: createHash("sha256").update(archive).digest("hex"),
    requests: [] as string[],
    failures: 0,
  };
  const server = createServer((request, response) => {
    release.requests.push(request.url ?? "");
    if (release.failures > 0) {
      release.failures -= 1;
      response.writeHead(503).end();
    } else if (request.url === "/release.tar.gz") response.writeHead(302, { location: "/elsewhere" }).end();
    else response.end(archive);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  release.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/release.tar.gz`;
  return release;
}

test("the pinned tool is downloaded, checked and can be started", { skip: SCRIPTS_MISSING }, async (t) => {
  const release = await startRelease(t);
  const folder = await copyScripts(t, {});
  const target = join(folder, "bin");
  const { code, stderr } = await runScript(
    folder,
    "install-token-tool.sh",
    release.url,
    release.sha256Hex,
    target,
  );
  assert.deepEqual([code, stderr], [0, ""]);
  assert.equal((await run(join(target, "gotpm"))).stdout, "the tool\n");
  assert.deepEqual(await readdir(target), ["gotpm"]);
  assert.equal((await stat(join(target, "gotpm"))).mode & 0o777, 0o500);
});

test(
  "a tool with another hash is never executable, and the one before stays",
  { skip: SCRIPTS_MISSING },
  async (t) => {
    const release = await startRelease(t);
    const folder = await copyScripts(t, {});
    const target = join(folder, "bin");
    const install = async (sha256Hex: string): Promise<Outcome> =>
      await runScript(folder, "install-token-tool.sh", release.url, sha256Hex, target);
    const wrong = await install("0".repeat(64));
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, new RegExp(`expected sha256 0{64}, got ${release.sha256Hex}`));
    assert.deepEqual(await readdir(target), []);

    assert.equal((await install(release.sha256Hex)).code, 0);
    const before = await stat(join(target, "gotpm"));
    assert.equal((await install("0".repeat(64))).code, 1);
    assert.deepEqual(await readdir(target), ["gotpm"]);
    assert.equal((await stat(join(target, "gotpm"))).ino, before.ino);
  },
);

test("a download that fails is tried again", { skip: SCRIPTS_MISSING }, async (t) => {
  const release = await startRelease(t);
  release.failures = 2;
  const folder = await copyScripts(t, {});
  const { code } = await runScript(
    folder,
    "install-token-tool.sh",
    release.url,
    release.sha256Hex,
    join(folder, "bin"),
  );
  assert.equal(code, 0);
  assert.deepEqual(release.requests, ["/release.tar.gz", "/release.tar.gz", "/release.tar.gz", "/elsewhere"]);
});

const PROVIDER =
  "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/provider";
const CLAIMS = { hwmodel: "GCP_AMD_SEV_SNP", secboot: true, note: "ünïcode" };
const TOKEN = `e30.${Buffer.from(JSON.stringify(CLAIMS)).toString("base64url")}.c2ln`;

/** Fails as often as `failures` says, then writes the token, and keeps its command line. */
const TOOL = `#!/bin/bash
here=$(dirname "$0")
echo "$*" >>"$here/calls"
while [ $# -gt 0 ]; do if [ "$1" = --output ]; then output=$2; fi; shift; done
left=$(cat "$here/failures")
if [ "$left" -gt 0 ]; then echo $((left - 1)) >"$here/failures"; exit 1; fi
cat "$here/token" >"$output"
`;

async function prepareRenewal(t: TestContext, failures: number) {
  const folder = await copyScripts(t, {
    gotpm: TOOL,
    sleep: '#!/bin/bash\necho "$1" >>"$(dirname "$0")/pauses"\n',
  });
  await mkdir(join(folder, "tokens"));
  await writeFile(join(folder, "token"), TOKEN);
  await writeFile(join(folder, "failures"), String(failures));
  const renew = async (): Promise<Outcome> =>
    await runScript(
      folder,
      "renew-machine-token.sh",
      join(folder, "gotpm"),
      "https://verifier.example",
      PROVIDER,
      join(folder, "tokens"),
      "65532",
    );
  return { folder, renew, tokenFile: join(folder, "tokens/attestation-token") };
}

test(
  "the machine's token is for the provider, whole in its file, and its claims are in the log",
  { skip: ROOT_MISSING },
  async (t) => {
    const { folder, renew, tokenFile } = await prepareRenewal(t, 0);
    const { code, stdout, stderr } = await renew();
    assert.deepEqual([code, stderr], [0, ""]);
    assert.equal(await readFile(tokenFile, "utf8"), TOKEN);
    const found = await stat(tokenFile);
    assert.deepEqual([found.uid, found.gid, found.mode & 0o777], [0, 65_532, 0o640]);
    assert.deepEqual(await readdir(join(folder, "tokens")), ["attestation-token"]);
    assert.match(
      stdout,
      /^polaris: attestation token with the claims \{"hwmodel":"GCP_AMD_SEV_SNP","secboot":true,[ -~]*\}\n$/,
    );
    assert.ok(!stdout.includes(TOKEN));
    const [call = ""] = (await readFile(join(folder, "calls"), "utf8")).split("\n");
    assert.ok(call.includes(`--audience ${PROVIDER} --output `), call);
    assert.ok(!call.includes("nonce"));
  },
);

test(
  "a renewal that fails is tried again with longer pauses, and leaves the token that is there",
  { skip: ROOT_MISSING },
  async (t) => {
    const { folder, renew, tokenFile } = await prepareRenewal(t, 2);
    assert.equal((await renew()).code, 0);
    assert.equal(await readFile(join(folder, "pauses"), "utf8"), "1\n2\n");

    const before = await stat(tokenFile);
    await writeFile(join(folder, "failures"), "100");
    const { code, stderr } = await renew();
    assert.equal(code, 1);
    assert.match(stderr, /^polaris: the machine got no attestation token$/m);
    assert.equal(await readFile(tokenFile, "utf8"), TOKEN);
    assert.equal((await stat(tokenFile)).ino, before.ino);
    assert.deepEqual(await readdir(join(folder, "tokens")), ["attestation-token"]);
  },
);

test(
  "a new token is another file under the same name: nobody reads half of one",
  { skip: ROOT_MISSING },
  async (t) => {
    const { renew, tokenFile } = await prepareRenewal(t, 0);
    await renew();
    const before = await stat(tokenFile);
    await renew();
    assert.notEqual((await stat(tokenFile)).ino, before.ino);
  },
);

test("what is no token does not get into the file", { skip: ROOT_MISSING }, async (t) => {
  const { folder, renew } = await prepareRenewal(t, 0);
  for (const text of ["", "a.b", "a.b.c\n<html>", "a.b.c d"]) {
    await writeFile(join(folder, "token"), text);
    assert.equal((await renew()).code, 1, text);
    assert.deepEqual(await readdir(join(folder, "tokens")), []);
  }
});

const NETWORK_MISSING = await run("unshare", ["--net", "iptables", "-w", "-S"]).then(
  () => false as const,
  () => "no packet filter of a test's own (iptables in a network namespace) can be had here",
);

test(
  "containers reach nothing of the metadata server but its answers to questions of names",
  { skip: SCRIPTS_MISSING || NETWORK_MISSING },
  async (t) => {
    const folder = await copyScripts(t, {});
    const script = join(folder, "block-metadata.sh");
    const text = await readFile(script, "utf8");
    await chmod(script, 0o700);
    await writeFile(script, text.replaceAll("/run/polaris", folder));
    const commands = [
      // As Docker does when it starts.
      "iptables -w -N DOCKER-USER",
      "iptables -w -A DOCKER-USER -j RETURN",
      `bash ${script}`,
      `bash ${script}`,
      "iptables -w -S DOCKER-USER",
    ];
    const { stdout } = await run("unshare", ["--net", "bash", "-euc", commands.join("\n")]);
    assert.deepEqual(stdout.trimEnd().split("\n"), [
      "-N DOCKER-USER",
      "-A DOCKER-USER -d 169.254.169.254/32 -p tcp -m tcp --dport 53 -j RETURN",
      "-A DOCKER-USER -d 169.254.169.254/32 -p udp -m udp --dport 53 -j RETURN",
      "-A DOCKER-USER -d 169.254.0.0/16 -j DROP",
      "-A DOCKER-USER -j RETURN",
    ]);
  },
);

/** Programs that stand for Docker and systemd: what they are asked for is written down. */
const DOCKER = `#!/bin/bash\ncat "$(dirname "$0")/running"\n`;
const SYSTEMCTL = `#!/bin/bash\necho "$*" >>"$(dirname "$0")/systemctl-calls"\n`;

async function watch(
  t: TestContext,
  running: string,
  url: string,
): Promise<{ restarts: string; code: number }> {
  const folder = await copyScripts(t, { docker: DOCKER, systemctl: SYSTEMCTL, sleep: "#!/bin/bash\n" });
  await writeFile(join(folder, "running"), running);
  const { code } = await runScript(folder, "watch-proxy.sh", "polaris-proxy", "polaris-proxy.service", url);
  return { code, restarts: await readFile(join(folder, "systemctl-calls"), "utf8").catch(() => "") };
}

test(
  "a proxy that answers nothing is started again; one that is not there yet, or says anything, is not",
  { skip: SCRIPTS_MISSING },
  async (t) => {
    const server = createServer((_request, response) => response.writeHead(503).end()).listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/polaris-container/health`;
    assert.deepEqual(await watch(t, "true", url), { code: 0, restarts: "" });
    server.close();
    await once(server, "close");
    assert.deepEqual(await watch(t, "true", url), { code: 0, restarts: "restart polaris-proxy.service\n" });
    assert.deepEqual(await watch(t, "false", url), { code: 0, restarts: "" });
    assert.deepEqual(await watch(t, "", url), { code: 0, restarts: "" });
  },
);
