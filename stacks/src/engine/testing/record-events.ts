/**
 * For tests: what the real engine streams in a story of four operations. As a program (`node record-events.ts`, with
 * POLARIS_TEST_PULUMI) it writes recorded-events.json anew.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEngineCommand } from "../engine-command.ts";
import { engineEnvironment } from "../engine-environment.ts";
import { parseBackend } from "../backend.ts";
import type { Engine } from "../find-engine.ts";
import { findTestEngine } from "./test-part.ts";
import { startTestProvider } from "./test-provider.ts";

export interface RecordedOperation {
  readonly operation: "preview" | "up" | "changing up" | "destroy";
  /** As the engine sends them, unknown to us. */
  readonly events: readonly Readonly<Record<string, unknown>>[];
}

const FAILURE =
  "1 error occurred:\n\t* Error creating Disk: googleapi: Error 403: Quota 'DISKS' exceeded\n\n";

/** Two things and a component are made; one is renamed and a third fails; all is taken away. */
export async function recordEvents(engine: Engine): Promise<RecordedOperation[]> {
  const directory = await mkdtemp(join(tmpdir(), "polaris-record-"));
  const provider = await startTestProvider();
  try {
    await Promise.all(["state", "work"].map((name) => mkdir(join(directory, name))));
    await writeFile(join(directory, "passphrase"), "for this recording", { mode: 0o600 });
    return await tellStory(engine, directory, provider.debugProviders);
  } finally {
    provider.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

async function tellStory(
  engine: Engine,
  directory: string,
  debugProviders: string,
): Promise<RecordedOperation[]> {
  const [{ LocalWorkspace }, { Stack }, { secret }, { Group, Probe }] = await Promise.all([
    import("@pulumi/pulumi/automation/localWorkspace.js"),
    import("@pulumi/pulumi/automation/stack.js"),
    import("@pulumi/pulumi"),
    import("./probe.ts"),
  ]);
  let isSecondTime = false;
  const never = new AbortController().signal;
  const workspace = await LocalWorkspace.create({
    workDir: join(directory, "work"),
    pulumiHome: join(directory, "home"),
    pulumiCommand: createEngineCommand(engine, { gently: never, now: never }, () => {}),
    envVars: engineEnvironment({
      engine,
      pulumiHome: join(directory, "home"),
      backend: parseBackend(`file://${directory}/state`),
      secrets: { kind: "passphrase", file: join(directory, "passphrase") },
      clouds: [],
      environment: { PATH: "/usr/bin:/bin", HOME: directory, PULUMI_DEBUG_PROVIDERS: debugProviders },
    }),
    secretsProvider: "passphrase",
    projectSettings: { name: "probe", runtime: "nodejs" },
    program: async () => {
      const parent = new Group("group");
      const disk = new Probe("probe:index:Thing", "disk", { name: isSecondTime ? "b" : "a" }, { parent });
      const key = new Probe("probe:index:Thing", "key", {
        name: "k",
        size: isSecondTime ? 2 : 1,
        pin: secret("0000000"),
      });
      if (isSecondTime) {
        // After the others: a failure keeps the engine from beginning anything else.
        const dependsOn = [disk, key];
        return {
          broken: new Probe("probe:index:Thing", "broken", { name: "c", failure: FAILURE }, { dependsOn }).id,
        };
      }
      return { disk: disk.id, zone: "here", pin: secret("0000000") };
    },
  });
  const stack = await Stack.create("recorded", workspace);
  const recorded: RecordedOperation[] = [];
  const record = async (
    operation: RecordedOperation["operation"],
    run: (onEvent: (event: object) => void) => Promise<unknown>,
  ): Promise<void> => {
    const events: Readonly<Record<string, unknown>>[] = [];
    await run((event) => void events.push({ ...event }));
    recorded.push({ operation, events });
  };
  await record("preview", (onEvent) => stack.preview({ onEvent, color: "never" }));
  await record("up", (onEvent) => stack.up({ onEvent, color: "never" }));
  isSecondTime = true;
  await record("changing up", (onEvent) =>
    stack.up({ onEvent, color: "never" }).then(
      () => Promise.reject(new Error("the story wants this to fail")),
      () => undefined,
    ),
  );
  await record("destroy", (onEvent) => stack.destroy({ onEvent, color: "never" }));
  return recorded;
}

if (import.meta.main) {
  // oxlint-disable-next-line node/no-process-env -- a program for those who work on Polaris
  const engine = await findTestEngine(process.env);
  if (engine === undefined) throw new Error("no engine to record: npm run engine builds one");
  const file = new URL("recorded-events.json", import.meta.url);
  await writeFile(file, `${JSON.stringify(await recordEvents(engine), null, 2)}\n`);
}
