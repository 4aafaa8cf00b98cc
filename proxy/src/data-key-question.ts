import type { IncomingMessage } from "node:http";
import { UNWRAP_DATA_KEY_PATH, decodeBase64 } from "@polaris-cvm/sdk";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import * as z from "zod";

/** What the workload wants to have unwrapped. */
export interface DataKeyQuestion {
  /** `sha256:<64 lowercase hex>`. */
  readonly keyId: string;
  readonly wrappedKey: Uint8Array;
}

const questionSchema = z.strictObject({
  keyId: z.string().regex(/^sha256:[0-9a-f]{64}$/),
  wrappedKey: z.string().min(1),
});

const EXPECTED = 'expected {"keyId": "sha256:<64 hex digits>", "wrappedKey": "<base64>"} as application/json';

/**
 * Reads a call of the one route that there is.
 *
 * @throws {PolarisError} ROUTE_NOT_FOUND, REQUEST_INVALID, BODY_TOO_LARGE, REQUEST_TIMEOUT
 * @throws {Error} if the caller goes away in the middle
 */
export async function readQuestion(
  request: IncomingMessage,
  limits: { readonly maxBodyBytes: number; readonly bodyTimeoutMs: number },
): Promise<DataKeyQuestion> {
  try {
    if (request.method !== "POST" || request.url !== UNWRAP_DATA_KEY_PATH) {
      throw new PolarisError("ROUTE_NOT_FOUND", `the one route here is POST ${UNWRAP_DATA_KEY_PATH}`);
    }
    if (request.headers["content-type"] !== "application/json") {
      throw new PolarisError("REQUEST_INVALID", EXPECTED);
    }
    return parseQuestion(await readBody(request, limits));
  } finally {
    // What is left is thrown away, so that whoever sends it gets to read the answer.
    request.resume();
  }
}

function parseQuestion(body: Buffer): DataKeyQuestion {
  const { success, data } = questionSchema.safeParse(parseJson(body));
  const wrappedKey = success ? decodeBase64(data.wrappedKey) : undefined;
  if (!success || wrappedKey === undefined) throw new PolarisError("REQUEST_INVALID", EXPECTED);
  return { keyId: data.keyId, wrappedKey };
}

/** `undefined` for what is not JSON, or not UTF-8. */
function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body));
  } catch {
    return undefined;
  }
}

function readBody(
  request: IncomingMessage,
  { maxBodyBytes, bodyTimeoutMs }: { readonly maxBodyBytes: number; readonly bodyTimeoutMs: number },
): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const pieces: Buffer[] = [];
  let byteCount = 0;
  const timer = setTimeout(() => {
    reject(new PolarisError("REQUEST_TIMEOUT", `the body did not come within ${bodyTimeoutMs} ms`));
  }, bodyTimeoutMs);
  const collect = (piece: Buffer): void => {
    byteCount += piece.length;
    if (byteCount > maxBodyBytes) {
      reject(new PolarisError("BODY_TOO_LARGE", `body is longer than ${maxBodyBytes} bytes`));
    } else {
      pieces.push(piece);
    }
  };
  request
    .on("data", collect)
    .once("end", () => resolve(Buffer.concat(pieces)))
    .once("error", reject)
    .once("close", () => reject(new Error("the caller went away in the middle of its body")));
  return promise.finally(() => {
    clearTimeout(timer);
    request.off("data", collect);
  });
}
