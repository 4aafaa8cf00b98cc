import * as z from "zod";
import { loadJsonConfig, parseServiceConfig } from "../trust/json-config.ts";
import { ENGINE_NAMES } from "./engine.ts";

const path = z.string().startsWith("/", "expected an absolute path");
const variableName = z.string().regex(/^[^=\0]+$/, "expected the name of a variable");

const configSchema = z.strictObject({
  version: z.literal(1),
  engine: z.enum(ENGINE_NAMES),
  stackId: z.string().min(1),
  part: z.enum(["workload", "proxy"]),
  name: z.string().min(1),
  /** Image id, or repository and digest: what names bytes, never a tag. */
  image: z.string().regex(/(^|@)sha256:[0-9a-f]{64}$/, "expected a digest"),
  /** Program and arguments in place of the image's own; null: those of the image. */
  command: z.array(z.string()).min(1).nullable(),
  /** `<uid>:<gid>`; null: that of the image. */
  user: z
    .string()
    .regex(/^\d+:\d+$/)
    .nullable(),
  readOnlyRoot: z.boolean(),
  env: z.record(variableName, z.string()),
  /** Variables whose values are in the environment of whoever starts it. */
  secretNames: z.array(variableName),
  mounts: z.array(z.strictObject({ source: path, target: path, readOnly: z.boolean() })),
  /** The first is the one that ports are published on. */
  networks: z.array(z.string().min(1)).min(1),
  /** What others of the same networks call it; null: nobody needs to. */
  alias: z.string().min(1).nullable(),
  /** On 127.0.0.1 of this machine; null: nothing is published. */
  publish: z
    .strictObject({ hostPort: z.int().min(1).max(65_535), containerPort: z.int().min(1).max(65_535) })
    .nullable(),
  /** Unix socket that takes connections as long as the container runs; they are closed at once. */
  readySocket: path,
});

/** What one container of a stack is. No secret is in it. */
export type ContainerConfig = z.output<typeof configSchema>;

/** @throws {PolarisError} CONFIG_FILE_NOT_FOUND, CONFIG_UNREADABLE, CONFIG_SYNTAX or CONFIG_INVALID with every problem */
export async function loadContainerConfig(file: string): Promise<ContainerConfig> {
  return parseServiceConfig(configSchema, await loadJsonConfig(file), "a container");
}
