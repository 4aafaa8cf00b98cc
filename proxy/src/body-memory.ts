import type { Readable } from "node:stream";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { ProxyLimits } from "./environment.ts";

/** The memory that sealed bodies may take, of all requests together. */
export interface BodyMemory {
  /** Bytes that are held now. */
  readonly heldBytes: number;
  /** The share of one request; it must be given back. */
  share(): BodyShare;
}

/** What one request holds: its own body, and the answer that is collected for it. */
export interface BodyShare {
  /**
   * Reads a whole body. What comes after the limit is thrown away unread.
   *
   * Rejects with BODY_TOO_LARGE (before the first byte where the length is announced), REQUEST_TIMEOUT, OVERLOADED, or an
   * Error if the client goes away in the middle.
   */
  readBody(body: Readable, announcedLength: string | undefined): Promise<Buffer>;
  /** @throws {PolarisError} OVERLOADED if there is no memory for so much more */
  take(byteCount: number): void;
  giveBack(): void;
}

export function createBodyMemory(
  limits: Pick<ProxyLimits, "maxBodyBytes" | "maxBufferedBytes" | "bodyTimeoutMs">,
): BodyMemory {
  let heldBytes = 0;

  return {
    get heldBytes() {
      return heldBytes;
    },
    share() {
      let taken = 0;
      const take = (byteCount: number): void => {
        if (heldBytes + byteCount > limits.maxBufferedBytes) {
          throw new PolarisError("OVERLOADED", "the proxy holds as many sealed bodies as it can");
        }
        heldBytes += byteCount;
        taken += byteCount;
      };
      return {
        take,
        readBody: (body, announcedLength) => readBody(body, announcedLength, limits, take),
        giveBack() {
          heldBytes -= taken;
          taken = 0;
        },
      };
    },
  };
}

function readBody(
  body: Readable,
  announcedLength: string | undefined,
  { maxBodyBytes, bodyTimeoutMs }: Pick<ProxyLimits, "maxBodyBytes" | "bodyTimeoutMs">,
  take: (byteCount: number) => void,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let byteCount = 0;
    let isRefused = false;
    const refuse = (error: unknown): void => {
      clearTimeout(timer);
      isRefused = true;
      chunks.length = 0;
      // Not destroyed: the client is to read why. Whoever answers cuts it off if it goes on for long.
      body.resume();
      reject(error);
    };
    const timer = setTimeout(
      () => refuse(new PolarisError("REQUEST_TIMEOUT", `body did not come within ${bodyTimeoutMs} ms`)),
      bodyTimeoutMs,
    );
    if (Number(announcedLength) > maxBodyBytes) {
      refuse(bodyTooLarge(maxBodyBytes));
      return;
    }
    body.on("data", (chunk: Buffer) => {
      if (isRefused) return;
      byteCount += chunk.length;
      if (byteCount > maxBodyBytes) {
        refuse(bodyTooLarge(maxBodyBytes));
        return;
      }
      try {
        take(chunk.length);
        chunks.push(chunk);
      } catch (error) {
        refuse(error);
      }
    });
    body.on("end", () => {
      clearTimeout(timer);
      resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks));
    });
    body.on("error", refuse);
    body.on("close", () => {
      clearTimeout(timer);
      reject(new Error("the client went away before the end of its body"));
    });
  });
}

function bodyTooLarge(maxBytes: number): PolarisError {
  return new PolarisError("BODY_TOO_LARGE", `a sealed body is longer than ${maxBytes} bytes`);
}
