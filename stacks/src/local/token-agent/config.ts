import { readFile } from "node:fs/promises";
import { ATTESTATION_AUDIENCE } from "@polaris-cvm/sdk";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import * as z from "zod";
import { isErrno } from "../trust/durable-file.ts";

const path = z.string().startsWith("/", "expected an absolute path");

const configSchema = z
  .strictObject({
    version: z.literal(1),
    /** The issuer of attestation tokens. */
    issuerUrl: z.url({ protocol: /^https?$/ }),
    /** File with the machine's credential for the issuer. */
    credentialFile: path,
    /** Audience of the token for the token exchange; null: none is kept. */
    stsAudience: z.string().min(1).max(512).nullable(),
    /** Where that token is kept. */
    tokenFile: path.nullable(),
    /** How often that token is replaced, in milliseconds; it lives one hour. */
    refreshMs: z
      .number()
      .int()
      .min(1000)
      .max(55 * 60_000)
      .default(40 * 60_000),
    socketPath: path,
  })
  .refine(({ stsAudience, tokenFile }) => (stsAudience === null) === (tokenFile === null), {
    message: "stsAudience and tokenFile belong together",
  })
  .refine(({ stsAudience }) => stsAudience !== ATTESTATION_AUDIENCE, {
    message: "stsAudience is the audience of evidence for clients",
    path: ["stsAudience"],
  });

export type TokenAgentConfig = z.infer<typeof configSchema>;

/** @throws {PolarisError} CONFIG_FILE_NOT_FOUND, CONFIG_UNREADABLE, CONFIG_SYNTAX or CONFIG_INVALID */
export async function loadTokenAgentConfig(path: string): Promise<TokenAgentConfig> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    const code = isErrno(cause, "ENOENT") ? "CONFIG_FILE_NOT_FOUND" : "CONFIG_UNREADABLE";
    throw new PolarisError(code, `cannot read ${path}`, { cause });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new PolarisError("CONFIG_SYNTAX", `${path} is not JSON`, { cause });
  }
  return parseTokenAgentConfig(value);
}

/** @throws {PolarisError} CONFIG_INVALID with every problem */
export function parseTokenAgentConfig(value: unknown): TokenAgentConfig {
  const result = configSchema.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues.map(
    ({ path, message }) => `${path.join(".") || "the document"}: ${message}`,
  );
  throw new PolarisError(
    "CONFIG_INVALID",
    `the configuration of the token agent is invalid: ${problems.join("; ")}`,
    {
      details: { problems },
    },
  );
}
