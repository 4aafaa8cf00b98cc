import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { ErrorCode } from "@polaris-cvm/sdk/errors";
import * as z from "zod";
import { loginCommand } from "./registry-host.ts";
import { parseRetryAfter } from "./retry.ts";
import { readBody } from "./transport.ts";
import type { RegistryAnswer } from "./transport.ts";

const MAX_ERROR_BYTES = 64 * 1024;

/**
 * The codes of the distribution spec ("Error Codes"). Nothing else of an error's text is shown: it is the server's, and could
 * repeat our password.
 */
const SPEC_CODES = [
  "BLOB_UNKNOWN",
  "BLOB_UPLOAD_INVALID",
  "BLOB_UPLOAD_UNKNOWN",
  "DENIED",
  "DIGEST_INVALID",
  "MANIFEST_BLOB_UNKNOWN",
  "MANIFEST_INVALID",
  "MANIFEST_UNKNOWN",
  "NAME_INVALID",
  "NAME_UNKNOWN",
  "SIZE_INVALID",
  "TOOMANYREQUESTS",
  "UNAUTHORIZED",
  "UNSUPPORTED",
] as const;

const errorBody = z.object({ errors: z.array(z.object({ code: z.string() })).min(1) });

export interface RefusalContext {
  /** As in a reference, for the hint. */
  readonly registry: string;
  /** What was asked for: a reference, or a blob of a repository. */
  readonly subject: string;
}

/**
 * The error for an answer that is not the one we asked for; reads its body.
 *
 * @returns {PolarisError} REGISTRY_DENIED (401, 403), IMAGE_NOT_FOUND (404), REGISTRY_RATE_LIMITED (429) or REGISTRY_FAILED;
 *   `details` has host, status and, if the registry gave one, the code of the distribution spec
 */
export async function describeRefusal(
  answer: RegistryAnswer,
  { registry, subject }: RefusalContext,
): Promise<PolarisError> {
  const specCode = await readSpecCode(answer);
  const { status, url } = answer;
  const said = specCode === undefined ? `status ${status}` : `status ${status}, ${specCode}`;
  const { code, what, hint } = meaningOf(status, registry, whenToTry(answer));
  return new PolarisError(code, `${url.host} ${what} ${subject} (${said})`, {
    hint,
    details: { host: url.host, status, ...(specCode !== undefined && { registryCode: specCode }) },
  });
}

function loginHint(registry: string): string {
  return `${loginCommand(registry)}, or set POLARIS_REGISTRY, POLARIS_REGISTRY_USERNAME and POLARIS_REGISTRY_PASSWORD; check the name too: registries answer so for what is not there`;
}

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

/** What a person is told who may try again. */
function whenToTry({ headers }: RegistryAnswer): string {
  const waitMs = parseRetryAfter(headers["retry-after"], Date.now()) ?? 0;
  if (waitMs === 0) return "try again later";
  if (waitMs > DAY_MS) return "it asks to wait for more than a day: try again then";
  const wait =
    waitMs <= 2 * MINUTE_MS ? `${Math.ceil(waitMs / 1000)} s` : `${Math.ceil(waitMs / MINUTE_MS)} min`;
  return `it asks to wait for ${wait}: try again then`;
}

function meaningOf(
  status: number,
  registry: string,
  tryAgain: string,
): { readonly code: ErrorCode; readonly what: string; readonly hint: string } {
  switch (status) {
    case 401:
      return { code: "REGISTRY_DENIED", what: "does not let us at", hint: loginHint(registry) };
    case 403:
      return {
        code: "REGISTRY_DENIED",
        what: "forbids us",
        hint: `give the account the right to it, or use another: ${loginHint(registry)}`,
      };
    case 404:
      return {
        code: "IMAGE_NOT_FOUND",
        what: "does not have",
        hint: "check the name and the tag; some registries want a repository to be made before the first push",
      };
    case 429:
      return {
        code: "REGISTRY_RATE_LIMITED",
        what: "takes no more requests for now, not for",
        hint: `${tryAgain}; accounts may ask more often than strangers: ${loginCommand(registry)}`,
      };
    default:
      return {
        code: "REGISTRY_FAILED",
        what: "failed at",
        hint: `${tryAgain}; if it stays so, tell those who run the registry`,
      };
  }
}

async function readSpecCode(answer: RegistryAnswer): Promise<(typeof SPEC_CODES)[number] | undefined> {
  try {
    const bytes = await readBody(answer, MAX_ERROR_BYTES);
    if (bytes === undefined) return undefined;
    const parsed = errorBody.safeParse(JSON.parse(new TextDecoder().decode(bytes)));
    return SPEC_CODES.find((code) => code === parsed.data?.errors[0]?.code);
  } catch {
    // Its status says enough, unless the caller has gone.
    answer.signal.throwIfAborted();
    return undefined;
  }
}
