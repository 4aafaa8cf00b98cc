import { ATTESTATION_AUDIENCE } from "@polaris-cvm/sdk";
import * as z from "zod";
import { loadJsonConfig, parseServiceConfig } from "../trust/json-config.ts";

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
    /** Id of the group that may use socket and token file besides this user: that of a proxy in a container. */
    group: z.int().min(0).nullable().default(null),
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
  return parseTokenAgentConfig(await loadJsonConfig(path));
}

/** @throws {PolarisError} CONFIG_INVALID with every problem */
export function parseTokenAgentConfig(value: unknown): TokenAgentConfig {
  return parseServiceConfig(configSchema, value, "the token agent");
}
