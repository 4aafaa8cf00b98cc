import type { Bench, Figure, Row } from "../measure.ts";
import { runNode, runPolaris } from "../run-node.ts";

/** Odd, so that the median is one of them. */
const PAIRS = 21;

/** commander, the flags and the compile cache; whatever else a command needs is to be loaded when it runs. */
const MAX_RATIO = 4;

export const help: Figure = { name: "help", measure };

/** One after the other in turn, so that what else the machine does meets both. */
async function measure(bench: Bench): Promise<Row[]> {
  const samplesMs: number[] = [];
  const nodeMs: number[] = [];
  // Not counted: it fills the compile cache.
  await runPolaris(bench, ["--help"]);
  for (let pair = 0; pair < PAIRS; pair += 1) {
    nodeMs.push((await runNode(bench, ["-e", "0"])).elapsedMs);
    const { elapsedMs, lines } = await runPolaris(bench, ["--help"]);
    if (lines.length === 0) throw new Error("polaris --help said nothing");
    samplesMs.push(elapsedMs);
  }
  return [
    {
      what: "polaris --help",
      samplesMs,
      reference: { what: "node -e 0", samplesMs: nodeMs },
      maxRatio: MAX_RATIO,
    },
  ];
}
