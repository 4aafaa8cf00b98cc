import { readFile, readdir, readlink } from "node:fs/promises";
import { createServer } from "node:net";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { errnoOf } from "../atomic-file.ts";

const LOOPBACK = "127.0.0.1";

/** How often to ask the operating system for a port that is not excluded. */
const MAX_TRIES = 50;

/**
 * A TCP port of 127.0.0.1 that is free now: the preferred one if it is, else one that the operating system gives.
 * Another program may take it before it is used; then what listens there fails, and says so.
 *
 * @param options.exclude  ports that are promised to others already
 */
export async function chooseFreePort(
  options: { readonly preferred?: number; readonly exclude?: readonly number[] } = {},
): Promise<number> {
  const { preferred, exclude = [] } = options;
  if (preferred !== undefined && !exclude.includes(preferred) && (await isPortFree(preferred)))
    return preferred;
  for (let tries = 0; tries < MAX_TRIES; tries += 1) {
    const port = await listenOnce(0);
    if (port !== undefined && !exclude.includes(port)) return port;
  }
  throw new PolarisError("PORT_TAKEN", `no free port on ${LOOPBACK}`);
}

/** True if nothing listens on this port of 127.0.0.1, and this user may. */
export async function isPortFree(port: number): Promise<boolean> {
  return (await listenOnce(port)) !== undefined;
}

/** Who listens on a port, as `node (process 4711)`; undefined if that cannot be seen: another user's, or no Linux. */
export async function describePortHolder(port: number): Promise<string | undefined> {
  const sockets = await listeningSockets(port);
  if (sockets.size === 0) return undefined;
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid) || !(await hasOpen(pid, sockets))) continue;
    // The program's name only: arguments of a stranger may hold secrets.
    const name = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "");
    return `${name.trim() || "a program"} (process ${pid})`;
  }
  return undefined;
}

/** True if one of these processes listens on a port; false where that cannot be seen. */
export async function isHeldBy(port: number, pids: ReadonlySet<number>): Promise<boolean> {
  if (pids.size === 0) return false;
  const sockets = await listeningSockets(port);
  if (sockets.size === 0) return false;
  const held = await Promise.all([...pids].map((pid) => hasOpen(String(pid), sockets)));
  return held.includes(true);
}

/** What links in /proc/<pid>/fd to listening sockets of a port look like; none where there is no /proc. */
async function listeningSockets(port: number): Promise<ReadonlySet<string>> {
  const sockets = new Set<string>();
  if (process.platform !== "linux") return sockets;
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    const text = await readFile(table, "latin1").catch(() => "");
    for (const inode of listeningInodes(text, port)) sockets.add(`socket:[${inode}]`);
  }
  return sockets;
}

/** Sockets in state LISTEN (0A) on a port, from the kernel's table: proc(5), proc_pid_net(5). */
export function listeningInodes(table: string, port: number): string[] {
  const inodes: string[] = [];
  for (const line of table.split("\n").slice(1)) {
    const [, local = "", , state, , , , , , inode] = line.trim().split(/\s+/);
    const localPort = Number.parseInt(local.slice(local.lastIndexOf(":") + 1), 16);
    if (state === "0A" && localPort === port && inode !== undefined) inodes.push(inode);
  }
  return inodes;
}

async function hasOpen(pid: string, sockets: ReadonlySet<string>): Promise<boolean> {
  const folder = `/proc/${pid}/fd`;
  const descriptors = await readdir(folder).catch(() => []);
  const targets = await Promise.all(descriptors.map((name) => readlink(`${folder}/${name}`).catch(() => "")));
  return targets.some((target) => sockets.has(target));
}

/** The port, if one can listen there; undefined if it is taken or not allowed. */
function listenOnce(port: number): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error) => {
      if (errnoOf(error) === "EADDRINUSE" || errnoOf(error) === "EACCES") resolve(undefined);
      else reject(error);
    });
    server.listen({ host: LOOPBACK, port, exclusive: true }, () => {
      const address = server.address();
      const chosen = typeof address === "object" && address !== null ? address.port : undefined;
      server.close(() => resolve(chosen));
    });
  });
}
