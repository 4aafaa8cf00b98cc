/** What registries, credential helpers and disks can do to `polaris image`: each end has its code, its hint and no secret. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmod, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import type { ErrorCode } from "@polaris-cvm/sdk/errors";
import { writeLayout } from "../../images/src/layout.ts";
import { DOCKER_MANIFEST, OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST } from "../../images/src/manifest.ts";
import { startHostileRegistry } from "../../images/testing/hostile-registry.ts";
import type { AnswerRequest, HostileRegistry } from "../../images/testing/hostile-registry.ts";
import { startConnectProxy } from "../../images/testing/connect-proxy.ts";
import { MemoryRegistry } from "../../images/testing/memory-registry.ts";
import { assertNoSecret } from "../../images/testing/planted-secrets.ts";
import { ACCOUNT } from "../../images/testing/registry-fixture.ts";
import { createSmallBase } from "../../images/testing/small-base.ts";
import { createTestAuthority } from "../../stacks/src/testing/certificates.ts";
import { startPolaris } from "../polaris-process.ts";
import type { JsonDocument } from "../polaris-process.ts";

const BASIC = `Basic ${Buffer.from(`${ACCOUNT.username}:${ACCOUNT.password}`).toString("base64")}`;

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "polaris-refusals-"));
  await writeLayout(createSmallBase(), join(folder, "base"), { signal: AbortSignal.timeout(5_000) });
});
after(() => rm(folder, { recursive: true }));

/** A command line, and what it needs to be there. */
interface Situation {
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** What has to hold at the end, besides. */
  readonly check?: () => void | Promise<void>;
}

interface Refused {
  readonly name: string;
  readonly arrange: (t: TestContext) => Promise<Situation | { readonly skip: string }>;
  readonly exitCode: number;
  readonly code: ErrorCode;
  readonly message: RegExp;
  readonly hint: RegExp;
}

/** A registry that wants a login, and whose answers to it are the test's. */
async function startServer(t: TestContext, answer: AnswerRequest): Promise<HostileRegistry> {
  const server = await startHostileRegistry((request, response, seen) => {
    if (seen.authorization === BASIC) return answer(request, response, seen);
    response.writeHead(401, { "www-authenticate": 'Basic realm="registry"' }).end();
  });
  t.after(() => server.stop());
  return server;
}

const loginFor = ({ host }: { readonly host: string }): Record<string, string> => ({
  POLARIS_REGISTRY: host,
  POLARIS_REGISTRY_USERNAME: ACCOUNT.username,
  POLARIS_REGISTRY_PASSWORD: ACCOUNT.password,
});

/** Whatever is asked of it gets this answer, which repeats the login wherever it can. */
function answersWith(status: number, headers: Readonly<Record<string, string>> = {}): Refused["arrange"] {
  return async (t) => {
    const server = await startServer(t, (_request, response) => {
      response.writeHead(status, ACCOUNT.password, {
        ...headers,
        "x-echo": BASIC,
        "content-type": "application/json",
      });
      response.end(JSON.stringify({ errors: [{ code: ACCOUNT.password, message: BASIC }] }));
    });
    return { args: ["digest", `${server.host}/team/app:1`], env: loginFor(server) };
  };
}

async function startMemoryRegistry(t: TestContext): Promise<MemoryRegistry> {
  const registry = await MemoryRegistry.start();
  t.after(() => registry[Symbol.asyncDispose]());
  return registry;
}

/** A registry with one image, of which something is wrong. */
function hasImage(
  wrong: { readonly architecture?: string; readonly config?: object; readonly layer?: object },
  command = "digest",
): Refused["arrange"] {
  return async (t) => {
    const registry = await startMemoryRegistry(t);
    const document = {
      os: "linux",
      architecture: wrong.architecture ?? "amd64",
      rootfs: { type: "layers", diff_ids: [`sha256:${"d".repeat(64)}`] },
    };
    const config = registry.addBlob("app", Buffer.from(JSON.stringify(document)), OCI_CONFIG);
    const layer = registry.addBlob("app", Buffer.from("layer"), OCI_LAYER_GZIP);
    registry.addManifest(
      "app",
      { schemaVersion: 2, config: { ...config, ...wrong.config }, layers: [{ ...layer, ...wrong.layer }] },
      OCI_MANIFEST,
      "1",
    );
    return { args: [command, `${registry.host}/app:1`] };
  };
}

/** A registry at which nobody is logged in by a variable, but by a program. */
function asksHelper(script: string): Refused["arrange"] {
  return async (t) => {
    const server = await startServer(t, () => assert.fail("there is no login"));
    const place = await mkdtemp(join(folder, "helper-"));
    await writeFile(join(place, "docker-credential-test"), `#!/bin/sh\n${script}\n`);
    await chmod(join(place, "docker-credential-test"), 0o755);
    await writeFile(join(place, "config.json"), JSON.stringify({ credsStore: "test" }));
    return {
      args: ["digest", `${server.host}/team/app:1`],
      env: { DOCKER_CONFIG: place, PATH: `${place}:${process.env["PATH"] ?? ""}` },
    };
  };
}

/** A disk of 64 KiB, which the image of the proxy is larger than. */
function writesToFullDisk(kind: "layout" | "docker-archive"): Refused["arrange"] {
  return async (t) => {
    const disk = await mkdtemp(join(folder, "disk-"));
    const run = promisify(execFile);
    try {
      await run("mount", ["-t", "tmpfs", "-o", "size=64k", "polaris-test", disk]);
    } catch {
      return { skip: "needs the right to mount a small file system" };
    }
    t.after(() => run("umount", [disk]));
    return {
      args: ["build", "--base", "base", "--output", kind, "--to", join(disk, "image")],
      check: async () => assert.deepEqual(await readdir(disk), []),
    };
  };
}

const REFUSED: readonly Refused[] = [
  // The longest comes first, beside all the others.
  {
    name: "a credential helper that hangs",
    arrange: asksHelper(`echo ${ACCOUNT.password}; sleep 60`),
    exitCode: 3,
    code: "CREDENTIAL_HELPER_FAILED",
    message: /^docker-credential-test did not answer within 10 s$/,
    hint: /config\.json/,
  },
  {
    name: "a host that nobody knows",
    arrange: async () => ({ args: ["digest", "registry.invalid/team/app:1"] }),
    exitCode: 1,
    code: "REGISTRY_UNREACHABLE",
    message: /^cannot reach registry\.invalid: /,
    hint: /check/,
  },
  {
    name: "401 to a stranger",
    arrange: async (t) => {
      const server = await startServer(t, () => assert.fail("there is no login"));
      return { args: ["inspect", `${server.host}/team/app:1`] };
    },
    exitCode: 3,
    code: "REGISTRY_DENIED",
    message: /does not let us at 127\.0\.0\.1:\d+\/team\/app:1 \(status 401\)$/,
    hint: /^docker login 127\.0\.0\.1:\d+, or set POLARIS_REGISTRY/,
  },
  {
    name: "401 to a login",
    arrange: answersWith(401, { "www-authenticate": `Basic realm="${BASIC}"` }),
    exitCode: 3,
    code: "REGISTRY_DENIED",
    message: /\(status 401\)$/,
    hint: /^docker login/,
  },
  {
    name: "403",
    arrange: answersWith(403),
    exitCode: 3,
    code: "REGISTRY_DENIED",
    message: /forbids us .* \(status 403\)$/,
    hint: /give the account the right to it/,
  },
  {
    name: "404",
    arrange: answersWith(404),
    exitCode: 2,
    code: "IMAGE_NOT_FOUND",
    message: /does not have .* \(status 404\)$/,
    hint: /check the name and the tag/,
  },
  {
    name: "429 with a wait of an hour",
    arrange: answersWith(429, { "retry-after": "3600" }),
    exitCode: 1,
    code: "REGISTRY_RATE_LIMITED",
    message: /\(status 429\)$/,
    hint: /^it asks to wait for 60 min/,
  },
  {
    name: "other bytes than the digest says",
    arrange: async (t) => {
      const server = await startServer(t, (_request, response) => {
        response.writeHead(200, { "content-type": OCI_MANIFEST }).end(JSON.stringify({ schemaVersion: 2 }));
      });
      return {
        args: ["digest", `${server.host}/team/app@sha256:${"0".repeat(64)}`],
        env: loginFor(server),
      };
    },
    exitCode: 5,
    code: "IMAGE_DIGEST_MISMATCH",
    message: /expected digest sha256:0+, got sha256:/,
    hint: /do not use it/,
  },
  {
    name: "a configuration that is cut off",
    arrange: hasImage({ config: { size: 100_000 } }, "inspect"),
    exitCode: 5,
    code: "IMAGE_DIGEST_MISMATCH",
    message: /expected 100000 bytes, got only \d+$/,
    hint: /do not use it/,
  },
  {
    name: "an image for another architecture only",
    arrange: hasImage({ architecture: "arm64" }),
    exitCode: 2,
    code: "IMAGE_PLATFORM_MISSING",
    message: /no image for linux\/amd64, only for linux\/arm64$/,
    hint: /--platform linux\/amd64/,
  },
  {
    name: "a foreign layer",
    arrange: hasImage({ layer: { mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" } }),
    exitCode: 5,
    code: "IMAGE_INVALID",
    message: /layer sha256:\w+ is foreign/,
    hint: /all of its layers in its registry/,
  },
  {
    name: "a base with a foreign layer",
    arrange: async (t) => {
      const registry = await startMemoryRegistry(t);
      const config = registry.addBlob("base", Buffer.from("{}"), OCI_CONFIG);
      const layer = { ...config, mediaType: OCI_LAYER_GZIP, urls: ["https://elsewhere.test/layer"] };
      registry.addManifest("base", { schemaVersion: 2, config, layers: [layer] }, DOCKER_MANIFEST, "1");
      const base = `${registry.host}/base:1`;
      return {
        args: ["build", "--base", base, "--push", `${registry.host}/proxy:1`],
        check: () =>
          assert.deepEqual(
            registry.requests.filter((line) => !line.startsWith("GET ")),
            [],
          ),
      };
    },
    exitCode: 5,
    code: "IMAGE_INVALID",
    message: /layer sha256:\w+ is foreign/,
    hint: /all of its layers in its registry/,
  },
  {
    name: "a configuration of 10 GiB",
    arrange: hasImage({ config: { size: 10 * 1024 ** 3 } }, "inspect"),
    exitCode: 5,
    code: "IMAGE_TOO_LARGE",
    message: /configuration is announced with 10737418240 bytes/,
    hint: /check what was pushed/,
  },
  {
    name: "a redirect to another host that wants the login",
    arrange: async (t) => {
      const thief = await startHostileRegistry((_request, response) => {
        response.writeHead(401, { "www-authenticate": 'Basic realm="registry"' }).end();
      });
      t.after(() => thief.stop());
      const server = await startServer(t, (_request, response) => {
        response.writeHead(307, { location: `http://${thief.host}/blob` }).end();
      });
      return {
        args: ["digest", `${server.host}/team/app:1`],
        env: loginFor(server),
        check: () =>
          assert.deepEqual(thief.seen, [{ method: "GET", url: "/blob", authorization: undefined }]),
      };
    },
    exitCode: 3,
    code: "REGISTRY_DENIED",
    message: /\(status 401\)$/,
    hint: /docker login/,
  },
  {
    name: "a proxy that wants another login",
    arrange: async (t) => {
      const proxy = await startConnectProxy({ status: 407 });
      t.after(() => proxy.stop());
      const url = `http://${ACCOUNT.username}:${ACCOUNT.password}@${proxy.host}`;
      return { args: ["digest", "registry.invalid/team/app:1"], env: { HTTPS_PROXY: url } };
    },
    exitCode: 1,
    code: "REGISTRY_UNREACHABLE",
    message: /\(proxy status 407\)$/,
    hint: /NO_PROXY/,
  },
  {
    name: "a certificate that nobody vouches for",
    arrange: async (t) => {
      const { certificatePem, keyPem } = createTestAuthority().issue();
      const secure = await startHostileRegistry(() => assert.fail("TLS was to end this"), {
        cert: certificatePem,
        key: keyPem,
      });
      t.after(() => secure.stop());
      // A registry on this machine is spoken to without TLS, and may lead to one with it.
      const server = await startServer(t, (_request, response) => {
        response.writeHead(307, { location: `https://${secure.host}/` }).end();
      });
      return { args: ["digest", `${server.host}/team/app:1`], env: loginFor(server) };
    },
    exitCode: 1,
    code: "REGISTRY_UNREACHABLE",
    message: /the TLS connection failed \(UNABLE_TO_VERIFY_LEAF_SIGNATURE\)$/,
    hint: /NODE_EXTRA_CA_CERTS/,
  },
  {
    name: "a credential helper that fails",
    arrange: asksHelper(`echo ${ACCOUNT.password}; echo ${ACCOUNT.password} >&2; exit 3`),
    exitCode: 3,
    code: "CREDENTIAL_HELPER_FAILED",
    message: /^docker-credential-test ended with exit code 3$/,
    hint: /config\.json/,
  },
  {
    name: "a registry that refuses the push of a build",
    arrange: async (t) => {
      const server = await startServer(t, (_request, response) => void response.writeHead(403).end(BASIC));
      const push = ["build", "--base", "base", "--push", `${server.host}/team/proxy:1`];
      return { args: push, env: loginFor(server) };
    },
    exitCode: 3,
    code: "REGISTRY_DENIED",
    message: /forbids us blob sha256:\w+ of 127\.0\.0\.1:\d+\/team\/proxy \(status 403\)$/,
    hint: /give the account the right to it/,
  },
  ...(["layout", "docker-archive"] as const).map((kind): Refused => ({
    name: `a disk that is full while a ${kind} is written`,
    arrange: writesToFullDisk(kind),
    exitCode: 1,
    code: "STATE_UNWRITABLE",
    message: /^cannot write .*\/image: no space left on the disk$/,
    hint: /free some space/,
  })),
];

describe("polaris image", { concurrency: 4 }, () => {
  for (const { name, arrange, exitCode, code, message, hint } of REFUSED) {
    test(`${name} ends with ${code}, a way out and no secret`, { timeout: 60_000 }, async (t) => {
      const situation = await arrange(t);
      if ("skip" in situation) return t.skip(situation.skip);
      const dockerConfig = join(folder, "no-docker");
      const env = { DOCKER_CONFIG: dockerConfig, ...situation.env };
      const run = startPolaris(["image", ...situation.args, "--json"], folder, env);
      const { stdout, stderr, exitCode: actual } = await run.finished;
      assertNoSecret([stdout, stderr]);
      assert.equal(actual, exitCode, stdout + stderr);
      const { error, ok } = JSON.parse(stdout) as JsonDocument;
      assert.deepEqual([error?.exitCode, error?.code, ok], [exitCode, code, false], stdout);
      assert.match(error?.message ?? "", message);
      assert.match(error?.hint ?? "", hint);
      await situation.check?.();
    });
  }

  test(
    "Ctrl-C in the middle of a push leaves nothing that the next one trusts",
    { timeout: 60_000 },
    async (t) => {
      const registry = await startMemoryRegistry(t);
      const reference = `${registry.host}/proxy:1`;
      const push = ["image", "build", "--base", "base", "--push", reference, "--json"];
      const running = startPolaris(push, folder);
      let stopped = 0;
      registry.onRequest = (line) => {
        if (!line.startsWith("PUT ")) return;
        stopped += 1;
        // Several blobs are on their way at once, and a second Ctrl-C would be another thing.
        if (stopped === 1) running.child.kill("SIGINT");
        return new Promise(() => {});
      };
      const { exitCode, stdout, stderr } = await running.finished;
      assert.equal(exitCode, 8, stderr);
      assert.equal((JSON.parse(stdout) as JsonDocument).error?.code, "CANCELLED");
      assert.ok(stopped > 0);
      assert.deepEqual([[...registry.manifests.keys()], [...registry.blobs.keys()]], [[], []]);

      registry.onRequest = () => {};
      const second = await startPolaris(push, folder).finished;
      assert.equal(second.exitCode, 0, second.stderr);
      const { pushed, digest } = (JSON.parse(second.stdout) as JsonDocument).data;
      assert.deepEqual([pushed.uploaded, pushed.present], [3, 0]);
      const inspected = await startPolaris(["image", "digest", reference], folder).finished;
      assert.equal(inspected.stdout, `${digest}\n`);
    },
  );
});
