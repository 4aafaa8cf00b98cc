import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import { PolarisError } from "@polaris-cvm/sdk/errors";

import { formatCanonicalJson } from "./canonical-json.ts";
import { createStackLock, updateStackLock } from "./create.ts";
import { loadLockFile, parseLockFile, saveLockFile } from "./file.ts";
import type { DeployedStack, LockFile } from "./schema.ts";

const SHA256 = `sha256:${"0123456789abcdef".repeat(4)}`;

const STACK = updateStackLock(
  createStackLock({ name: "hello", stack: "dev", target: "local", random: () => 0 }),
  {
    workload: { kind: "process", run: ["node", "server.js"], files: { sha256: SHA256, count: 1 } },
    condition: 'assertion.swname == "POLARIS_SIMULATED"',
  },
);

const DEPLOYED: DeployedStack = {
  target: "local",
  endpoint: "http://127.0.0.1:3000",
  encryption: { requests: "required", responses: "optional" },
  tls: "attested",
  onDestroy: "keep",
  publicKeyFingerprint: SHA256,
  keyVersion: "projects/p/locations/local/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1",
  instanceId: STACK.instanceId,
  issuer: "http://127.0.0.1:4000/issuer",
  jwks: { keys: [{ kty: "RSA", n: "AQAB", e: "AQAB", kid: "1", alg: "RS256", use: "sig" }] },
  workload: SHA256,
  deployedAt: "2026-01-02T03:04:05.678Z",
};

const LOCK: LockFile = { version: 1, name: "hello", stacks: { dev: STACK }, deployed: { dev: DEPLOYED } };
const TEXT = formatCanonicalJson(LOCK);

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "polaris-lock-"));
});
after(async () => {
  await rm(folder, { recursive: true, force: true });
});

test("writes a lock and reads the same one, frozen", async () => {
  const path = join(folder, "polaris.lock");
  await saveLockFile(path, LOCK);
  const read = await loadLockFile(path);
  assert.deepEqual(read, LOCK);
  assert.ok(read !== undefined);
  assert.throws(() => Object.assign(read.stacks, { other: STACK }), TypeError);
  assert.equal((await stat(path)).mode & 0o777, 0o644 & ~process.umask());
  assert.deepEqual(await readdir(folder), ["polaris.lock"]);
});

test("takes a key that no control plane knows", () => {
  const ephemeral = {
    ...LOCK,
    deployed: { dev: { ...DEPLOYED, publicKeyFingerprint: null, keyVersion: null } },
  };
  assert.deepEqual(parseLockFile(formatCanonicalJson(ephemeral), "polaris.lock"), ephemeral);
});

test("reads a lock of before TLS as without a TLS key of the evidence, and writes that out", async () => {
  const { tls: _, ...older } = DEPLOYED;
  const other = { ...DEPLOYED, endpoint: "https://127.0.0.1:3001" };
  const text = formatCanonicalJson({ ...LOCK, deployed: { dev: older, other } });
  const read = parseLockFile(text, "polaris.lock");
  assert.deepEqual(read, { ...LOCK, deployed: { dev: { ...older, tls: "unbound" }, other } });
  assert.throws(() => parseLockFile(text.replaceAll("  ", "\t"), "polaris.lock"), {
    code: "LOCK_FILE_CORRUPT",
    message: "polaris.lock is not as polaris wrote it: edited by hand, formatted, or a key twice",
  });
  const path = join(folder, "older.lock");
  await saveLockFile(path, read);
  assert.equal(await readFile(path, "utf8"), formatCanonicalJson(read));
});

test("gives nothing where there is no lock", async () => {
  assert.equal(await loadLockFile(join(folder, "none", "polaris.lock")), undefined);
});

test("writes the same bytes for the same lock, whatever the order of its keys", () => {
  const turned = { deployed: LOCK.deployed, stacks: LOCK.stacks, name: LOCK.name, version: 1 };
  assert.equal(formatCanonicalJson(turned), TEXT);
  assert.equal(
    formatCanonicalJson({ b: [2, 1], a: { d: 1, c: null } }),
    '{\n  "a": {\n    "c": null,\n    "d": 1\n  },\n  "b": [\n    2,\n    1\n  ]\n}\n',
  );
  assert.ok(
    TEXT.startsWith('{\n  "deployed": {\n    "dev": {\n      "deployedAt": "2026-01-02T03:04:05.678Z",\n'),
  );
  assert.ok(TEXT.endsWith("}\n") && !TEXT.endsWith("\n\n"));
});

test("takes a checkout with CR LF", () => {
  assert.deepEqual(parseLockFile(TEXT.replaceAll("\n", "\r\n"), "polaris.lock"), LOCK);
});

test("refuses what is not a lock as polaris writes it", () => {
  const edited = (edit: (lock: Record<string, never>) => unknown): string =>
    formatCanonicalJson(edit(structuredClone(LOCK) as unknown as Record<string, never>));
  const notLock = (where: string): string => `polaris.lock is not a lock of this version: wrong at ${where}`;
  const notCanonical = "polaris.lock is not as polaris wrote it: edited by hand, formatted, or a key twice";
  const cases: readonly (readonly [string, string])[] = [
    ["", "polaris.lock is not JSON"],
    [TEXT.slice(0, 300), "polaris.lock is not JSON"],
    [`<<<<<<< HEAD\n${TEXT}`, "polaris.lock holds the marks of an unfinished merge"],
    ["[]\n", notLock("the top level")],
    [edited((lock) => ({ ...lock, version: 2 })), notLock("version")],
    [edited((lock) => ({ ...lock, extra: 1 })), notLock("the top level")],
    [edited((lock) => ({ ...lock, name: "No" })), notLock("name")],
    [edited((lock) => ({ ...lock, stacks: { Dev: STACK } })), notLock("stacks.Dev")],
    [
      edited((lock) => ({ ...lock, stacks: { dev: { ...STACK, suffix: "1aaaaa" } } })),
      notLock("stacks.dev.suffix"),
    ],
    [
      edited((lock) => ({ ...lock, stacks: { dev: { ...STACK, projectNumber: "012345678901" } } })),
      notLock("stacks.dev.projectNumber"),
    ],
    [
      edited((lock) => ({ ...lock, stacks: { dev: { ...STACK, instanceId: "1" } } })),
      notLock("stacks.dev.instanceId"),
    ],
    [
      edited((lock) => ({ ...lock, deployed: { dev: { ...DEPLOYED, publicKeyFingerprint: "sha256:00" } } })),
      notLock("deployed.dev.publicKeyFingerprint"),
    ],
    [
      edited((lock) => ({ ...lock, deployed: { dev: { ...DEPLOYED, endpoint: "file:///etc/passwd" } } })),
      notLock("deployed.dev.endpoint"),
    ],
    [
      edited((lock) => ({ ...lock, deployed: { dev: { ...DEPLOYED, tls: "off" } } })),
      notLock("deployed.dev.tls"),
    ],
    [
      edited((lock) => ({ ...lock, deployed: { dev: { ...DEPLOYED, jwks: { keys: [] } } } })),
      notLock("deployed.dev.jwks.keys"),
    ],
    [JSON.stringify(LOCK), notCanonical],
    [TEXT.trimEnd(), notCanonical],
    [TEXT.replaceAll("  ", "\t"), notCanonical],
    [TEXT.replace('  "name": "hello",\n', '  "name": "other",\n  "name": "hello",\n'), notCanonical],
    [TEXT.replace('  "stacks": {\n', '  "stacks": {\n    "__proto__": {},\n'), notCanonical],
  ];
  for (const [text, message] of cases) {
    assert.throws(
      () => parseLockFile(text, "polaris.lock"),
      (error: unknown) => {
        assert.ok(error instanceof PolarisError);
        assert.equal(error.code, "LOCK_FILE_CORRUPT");
        assert.equal(error.message, message);
        assert.match(error.hint ?? "", /^take it from version control again/);
        return true;
      },
      message,
    );
  }
});

test("takes an image only if its digests can be those of its reference", () => {
  const [a, b] = ["a", "b"].map((digit) => `sha256:${digit.repeat(64)}`) as [string, string];
  const INDEX = "application/vnd.oci.image.index.v1+json";
  const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
  const DOCKER = "application/vnd.docker.distribution.manifest.v2+json";
  const image = {
    reference: "docker.io/acme/app:1",
    digest: a,
    mediaType: MANIFEST,
    platformDigest: a,
    platformMediaType: MANIFEST,
  };
  const cases: readonly (readonly [Partial<typeof image>, string | undefined])[] = [
    [{}, undefined],
    [{ mediaType: INDEX, platformDigest: b }, undefined],
    [{ reference: `docker.io/acme/app@${a}` }, undefined],
    [{ reference: `docker.io/acme/app:1@${a}`, mediaType: INDEX, platformDigest: b }, undefined],
    [{ reference: `docker.io/acme/app@${a}`, digest: b, platformDigest: b }, "digest"],
    [{ reference: `docker.io/acme/app@${b}`, mediaType: INDEX, platformDigest: b }, "digest"],
    [{ platformDigest: b }, "digest"],
    [{ platformMediaType: DOCKER }, "digest"],
    [{ mediaType: INDEX }, "digest"],
    [{ mediaType: "application/json" }, "mediaType"],
    [{ mediaType: INDEX, platformDigest: b, platformMediaType: INDEX }, "platformMediaType"],
    [{ reference: "docker.io/acme/app@sha256:a" }, "reference"],
  ];
  const config = { entrypoint: [], cmd: [], env: [], user: "", workingDir: "", exposedPorts: [] };
  for (const [change, wrong] of cases) {
    const changed = { ...image, ...change };
    const stack = { ...STACK, workload: { kind: "image", ...changed, config } };
    const files = [
      [{ ...LOCK, stacks: { dev: stack } }, "stacks.dev.workload"],
      [{ ...LOCK, pins: { base: changed } }, "pins.base"],
    ] as const;
    for (const [file, where] of files) {
      const parse = (): LockFile => parseLockFile(formatCanonicalJson(file), "polaris.lock");
      if (wrong === undefined) {
        assert.deepEqual(parse(), file);
        continue;
      }
      assert.throws(parse, {
        code: "LOCK_FILE_CORRUPT",
        message: `polaris.lock is not a lock of this version: wrong at ${where}.${wrong}`,
      });
    }
  }
});

test("takes the image of a proxy only beside an image, and only as one image", () => {
  const [a, b] = ["a", "b"].map((digit) => `sha256:${digit.repeat(64)}`) as [string, string];
  const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
  const config = { entrypoint: [], cmd: [], env: [], user: "", workingDir: "", exposedPorts: [] };
  const digests = { digest: a, mediaType: MANIFEST, platformDigest: a, platformMediaType: MANIFEST };
  const workload = { kind: "image", reference: "docker.io/acme/app:1", ...digests, config };
  const proxy = { version: "0.1.0", base: b, layer: b, ...digests, config };
  const cases: readonly (readonly [object, string | undefined])[] = [
    [{ ...STACK, workload, proxy }, undefined],
    [{ ...STACK, workload }, undefined],
    [{ ...STACK, proxy }, "proxy"],
    [{ ...STACK, workload, proxy: { ...proxy, platformDigest: b } }, "proxy.digest"],
    [{ ...STACK, workload, proxy: { ...proxy, version: "" } }, "proxy.version"],
    [{ ...STACK, workload, proxy: { ...proxy, base: "a" } }, "proxy.base"],
    [{ ...STACK, workload, proxy: { ...proxy, reference: "a" } }, "proxy"],
  ];
  for (const [stack, wrong] of cases) {
    const file = { ...LOCK, stacks: { dev: stack } };
    const parse = (): LockFile => parseLockFile(formatCanonicalJson(file), "polaris.lock");
    if (wrong === undefined) {
      assert.deepEqual(parse(), file);
      continue;
    }
    assert.throws(parse, {
      code: "LOCK_FILE_CORRUPT",
      message: `polaris.lock is not a lock of this version: wrong at stacks.dev.${wrong}`,
    });
  }
});

test("never writes a private key of an issuer, nor anything else that it would refuse to read", async () => {
  const path = join(folder, "private.lock");
  const jwks = { keys: [{ ...DEPLOYED.jwks.keys[0]!, d: "c2VjcmV0" }] };
  await assert.rejects(saveLockFile(path, { ...LOCK, deployed: { dev: { ...DEPLOYED, jwks } } }), {
    code: "INTERNAL",
  });
  await assert.rejects(saveLockFile(path, { ...LOCK, name: "No" }), { code: "INTERNAL" });
  assert.ok(!(await readdir(folder)).includes("private.lock"));
});

test("refuses a lock that cannot be read", async () => {
  const path = join(folder, "folder.lock");
  await mkdir(path);
  await assert.rejects(loadLockFile(path), {
    code: "LOCK_FILE_CORRUPT",
    message: `${path} cannot be read (EISDIR)`,
  });
});

test("says which path cannot be written, and leaves no temporary file", async () => {
  const taken = join(folder, "taken.lock");
  await mkdir(taken);
  await writeFile(join(taken, "content"), "");
  await assert.rejects(saveLockFile(taken, LOCK), { code: "STATE_UNWRITABLE", message: /taken\.lock/ });
  await assert.rejects(saveLockFile(join(folder, "nowhere", "polaris.lock"), LOCK), {
    code: "STATE_UNWRITABLE",
    message: /nowhere\/polaris\.lock/,
  });
  assert.deepEqual(
    (await readdir(folder)).filter((name) => name.endsWith(".tmp")),
    [],
  );
});

test("keeps the old lock when the disk is full", async (context) => {
  const disk = join(folder, "disk");
  await mkdir(disk);
  const run = promisify(execFile);
  try {
    await run("mount", ["-t", "tmpfs", "-o", "size=8k", "tmpfs", disk]);
  } catch {
    context.skip("no right to mount a small file system");
    return;
  }
  try {
    const path = join(disk, "polaris.lock");
    const small: LockFile = { version: 1, name: "hello", stacks: {}, deployed: {} };
    await saveLockFile(path, small);
    const large = {
      ...LOCK,
      stacks: { dev: updateStackLock(STACK, { workload: STACK.workload, condition: "x".repeat(60_000) }) },
    };
    await assert.rejects(saveLockFile(path, large), {
      code: "STATE_UNWRITABLE",
      details: { path, errno: "ENOSPC" },
    });
    assert.deepEqual(JSON.parse(await readFile(path, "utf8")), small);
    assert.deepEqual(await readdir(disk), ["polaris.lock"]);
  } finally {
    await run("umount", [disk]);
  }
});
