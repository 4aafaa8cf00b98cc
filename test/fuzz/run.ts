/** `npm run fuzz -- [seconds] [seed]`: the fuzz run of the tests, for as long as you like. */
import { fuzzProxy } from "./fuzz-proxy.ts";

const [seconds = 60, seed = Math.floor(Math.random() * 2 ** 32)] = process.argv.slice(2).map(Number);
if (!(seconds > 0) || !Number.isInteger(seed)) {
  process.stderr.write("usage: npm run fuzz -- [seconds] [seed]\n");
  process.exit(2);
}
process.stdout.write(`fuzzing for ${seconds} s with seed ${seed}\n`);
const { inputs, answers, findings } = await fuzzProxy(seconds * 1000, seed);
const counts = [...answers].toSorted(([a], [b]) => a - b).map(([status, count]) => `${count} × ${status}`);
process.stdout.write(`${inputs} inputs: ${counts.join(", ")}\n`);
for (const finding of findings) process.stdout.write(`found: ${finding}\n`);
process.exit(findings.length === 0 ? 0 : 1);
