import type { Target, TargetName } from "./target.ts";

/** Loads a target when it is needed: no command pays for clouds that it does not talk to. */
export async function loadTarget(name: TargetName): Promise<Target> {
  switch (name) {
    case "local":
      return (await import("./local/target.ts")).localTarget;
  }
}
