/**
 * For tests: a process that works on a part as a command line does. Takes one JSON argument, runs `up`, and prints one JSON
 * line of what it ended with. The first SIGINT stops gently, the second at once.
 */
import { isPolarisError, PolarisError } from "@polaris-cvm/sdk/errors";
import type { Engine } from "../find-engine.ts";
import { openPart } from "../open-part.ts";
import { testPartOptions } from "./test-part.ts";

export interface PartProcessInput {
  readonly engine: Engine;
  readonly directory: string;
  readonly debugProviders: string;
  readonly program: ProgramName;
}

export interface PartProcessResult {
  readonly code: string;
  readonly message: string;
  readonly hint: string | undefined;
}

const PROGRAMS = {
  "makes a Slow": async () => {
    const { Probe } = await import("./probe.ts");
    return { slow: new Probe("probe:index:Slow", "slow", { name: "a" }).id };
  },
  "throws an error of ours": () => Promise.reject(new PolarisError("CONFIG_INVALID", "no zone has it")),
  "throws another error": () => Promise.reject(new TypeError("a bug")),
};

export type ProgramName = keyof typeof PROGRAMS;

async function work({ program, ...place }: PartProcessInput): Promise<PartProcessResult> {
  const gently = new AbortController();
  const now = new AbortController();
  process.on("SIGINT", () => (gently.signal.aborted ? now : gently).abort());
  try {
    const part = await openPart({
      ...testPartOptions(place),
      program: PROGRAMS[program],
      stop: { gently: gently.signal, now: now.signal },
    });
    await part.up({ mayChangeKeys: false });
    return { code: "OK", message: "", hint: undefined };
  } catch (error) {
    if (!isPolarisError(error)) throw error;
    return { code: error.code, message: error.message, hint: error.hint };
  }
}

if (import.meta.main) {
  const input = JSON.parse(process.argv[2] ?? "") as PartProcessInput;
  process.stdout.write(`${JSON.stringify(await work(input))}\n`);
}
