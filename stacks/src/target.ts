import type { Image } from "@polaris-cvm/images/image.ts";
import type { DeployedStack } from "./lock-file/schema.ts";
import type { Plan } from "./plan.ts";

export type TargetName = "local";

/** Where a stack lives: what a command needs to know before, or without, any configuration. */
export interface StackLocation {
  readonly projectDir: string;
  readonly stack: string;
}

/** One thing that a deploy would do, or did. */
export interface Change {
  readonly part: string;
  readonly action: "create" | "replace" | "restart" | "delete" | "same";
  readonly reason: string;
}

/** Progress of one part of a stack. */
export interface ProgressEvent {
  readonly part: string;
  readonly phase: "starting" | "ready" | "stopping" | "stopped" | "failed";
  readonly elapsedMs: number;
}

/** A problem that would make a deploy fail, or do something else than meant; all of them are collected. */
export interface Finding {
  readonly check: string;
  readonly where: string;
  readonly problem: string;
  readonly hint: string;
  /** It is said, and a deploy goes on. */
  readonly isWarning?: true;
}

export interface PartStatus {
  readonly part: string;
  /** `not-ready`: it answers, and says what it lacks. */
  readonly state: "running" | "starting" | "not-ready" | "exited" | "absent" | "broken";
  readonly pid: number | undefined;
  /** For people: since when, with which exit code, what is wrong. */
  readonly detail: string;
}

export interface StackStatus {
  readonly endpoint: string;
  readonly healthy: boolean;
  readonly parts: readonly PartStatus[];
}

export interface KeptKey {
  /** Where the key is, for people. */
  readonly where: string;
}

export interface StackOperation {
  readonly signal: AbortSignal;
  /** `polaris deploy`: what others are told who find the stack locked. */
  readonly command: string;
  /** How long to wait for a stack that somebody else holds, in milliseconds. */
  readonly waitMs: number;
  readonly onProgress: (event: ProgressEvent) => void;
  readonly warn: (code: string, message: string) => void;
}

/** The image of the proxy that polaris.lock has. Only what runs the proxy as an image asks for it. */
export type OpenProxyImage = () => Promise<Image>;

export interface DeployOperation extends StackOperation {
  /** Called once the stack is held, before anything is changed. */
  readonly onHeld: () => Promise<void>;
  /** What a process of the user may have of the deployer's environment: PATH and the like. */
  readonly ambient: Readonly<Record<string, string>>;
  /** What a container engine's program may have of it: DOCKER_HOST and the like. */
  readonly engineEnvironment: Readonly<Record<string, string>>;
  readonly openProxyImage: OpenProxyImage;
}

/** What a command line can do with a stack, wherever it runs. A new target is one folder that gives this. */
export interface Target {
  readonly name: TargetName;
  /** Checks before a deploy; nothing is changed. */
  check(plan: Plan, location: StackLocation): Promise<Finding[]>;
  /** What a deploy would change; nothing is changed. */
  preview(
    plan: Plan,
    location: StackLocation,
    secrets: Readonly<Record<string, string>>,
    openProxyImage: OpenProxyImage,
  ): Promise<Change[]>;
  /** Makes the stack as planned, or mends it; resolves when it is healthy. Facts come from the control plane. */
  deploy(
    plan: Plan,
    location: StackLocation,
    secrets: Readonly<Record<string, string>>,
    operation: DeployOperation,
  ): Promise<DeployedStack>;
  /** True if anything of the stack is there, also if its state is damaged. */
  exists(location: StackLocation): Promise<boolean>;
  /** Undefined if there is no such stack. */
  status(location: StackLocation): Promise<StackStatus | undefined>;
  readonly parts: readonly string[];
  /** The last lines of a part's log, then, if `follow`, what is added until the signal. */
  readLog(
    location: StackLocation,
    options: {
      readonly part: string;
      readonly tail: number;
      readonly follow: boolean;
      readonly signal: AbortSignal;
    },
  ): AsyncIterable<string>;
  /** Removes the stack; the key only with `destroyKey`. Tells the key that is kept. */
  destroy(
    location: StackLocation,
    options: { readonly destroyKey: boolean },
    operation: StackOperation,
  ): Promise<KeptKey | undefined>;
  /** The key that is still there although the stack may not be. */
  findKey(location: StackLocation): Promise<KeptKey | undefined>;
  /**
   * The Unix socket by which this machine gets data opened that is sealed to the stack's key; undefined where only the
   * workload itself does, as on every cloud.
   */
  findKeyApi(location: StackLocation): Promise<string | undefined>;
  unlock(location: StackLocation, options: { readonly force: boolean }): Promise<string | undefined>;
}
