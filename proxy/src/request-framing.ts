import type { IncomingMessage } from "node:http";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { isKnownMethod } from "./received-request.ts";
import type { ClientRequest } from "./received-request.ts";

/**
 * Refuses what Node's parser lets through although HTTP does not, so that nobody behind the proxy reads it in another way.
 *
 * @throws {PolarisError} REQUEST_INVALID
 */
export function checkFraming(request: ClientRequest): void {
  if (!("stream" in request)) checkHttp1(request);
  else if (!isKnownMethod(request.method)) throw invalid("the method is not one of HTTP");
}

/** RFC 9112 §2.3 (version), §3.2 (host), §6.1 (transfer coding). */
function checkHttp1({ httpVersion, headers, rawHeaders }: IncomingMessage): void {
  if (httpVersion !== "1.1" && httpVersion !== "1.0") throw invalid("expected HTTP/1.0 or HTTP/1.1");
  const coding = headers["transfer-encoding"];
  if (coding !== undefined && (coding.toLowerCase() !== "chunked" || httpVersion === "1.0")) {
    throw invalid("expected no transfer-encoding but chunked, and that in HTTP/1.1");
  }
  const hostCount = countHosts(rawHeaders);
  if (hostCount > 1 || (hostCount === 0 && httpVersion === "1.1")) throw invalid("expected one host");
}

function countHosts(rawHeaders: readonly string[]): number {
  let count = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? "";
    if (name.length === "host".length && name.toLowerCase() === "host") count += 1;
  }
  return count;
}

function invalid(message: string): PolarisError {
  return new PolarisError("REQUEST_INVALID", message);
}
