import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { createSelfSignedCertificate } from "../../proxy/src/self-signed-certificate.ts";
import { startTokenServer } from "./token-server.ts";
import type { TokenServer } from "./token-server.ts";

/** Debian's package `docker-registry`. */
const PROGRAM = "/usr/bin/docker-registry";

/** For the `skip` of a test: why it cannot run here, or false. */
export const REGISTRY_MISSING = existsSync(PROGRAM) ? false : "docker-registry is not installed here";

/** The account of every registry with a login. */
export const ACCOUNT = { username: "builder", password: "pl4nt3d-Passw0rd" } as const;

/** {@link ACCOUNT} as Apache's htpasswd writes it (bcrypt, the only kind that docker-registry takes). */
const HTPASSWD = "builder:$2b$05$abcdefghijklmnopqrstuukdgPBnNJXbkkj.gwbPiGWU88ELSzxgS\n";

/** What the registry and its token server call each other. */
const SERVICE = "registry.test";
const ISSUER = "token-server.test";

export type RegistryAuth = "none" | "htpasswd" | "token";

export interface RunningRegistry {
  /** `127.0.0.1:<port>`, as in a reference. */
  readonly host: string;
  /** Only with `auth: token`. */
  readonly tokenServer: TokenServer | undefined;
  stop(): Promise<void>;
}

/** Starts a real registry on loopback that keeps everything in a folder of its own, and loses it when it stops. */
export async function startRegistry(auth: RegistryAuth = "none"): Promise<RunningRegistry> {
  const folder = await mkdtemp(join(tmpdir(), "polaris-registry-"));
  const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const certificatePem = createSelfSignedCertificate(keys, Date.now());
  const tokenServer =
    auth === "token"
      ? await startTokenServer({ ...ACCOUNT, issuer: ISSUER, privateKey: keys.privateKey, certificatePem })
      : undefined;
  await writeFile(join(folder, "htpasswd"), HTPASSWD);
  await writeFile(join(folder, "token.pem"), certificatePem);
  await writeFile(join(folder, "config.yml"), JSON.stringify(configuration(folder, auth, tokenServer)));
  const child = spawn(PROGRAM, ["serve", join(folder, "config.yml")], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { OTEL_TRACES_EXPORTER: "none" },
  });
  // A test file that gives up must not leave it behind.
  const kill = (): boolean => child.kill("SIGKILL");
  process.once("exit", kill);
  const stop = async (): Promise<void> => {
    process.removeListener("exit", kill);
    await endProcess(child);
    await tokenServer?.stop();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const port = await readPort(child);
    return { host: `127.0.0.1:${port}`, tokenServer, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** JSON is YAML. */
function configuration(folder: string, auth: RegistryAuth, tokenServer: TokenServer | undefined): unknown {
  const kinds: Readonly<Record<RegistryAuth, object>> = {
    none: {},
    htpasswd: { auth: { htpasswd: { realm: SERVICE, path: join(folder, "htpasswd") } } },
    token: {
      auth: {
        token: {
          realm: tokenServer?.realm,
          service: SERVICE,
          issuer: ISSUER,
          rootcertbundle: join(folder, "token.pem"),
        },
      },
    },
  };
  return {
    version: "0.1",
    log: { level: "info", formatter: "json", accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(folder, "data") }, delete: { enabled: true } },
    http: { addr: "127.0.0.1:0", secret: "only for this test" },
    ...kinds[auth],
  };
}

/** The registry writes the port that it got from the system into its log. */
async function readPort(child: ChildProcess): Promise<string> {
  if (child.stderr === null) throw new Error("the registry has no log");
  const seen: string[] = [];
  for await (const line of createInterface({ input: child.stderr })) {
    seen.push(line);
    const port = /listening on 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
    if (port === undefined) continue;
    // From here on nobody reads the log, and a full pipe would stop the registry.
    child.stderr.resume();
    return port;
  }
  throw new Error(`the registry did not start: ${seen.join("\n")}`);
}

async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
}
