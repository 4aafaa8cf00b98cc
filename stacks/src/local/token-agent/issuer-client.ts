import { readFile } from "node:fs/promises";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import * as z from "zod";

/** Asks the issuer for a token: one audience, and nonces that it carries as `eat_nonce`. */
export type RequestToken = (
  audience: string,
  nonces: readonly string[],
  signal: AbortSignal,
) => Promise<string>;

const answerSchema = z.object({
  token: z.string().regex(/^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/),
});
const TIMEOUT_MS = 10_000;

/**
 * A client of the attestation issuer that proves the machine by the credential in a file. The file is read for every
 * token: it may change. Failures are ATTESTATION_UNAVAILABLE.
 */
export function createIssuerClient(options: {
  readonly issuerUrl: string;
  readonly credentialFile: string;
}): RequestToken {
  return async (audience, nonces, signal) => {
    let credential: string;
    try {
      credential = (await readFile(options.credentialFile, "utf8")).trim();
    } catch (cause) {
      throw new PolarisError("ATTESTATION_UNAVAILABLE", "cannot read the machine's credential", { cause });
    }
    let answer: unknown;
    try {
      const response = await fetch(`${options.issuerUrl}/v1/token`, {
        method: "POST",
        headers: { authorization: `Bearer ${credential}`, "content-type": "application/json" },
        body: JSON.stringify({ audience, nonces, token_type: "OIDC" }),
        redirect: "error",
        signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
      });
      answer = await response.json();
      if (!response.ok) throw new Error(`HTTP status ${response.status}`);
    } catch (cause) {
      const problem =
        cause instanceof Error && cause.message.startsWith("HTTP status ") ? `: ${cause.message}` : "";
      throw new PolarisError("ATTESTATION_UNAVAILABLE", `the attestation issuer gives no token${problem}`, {
        cause,
      });
    }
    const parsed = answerSchema.safeParse(answer);
    if (!parsed.success) {
      throw new PolarisError(
        "ATTESTATION_UNAVAILABLE",
        "the attestation issuer gives something else than a token",
      );
    }
    return parsed.data.token;
  };
}
