import { createHash } from "node:crypto";
import { userInfo } from "node:os";
import { join } from "node:path";

/** Every file of a local stack, by name; nobody else joins these paths. */
export interface StackPaths {
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
}

export function stackPaths(projectDir: string, stack: string): StackPaths {
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
  };
}
