/** For tests: the sample stack with an image in place of its program. */
import type { ImagePlan } from "../local/containers/container-plan.ts";
import { planStack } from "../plan.ts";
import type { ImageWorkload } from "../plan.ts";
import { sampleConfig, sampleLock } from "./sample-stack.ts";

export const sampleImage: ImageWorkload = {
  kind: "image",
  reference: "registry.example:5000/acme/shop:1.2",
  digest: `sha256:${"7b".repeat(32)}`,
  platformDigest: `sha256:${"8c".repeat(32)}`,
  command: ["/bin/shop", "--serve", "a b"],
  imageEnv: ["PATH=/usr/local/bin"],
  user: "1000:1000",
  workingDir: "/srv",
  exposedPorts: ["8000/tcp"],
};

/** The plan of `sampleConfig` with {@link sampleImage}, or with what a test replaces of it. */
export function sampleImagePlan(lines = "", image: Partial<ImageWorkload> = {}): ImagePlan {
  const plan = planStack(sampleConfig(...(lines === "" ? [] : [lines])), "staging", sampleLock);
  const { port, env, healthPath, healthTimeoutMs, keyApi } = plan.workload;
  return { ...plan, workload: { port, env, healthPath, healthTimeoutMs, keyApi, ...sampleImage, ...image } };
}
