/**
 * What the machine does when it starts, as one cloud-config: the `user-data` of an instance of Container-Optimized OS. Values
 * of the user are in it in three places, each with one way of quoting: lines of an environment file, words of a unit's command
 * line, and JSON. The scripts are the same for everybody.
 *
 * Container-Optimized OS itself cannot be run in a test. What of it this relies on: `bash`, `curl`, `tar`, coreutils,
 * `flock`, `iptables`, `docker` and `docker-credential-gcr` are there; `/etc` and `/run` are in memory, and cloud-init therefore
 * runs all of this at every start; programs may be started from `/etc`.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { stringify } from "yaml";
import type { BootInputs } from "./boot-inputs.ts";
import { BOOT_TARGET, planUnits } from "./boot-units.ts";
import { checkBootInputs } from "./check-boot-inputs.ts";
import { splitEnvironment } from "./environment-file.ts";
import { formatUnitFile } from "./unit-file.ts";
import { PROXY_GROUP_ID, VM } from "./vm-paths.ts";

/** The longest value that the metadata of an instance may have. */
export const MAX_USER_DATA_BYTES = 256 * 1024;

/**
 * @returns printable ASCII and line feeds
 * @throws {PolarisError} CONFIG_INVALID with every problem of the inputs, or if it is longer than 256 KiB
 */
export function formatCloudConfig(boot: BootInputs): string {
  checkBootInputs(boot);
  const document = {
    // Before anything is listening: nobody logs in, and nothing changes the system while it runs.
    bootcmd: [["systemctl", "mask", "--now", "--no-block", ...MASKED]],
    write_files: planFiles(boot),
    runcmd: [
      ...FOLDERS.map(([path, mode, group]) => ["install", "-d", "-m", mode, "-g", String(group), path]),
      ["systemctl", "restart", "systemd-journald.service"],
      ["systemctl", "daemon-reload"],
      ["systemctl", "start", "--no-block", BOOT_TARGET],
    ],
  };
  // cloud-init reads YAML 1.1, where `0600` and `on` are no texts.
  const text = `#cloud-config\n${stringify(document, { version: "1.1", lineWidth: 0 })}`;
  const byteCount = Buffer.byteLength(text);
  if (byteCount > MAX_USER_DATA_BYTES) {
    throw new PolarisError(
      "CONFIG_INVALID",
      `what the machine is told at its start is ${byteCount} bytes long, expected at most ${MAX_USER_DATA_BYTES}`,
      { hint: "shorten workload.env and workload.args: large data belongs in the image" },
    );
  }
  return text;
}

/** What a plan shows of a cloud-config: `sha256:` and 64 hex digits. */
export function hashCloudConfig(cloudConfig: string): string {
  return `sha256:${createHash("sha256").update(cloudConfig).digest("hex")}`;
}

/** Those that a system does not have are masked all the same. */
const MASKED = ["sshd.service", "sshd.socket", "update-engine.service"];

/** Folders below `/run`: path, mode, group. */
const FOLDERS: readonly (readonly [path: string, mode: string, groupId: number])[] = [
  [VM.run, "0700", 0],
  [VM.home, "0700", 0],
  [VM.secrets, "0700", 0],
  [VM.agentState, "0700", 0],
  [VM.tokens, "0750", PROXY_GROUP_ID],
  [VM.agent, "0750", PROXY_GROUP_ID],
  // The proxy makes a socket in it, and whoever the workload is, it goes through.
  [VM.keyApi, "0771", PROXY_GROUP_ID],
];

/** One entry of `write_files`. */
interface CloudFile {
  readonly path: string;
  readonly permissions: string;
  readonly encoding?: "b64";
  readonly content: string;
}

function planFiles(boot: BootInputs): CloudFile[] {
  const environments = {
    proxy: splitEnvironment(boot.proxy.environment),
    workload: splitEnvironment(boot.workload.environment),
  };
  return [
    ...SCRIPTS.map((name) => formatFile(`${VM.scripts}/${name}`, "0500", readScript(name))),
    formatFile("/etc/systemd/journald.conf.d/polaris.conf", "0644", VOLATILE_JOURNAL),
    formatFile(VM.proxyEnvironment, "0600", environments.proxy.file),
    formatFile(VM.workloadEnvironment, "0600", environments.workload.file),
    ...(boot.secrets.length === 0
      ? []
      : [formatFile(VM.secretRequest, "0600", `${JSON.stringify(describeSecrets(boot), null, 2)}\n`)]),
    ...planUnits(boot, environments).map((unit) =>
      formatFile(`${VM.units}/${unit.name}`, "0644", formatUnitFile(unit)),
    ),
  ];
}

/** Logs of requests are never written to a disk. */
const VOLATILE_JOURNAL = "[Journal]\nStorage=volatile\nRuntimeMaxUse=64M\n";

const SCRIPTS = [
  "request-token.sh",
  "install-token-tool.sh",
  "answer-token-request.sh",
  "renew-machine-token.sh",
  "prepare-docker.sh",
  "block-metadata.sh",
  "watch-proxy.sh",
  "fetch-secrets.ts",
];

function readScript(name: string): string {
  return readFileSync(new URL(`./vm/${name}`, import.meta.url), "utf8");
}

/** What `vm/fetch-secrets.ts` is told. */
function describeSecrets({ providerName, stsUrl, secretManagerUrl, secrets }: BootInputs): object {
  return { providerName, stsUrl, secretManagerUrl, secrets };
}

/** Readers of YAML 1.1 refuse control characters: what has any, or is no ASCII, goes as base64. */
function formatFile(path: string, permissions: string, text: string): CloudFile {
  if (/^[\n\x20-\x7e]*$/.test(text)) return { path, permissions, content: text };
  return { path, permissions, encoding: "b64", content: Buffer.from(text).toString("base64") };
}
