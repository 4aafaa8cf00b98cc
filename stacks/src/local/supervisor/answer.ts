import type { Launch, PartRecord } from "./launch-files.ts";
import type { JudgedPart } from "./next-step.ts";
import type { ObservedPart } from "./observe.ts";
import { askProbes } from "./probe.ts";

/** What a part that runs says to one question of each probe; `not-yet` while it is in its time to become ready. */
export type PartAnswer = "yes" | "not-yet" | "never";

export async function askPart(
  launch: Launch,
  record: PartRecord,
  nowUnixMs = Date.now(),
): Promise<PartAnswer> {
  if (await askProbes(launch.spec.probes)) return "yes";
  return nowUnixMs - Date.parse(record.startedAt) < launch.spec.readyTimeoutMs ? "not-yet" : "never";
}

/** Adds what the running parts answer, as {@link converge} would find it. Takes as long as one question. */
export async function judgeAnswers(parts: readonly ObservedPart[]): Promise<JudgedPart[]> {
  return Promise.all(
    parts.map(async (part): Promise<JudgedPart> => {
      if (part.state !== "running" || part.launch === undefined) return part;
      const answer = await askPart(part.launch, part.record);
      return answer === "not-yet" ? part : { ...part, answers: answer };
    }),
  );
}
