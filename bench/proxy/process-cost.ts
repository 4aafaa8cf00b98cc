import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { RunningProcess } from "./processes.ts";

/** CPU time that a process has taken so far, all its threads, in milliseconds; undefined where there is no /proc. */
export async function readCpuMs({ pid }: RunningProcess): Promise<number | undefined> {
  const stat = await readProcFile(`${pid}/stat`);
  if (stat === undefined) return undefined;
  // After the name, which may hold anything: utime and stime are fields 14 and 15 (proc_pid_stat(5)).
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return ticksToMs(Number(fields[11]) + Number(fields[12]));
}

/** CPU time that all processes of the machine have taken so far, in milliseconds; undefined where there is no /proc. */
export async function readMachineCpuMs(): Promise<number | undefined> {
  const stat = await readProcFile("stat");
  // user nice system idle iowait irq softirq steal (proc_stat(5))
  const fields = stat?.split("\n", 1)[0]?.split(/ +/).slice(1, 9).map(Number);
  if (fields === undefined) return undefined;
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = fields;
  return ticksToMs(user + nice + system + irq + softirq + steal);
}

/** Resident memory of a process, now or at its peak, in MiB; undefined where there is no /proc. */
export async function readMemoryMiB(
  { pid }: RunningProcess,
  which: "now" | "peak",
): Promise<number | undefined> {
  const status = await readProcFile(`${pid}/status`);
  const pattern = which === "now" ? /^VmRSS:\s+(\d+) kB$/m : /^VmHWM:\s+(\d+) kB$/m;
  const kiB = status === undefined ? undefined : pattern.exec(status)?.[1];
  return kiB === undefined ? undefined : Number(kiB) / 1024;
}

/** A list of one, or of none: as rows want them. */
export function listKnown(...values: readonly (number | undefined)[]): number[] {
  return values.filter((value) => value !== undefined);
}

const TICKS_PER_SECOND = readTicksPerSecond();

function readTicksPerSecond(): number {
  try {
    return Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));
  } catch {
    return 100;
  }
}

function ticksToMs(ticks: number): number {
  return (ticks / TICKS_PER_SECOND) * 1000;
}

async function readProcFile(path: string): Promise<string | undefined> {
  try {
    return await readFile(join("/proc", path), "utf8");
  } catch {
    return undefined;
  }
}
