import type { Bench, Figure, Row } from "../measure.ts";
import { runNode, runPolaris } from "../run-node.ts";

/** Odd, so that the median is one of them. */
const PAIRS = 21;

/** commander, the flags and the compile cache; whatever else a command needs is to be loaded when it runs. */
const MAX_RATIO = 4;

export const help: Figure = {
  name: "help",
  about: "polaris --help, against a Node that does nothing",
  limitMs: 30_000,
  measure,
};

/** One after the other in turn, so that what else the machine does meets both. */
async function measure(bench: Bench): Promise<Row[]> {
  const commandMs: number[] = [];
  const nodeMs: number[] = [];
  // Not counted: it fills the compile cache.
  await runPolaris(bench, ["--help"]);
  for (let pair = 0; pair < PAIRS; pair += 1) {
    nodeMs.push((await runNode(bench, ["-e", "0"])).elapsedMs);
    const { elapsedMs, lines } = await runPolaris(bench, ["--help"]);
    if (lines.length === 0) throw new Error("polaris --help said nothing");
    commandMs.push(elapsedMs);
  }
  return [
    {
      what: "polaris --help",
      unit: "ms",
      values: commandMs,
      reference: { what: "node -e 0", unit: "ms", values: nodeMs },
      target: { kind: "ratio-at-most", ratio: MAX_RATIO },
    },
  ];
}
