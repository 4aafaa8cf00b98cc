/**
 * Wire v1: URL, headers and body of a request each in an envelope of its own, the response body in another. The method,
 * the status and the response's headers stay in the clear. Everything that the proxy knows of this format is here.
 */
import type { IncomingHttpHeaders } from "node:http";
import { decodeBase64, parseEnvelope } from "@polaris-cvm/sdk";
import type { EnvelopeParts } from "@polaris-cvm/sdk";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { openParts, parseResponseKey, sealFor } from "./envelope-crypto.ts";
import type { EncryptionMode, ProxySettings } from "./environment.ts";
import { listFieldValues, parseSealedFields, withoutFields } from "./field-lines.ts";
import type { FieldLines } from "./field-lines.ts";
import type { ClearRequest, Exchange, Reply, Unwrap, WireFormat, WorkloadAnswer } from "./wire-format.ts";

export type WireV1Settings = Pick<ProxySettings, "encryption" | "headerNames">;

/** The sealed parts of a request, as they stand in its headers: base64 text of envelopes. */
interface SealedHeaders {
  readonly url: string | undefined;
  readonly secure: string | undefined;
}

const CLEAR_EXCHANGE: Exchange = {
  open: (received) => Promise.resolve(received),
  seal: (answer) => answer,
};

export function createWireV1({ encryption, headerNames }: WireV1Settings): WireFormat {
  return {
    admit(headers) {
      const url = readHeader(headers, headerNames.url);
      const secure = readHeader(headers, headerNames.secure);
      const responseKeyText = readHeader(headers, headerNames.responseKey);
      const isSealed = url !== undefined || secure !== undefined;
      checkMode("requests", encryption.requests, isSealed, headerNames.secure);
      checkMode("responses", encryption.responses, responseKeyText !== undefined, headerNames.responseKey);
      if (!isSealed && responseKeyText === undefined) return CLEAR_EXCHANGE;

      const responseKey = responseKeyText === undefined ? undefined : parseResponseKey(responseKeyText);
      return {
        async open(received, unwrap) {
          const request = isSealed ? await openRequest({ url, secure }, received, unwrap) : received;
          if (isSealed) checkResponseKeyCopy(request.fieldLines, headerNames.responseKey, responseKeyText);
          return responseKey === undefined ? request : askForPlainCoding(request);
        },
        seal(answer) {
          const kept = { ...answer, fieldLines: forbidCaching(answer.fieldLines) };
          return responseKey === undefined ? kept : sealAnswer(kept, (body) => sealFor(responseKey, body));
        },
      };
    },
  };
}

function readHeader(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join() : value;
}

function checkMode(what: string, mode: EncryptionMode, isAsked: boolean, headerName: string): void {
  if (mode === "required" && !isAsked) {
    throw new PolarisError(
      "ENCRYPTION_REQUIRED",
      `${what} must be sealed here: header ${headerName} is missing`,
    );
  }
  if (mode === "off" && isAsked) {
    throw new PolarisError("ENCRYPTION_OFF", `${what} are not sealed here`);
  }
}

/**
 * Opens the parts of a request, with all unwraps at the same time. All layouts are read first, so that a message that
 * cannot be one costs no private operation.
 *
 * Nothing outside the envelopes is kept but the method: headers in the clear may be anybody's.
 */
async function openRequest(
  sealed: SealedHeaders,
  received: ClearRequest,
  unwrap: Unwrap,
): Promise<ClearRequest> {
  const url = sealed.url === undefined ? undefined : parseHeaderEnvelope(sealed.url);
  const secure = sealed.secure === undefined ? undefined : parseHeaderEnvelope(sealed.secure);
  const body = received.body.length === 0 ? undefined : parseEnvelope(received.body);
  const open = (parts: EnvelopeParts | undefined): Promise<Buffer> | undefined =>
    parts === undefined ? undefined : openParts(parts, unwrap);

  const [urlBytes, secureBytes, bodyBytes] = await Promise.all([open(url), open(secure), open(body)]);
  return {
    method: received.method,
    // The original client never seals the URL of "/".
    target: urlBytes === undefined ? "/" : withoutFragment(decodeText(urlBytes)),
    fieldLines: secureBytes === undefined ? [] : parseSealedFields(decodeText(secureBytes)),
    body: bodyBytes ?? received.body,
  };
}

function parseHeaderEnvelope(text: string): EnvelopeParts {
  const bytes = decodeBase64(text);
  if (bytes === undefined) throw new PolarisError("ENVELOPE_MALFORMED", "a sealed header is not base64");
  return parseEnvelope(bytes);
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decodeText(bytes: Buffer): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new PolarisError("REQUEST_INVALID", "a sealed part is not UTF-8");
  }
}

/** The original client seals the fragment too, which no server should ever see. */
function withoutFragment(target: string): string {
  const end = target.indexOf("#");
  return end < 0 ? target : target.slice(0, end);
}

/**
 * The response key travels in the clear, where anybody on the way could put his own. Clients seal a copy of it with the
 * headers: where there is one, it decides, and a key that was exchanged or taken away is noticed.
 */
function checkResponseKeyCopy(fieldLines: FieldLines, name: string, outerText: string | undefined): void {
  const copies = listFieldValues(fieldLines, name);
  if (copies.some((copy) => copy !== outerText)) {
    throw new PolarisError("REQUEST_INVALID", "the response key is not the one in the sealed headers");
  }
}

/** Body codings would end up inside the envelope, where HTTP clients do not look for them. */
function askForPlainCoding(request: ClearRequest): ClearRequest {
  const others = withoutFields(request.fieldLines, new Set(["accept-encoding"]));
  return { ...request, fieldLines: [...others, "accept-encoding", "identity"] };
}

const CACHING_FIELDS = new Set(["cache-control", "expires", "pragma"]);

/** All sealed requests have the same URL: what one client gets must never be another one's answer. */
function forbidCaching(fieldLines: FieldLines): FieldLines {
  return [...withoutFields(fieldLines, CACHING_FIELDS), "cache-control", "no-store"];
}

const INNER_BODY_FIELDS = new Set(["content-encoding", "content-length"]);

/** Codings that messages name; anything else in that field is the workload's own text. */
const CONTENT_CODINGS = new Set(["br", "compress", "deflate", "gzip", "x-compress", "x-gzip", "zstd"]);

/** The sealed body is base64 text, for an empty body too. What has no body in HTTP stays without one. */
function sealAnswer(answer: WorkloadAnswer, seal: (body: Uint8Array) => Uint8Array<ArrayBuffer>): Reply {
  const coding = listFieldValues(answer.fieldLines, "content-encoding").join().toLowerCase();
  if (coding !== "" && coding !== "identity") {
    const shown = CONTENT_CODINGS.has(coding) ? `content-encoding ${coding}` : "another content-encoding";
    throw new PolarisError(
      "WORKLOAD_RESPONSE_INVALID",
      `the workload sent ${shown} although identity was asked for`,
    );
  }
  const fieldLines = withoutFields(answer.fieldLines, INNER_BODY_FIELDS);
  if (answer.body === undefined) return { ...answer, fieldLines };
  const base64 = Buffer.from(seal(answer.body).buffer).toString("base64");
  return { ...answer, fieldLines, body: Buffer.from(base64, "latin1") };
}
