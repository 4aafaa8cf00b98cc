import { decodeBase64 } from "./base64.ts";
import { type KeyUnwrap, openEnvelope } from "./envelope.ts";
import { isPolarisError, PolarisError } from "./errors.ts";
import { ERROR_HEADER, PROBLEM_MEDIA_TYPE } from "./headers.ts";

/** Responses that never have a body (RFC 9110 §15), so that there is nothing to open. */
const BODILESS_STATUSES: readonly number[] = [204, 205, 304];

/** Header fields that describe the sealed body and not the one inside. */
const OUTER_BODY_HEADERS = ["content-length", "content-encoding", "transfer-encoding"];

/**
 * Opens a sealed response: base64 text of an envelope for the client's key. Status and headers are in the clear in wire
 * v1 and kept as they came: they are claims of the network, only the body is sealed.
 *
 * Returned as they are: an error of the proxy itself, which it could not seal, and a redirect that the browser hides.
 *
 * @throws {PolarisError} RESPONSE_NOT_SEALED, ENVELOPE_OPEN_FAILED
 */
export async function openResponse(response: Response, method: string, unwrap: KeyUnwrap): Promise<Response> {
  if (response.type === "opaqueredirect" || isProxyError(response)) return response;
  const { status, statusText } = response;
  const headers = new Headers(response.headers);
  for (const name of OUTER_BODY_HEADERS) headers.delete(name);
  const bodiless = method === "HEAD" || BODILESS_STATUSES.includes(status);
  const body = bodiless ? null : await openBody(await response.text(), status, unwrap);
  return new Response(body, { status, statusText, headers });
}

/** Never a success: whoever forges one can make a request fail, as by dropping it, and nothing else. */
function isProxyError({ status, headers }: Response): boolean {
  const mediaType = headers.get("content-type")?.split(";")[0]?.trim().toLowerCase();
  return status >= 400 && mediaType === PROBLEM_MEDIA_TYPE && headers.has(ERROR_HEADER);
}

async function openBody(text: string, status: number, unwrap: KeyUnwrap): Promise<Uint8Array<ArrayBuffer>> {
  const sealed = decodeBase64(text);
  if (sealed === undefined) throw notSealed(status);
  try {
    return await openEnvelope(sealed, unwrap);
  } catch (error) {
    throw isPolarisError(error) && error.code === "ENVELOPE_MALFORMED" ? notSealed(status, error) : error;
  }
}

function notSealed(status: number, cause?: unknown): PolarisError {
  return new PolarisError("RESPONSE_NOT_SEALED", `response with status ${status} is not a sealed one`, {
    hint: 'do not use it; a proxy without response encryption needs a client with responses: "clear"',
    details: { status },
    cause,
  });
}
