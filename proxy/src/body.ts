import type { IncomingMessage } from "node:http";
import { PolarisError } from "@polaris-cvm/sdk/errors";

const EMPTY = Buffer.alloc(0);

/**
 * Reads the body of a request, up to a limit. What comes after the limit is thrown away unread.
 *
 * @throws {PolarisError} BODY_TOO_LARGE, before the first byte where the client announces the length
 * @throws {Error} if the client goes away in the middle
 */
export function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const { "content-length": announced, "transfer-encoding": coding } = request.headers;
  if (coding === undefined && (announced === undefined || announced === "0")) return Promise.resolve(EMPTY);
  if (Number(announced) > maxBytes) {
    request.resume();
    return Promise.reject(bodyTooLarge(maxBytes));
  }

  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let byteCount = 0;
    request.on("data", (chunk: Buffer) => {
      byteCount += chunk.length;
      if (byteCount <= maxBytes) {
        chunks.push(chunk);
        return;
      }
      chunks.length = 0;
      reject(bodyTooLarge(maxBytes));
    });
    request.on("end", () => resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)));
    request.on("error", reject);
    request.on("close", () => reject(new Error("the client went away before the end of its body")));
  });
}

function bodyTooLarge(maxBytes: number): PolarisError {
  return new PolarisError("BODY_TOO_LARGE", `body is longer than ${maxBytes} bytes`);
}
