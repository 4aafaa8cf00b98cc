import { once } from "node:events";
import { connect } from "node:net";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { Pool } from "undici";
import type { ProxySettings } from "./environment.ts";

/**
 * Finds out whether the workload takes requests: by its health path if it has one, by an open port otherwise.
 *
 * @throws {PolarisError} WORKLOAD_UNREACHABLE
 */
export async function probeWorkload(
  pool: Pool,
  { url, healthPath }: ProxySettings["workload"],
  signal: AbortSignal,
): Promise<void> {
  try {
    const probe =
      healthPath === undefined ? probePort(new URL(url), signal) : probePath(pool, healthPath, signal);
    await orAbort(probe, signal);
  } catch (cause) {
    throw new PolarisError("WORKLOAD_UNREACHABLE", "the workload is not ready", { cause });
  }
}

async function probePath(pool: Pool, path: string, signal: AbortSignal): Promise<void> {
  const { statusCode, body } = await pool.request({ method: "GET", path, signal });
  await body.dump();
  if (statusCode < 200 || statusCode > 399) throw new Error(`health path answered with status ${statusCode}`);
}

async function probePort({ hostname, port }: URL, signal: AbortSignal): Promise<void> {
  // URLs write IPv6 addresses in brackets and leave the default port out.
  const socket = connect({ host: hostname.replaceAll(/[[\]]/g, ""), port: Number(port || 80) });
  try {
    await once(socket, "connect", { signal });
  } finally {
    socket.destroy();
  }
}

/** A request that waits for its connection does not listen to the signal. */
async function orAbort(probe: Promise<void>, signal: AbortSignal): Promise<void> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    await Promise.race([probe, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
    probe.catch(() => undefined);
  }
}
