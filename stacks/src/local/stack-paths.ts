import { createHash } from "node:crypto";
import { realpathSync } from "node:fs";
import { userInfo } from "node:os";
import { basename, dirname, join } from "node:path";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { errnoOf } from "../atomic-file.ts";

/** Every file of a local stack, by name; nobody else joins these paths. */
export interface StackPaths {
  /** Without links in it: however a command came here, it is the same stack. */
  readonly projectDir: string;
  /** `.polaris` in the project folder. */
  readonly home: string;
  /** `.polaris/<stack>` */
  readonly stackDir: string;
  readonly state: string;
  /** Keys of the trust services: what `destroy` keeps. */
  readonly trustDir: string;
  readonly trustConfig: string;
  readonly tokenAgentConfig: string;
  readonly machineCredential: string;
  readonly administratorCredential: string;
  /** The federated token that the proxy exchanges: written by the token agent. */
  readonly tokenFile: string;
  /**
   * Private folder (0700) for sockets. Below /tmp, because socket paths are limited to about 100 bytes and project paths
   * are not; not below TMPDIR, because another shell's TMPDIR must not make it another stack.
   */
  readonly socketDir: string;
  readonly tokenAgentSocket: string;
  /** Where the proxy serves its key API, if it does. */
  readonly keyApiSocket: string;
  /** What a stack has more if its workload and proxy are containers. */
  readonly containers: ContainerPaths;
}

export interface ContainerPaths {
  /** What engines know a stack by: the same folder is the same stack, and no other. */
  readonly stackId: string;
  readonly folder: string;
  readonly workloadConfig: string;
  readonly proxyConfig: string;
  /** Sockets that take connections as long as the container runs. */
  readonly workloadReady: string;
  readonly proxyReady: string;
  /** Copies of certificate and key, which the proxy may read whoever owns the originals. */
  readonly tlsDir: string;
  /** The one folder of sockets that the proxy sees. */
  readonly servicesDir: string;
  readonly tokenAgentSocket: string;
  readonly trustSocket: string;
  /** The folder in which the proxy's container makes the socket of the key API; the workload's has it too. */
  readonly keyApiDir: string;
  readonly keyApiSocket: string;
}

/** @throws {PolarisError} STATE_CORRUPT if the project folder cannot be looked at */
export function stackPaths(givenProjectDir: string, stack: string): StackPaths {
  const projectDir = withoutLinks(givenProjectDir);
  const home = join(projectDir, ".polaris");
  const stackDir = join(home, stack);
  const digest = createHash("sha256").update(stackDir).digest("hex").slice(0, 12);
  const socketDir = join("/tmp", `polaris-${userInfo().uid}-${digest}`);
  return {
    projectDir,
    home,
    stackDir,
    state: join(stackDir, "stack.json"),
    trustDir: join(stackDir, "trust"),
    trustConfig: join(stackDir, "trust.json"),
    tokenAgentConfig: join(stackDir, "token-agent.json"),
    machineCredential: join(stackDir, "credentials", "machine"),
    administratorCredential: join(stackDir, "credentials", "administrator"),
    tokenFile: join(stackDir, "token", "attestation-token"),
    socketDir,
    tokenAgentSocket: join(socketDir, "token-agent.sock"),
    keyApiSocket: join(socketDir, "key-api.sock"),
    containers: containerPaths(join(stackDir, "containers"), socketDir, digest),
  };
}

function containerPaths(folder: string, socketDir: string, stackId: string): ContainerPaths {
  const servicesDir = join(socketDir, "services");
  const keyApiDir = join(socketDir, "key-api");
  return {
    stackId,
    folder,
    workloadConfig: join(folder, "workload.json"),
    proxyConfig: join(folder, "proxy.json"),
    workloadReady: join(socketDir, "workload.sock"),
    proxyReady: join(socketDir, "proxy.sock"),
    tlsDir: join(folder, "tls"),
    servicesDir,
    tokenAgentSocket: join(servicesDir, "token-agent.sock"),
    trustSocket: join(servicesDir, "trust.sock"),
    keyApiDir,
    keyApiSocket: join(keyApiDir, "key-api.sock"),
  };
}

/** The real path of a folder; of one that is gone, that of the nearest folder above it and the rest as it is. */
function withoutLinks(folder: string): string {
  const rest: string[] = [];
  for (let existing = folder; ; existing = dirname(existing)) {
    try {
      return join(realpathSync(existing), ...rest);
    } catch (cause) {
      const errno = errnoOf(cause);
      if ((errno !== "ENOENT" && errno !== "ENOTDIR") || dirname(existing) === existing) {
        throw new PolarisError("STATE_CORRUPT", `cannot look at ${folder}: ${errno ?? "unknown reason"}`, {
          cause,
        });
      }
      rest.unshift(basename(existing));
    }
  }
}
