import { readFile } from "node:fs/promises";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import type * as z from "zod";
import { isErrno } from "./durable-file.ts";

/**
 * Reads the JSON configuration file of a service.
 *
 * @throws {PolarisError} CONFIG_FILE_NOT_FOUND, CONFIG_UNREADABLE, CONFIG_SYNTAX
 */
export async function loadJsonConfig(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    const code = isErrno(cause, "ENOENT") ? "CONFIG_FILE_NOT_FOUND" : "CONFIG_UNREADABLE";
    throw new PolarisError(code, `cannot read ${path}`, { cause });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new PolarisError("CONFIG_SYNTAX", `${path} is not JSON`, { cause });
  }
}

/**
 * Checks a configuration against its schema.
 *
 * @param service  who it belongs to, for the message
 * @throws {PolarisError} CONFIG_INVALID with every problem
 */
export function parseServiceConfig<T>(schema: z.ZodType<T>, value: unknown, service: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues.map(
    ({ path, message }) => `${path.join(".") || "the document"}: ${message}`,
  );
  throw new PolarisError(
    "CONFIG_INVALID",
    `the configuration of ${service} is invalid: ${problems.join("; ")}`,
    {
      details: { problems },
    },
  );
}
