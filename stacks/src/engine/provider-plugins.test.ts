import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { EngineExit } from "./engine-command.ts";
import { ensurePlugins, parsePluginMirror } from "./provider-plugins.ts";
import type { PluginPlace } from "./provider-plugins.ts";
import { findTestEngine, skipWithout, startTestMachine } from "./testing/test-part.ts";

const PLUGIN = { name: "probe", version: "1.2.3" };
const NEVER = new AbortController().signal;

async function makeFolder(t: TestContext): Promise<string> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), "polaris-plugins-")));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function putProgram(path: string): Promise<void> {
  await mkdir(join(path, ".."), { recursive: true });
  await writeFile(path, "#!/bin/sh\n");
  await chmod(path, 0o755);
}

function placeOf(folder: string, install: PluginPlace["install"]): PluginPlace {
  return { pulumiHome: join(folder, "home"), searchPath: join(folder, "path"), install };
}

const mustNotInstall: PluginPlace["install"] = () => Promise.reject(new Error("nothing is to be installed"));

test("a plugin that is there, in pulumi's folder or in PATH, is not installed again", async (t) => {
  for (const path of [
    "home/plugins/resource-probe-v1.2.3/pulumi-resource-probe",
    "path/pulumi-resource-probe",
  ]) {
    const folder = await makeFolder(t);
    await putProgram(join(folder, path));
    const place = placeOf(folder, mustNotInstall);
    await ensurePlugins([PLUGIN], { offline: true }, place, NEVER, () => assert.fail(path));
  }
});

test("another version, and half an installation, are no plugin", async (t) => {
  for (const paths of [
    ["home/plugins/resource-probe-v1.2.4/pulumi-resource-probe"],
    ["home/plugins/resource-probe-v1.2.3/README"],
    [
      "home/plugins/resource-probe-v1.2.3/pulumi-resource-probe",
      "home/plugins/resource-probe-v1.2.3.partial",
    ],
  ]) {
    const folder = await makeFolder(t);
    for (const path of paths) await putProgram(join(folder, path));
    await assert.rejects(
      ensurePlugins([PLUGIN], { offline: true }, placeOf(folder, mustNotInstall), NEVER, () => {}),
      (error: unknown) => {
        assert.ok(error instanceof PolarisError);
        assert.equal(error.code, "PLUGIN_UNAVAILABLE");
        assert.match(error.message, /probe 1\.2\.3 is not installed, and nothing may be downloaded/);
        assert.match(error.hint ?? "", /mirror.*pulumi plugin install resource probe 1\.2\.3/);
        return true;
      },
    );
  }
});

test("a mirror is reached over TLS or on this machine, without credentials", () => {
  for (const text of ["https://mirror.example/pulumi", "http://127.0.0.1:8080", "http://localhost/plugins"]) {
    assert.equal(parsePluginMirror(text), text);
  }
  for (const text of [
    "",
    "mirror.example",
    "http://mirror.example",
    "file:///plugins",
    "https://me:pw@mirror.example",
  ]) {
    assert.throws(
      () => parsePluginMirror(text),
      (error: unknown) => error instanceof PolarisError && error.code === "CONFIG_INVALID",
      text,
    );
  }
});

test("cancelling ends the wait between two attempts", async (t) => {
  const abort = new AbortController();
  const place = placeOf(await makeFolder(t), async () => {
    throw new Error("busy");
  });
  await assert.rejects(
    ensurePlugins([PLUGIN], { offline: false }, place, abort.signal, ({ phase }) => {
      if (phase === "retrying") abort.abort();
    }),
    (error: unknown) => error instanceof PolarisError && error.code === "CANCELLED",
  );
});

const engine = await findTestEngine(process.env);

test(
  "a plugin is downloaded from the mirror, again if the mirror is busy, and then it is there",
  { skip: skipWithout(engine), timeout: 60_000 },
  async (t) => {
    const machine = await startTestMachine(t, engine);
    const folder = await makeFolder(t);
    await putProgram(join(folder, "pulumi-resource-probe"));
    const archive = join(folder, "plugin.tar.gz");
    assert.equal(spawnSync("tar", ["-czf", archive, "-C", folder, "pulumi-resource-probe"]).status, 0);
    const content = await readFile(archive);
    const requests: string[] = [];
    let isBusy = true;
    const server = createServer((request, response) => {
      requests.push(request.url ?? "");
      // 404 is the one answer that the engine does not try again by itself.
      const body = isBusy ? Buffer.of() : content;
      response.writeHead(isBusy ? 404 : 200, { "content-length": body.length }).end(body);
      isBusy = false;
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    t.after(() => server.close());
    const mirror = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

    const phases: string[] = [];
    const open = (): Promise<unknown> =>
      machine.open(
        {},
        {
          environment: { PATH: "/usr/bin:/bin", HOME: machine.directory },
          plugins: [PLUGIN],
          pluginSource: { offline: false, mirror },
          onPluginProgress: ({ phase, plugin }) => phases.push(`${phase} ${plugin.name} ${plugin.version}`),
        },
      );
    await open();
    assert.deepEqual(phases, ["installing probe 1.2.3", "retrying probe 1.2.3", "installed probe 1.2.3"]);
    assert.match(requests.at(-1) ?? "", /pulumi-resource-probe-v1\.2\.3-.*\.tar\.gz$/);
    const count = requests.length;
    await open();
    assert.equal(requests.length, count);

    await assert.rejects(
      ensurePlugins(
        [{ name: "probe", version: "9.9.9" }],
        { offline: false },
        placeOf(folder, () =>
          Promise.reject(
            new EngineExit("plugin", {
              stdout: "",
              stderr:
                "[resource plugin probe-9.9.9] installing\nerror: [resource plugin probe-9.9.9] downloading: failed to download plugin: probe-9.9.9: 403 HTTP error fetching plugin\n",
              exitCode: 255,
            }),
          ),
        ),
        NEVER,
        () => {},
      ),
      (error: unknown) => {
        assert.ok(error instanceof PolarisError);
        assert.equal(
          error.message,
          "the provider plugin probe 9.9.9 cannot be had from GitHub or get.pulumi.com: 403 HTTP error fetching plugin",
        );
        return true;
      },
    );
  },
);
