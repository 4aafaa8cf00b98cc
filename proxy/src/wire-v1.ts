/**
 * Wire v1: URL, headers and body of a request each in an envelope of its own, the response body in another. The method,
 * the status and the response's headers stay in the clear. Everything that the proxy knows of this format is here.
 */
import type { IncomingHttpHeaders } from "node:http";
import { decodeBase64, parseEnvelope } from "@polaris-cvm/sdk";
import type { EnvelopeParts } from "@polaris-cvm/sdk";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { KEY_ID_HEADER } from "@polaris-cvm/sdk/headers";
import { openParts, parseResponseKey, sealFor } from "./envelope-crypto.ts";
import type { EncryptionMode, ProxyLimits, ProxySettings } from "./environment.ts";
import { listFieldValues, parseSealedFields, withoutFields } from "./field-lines.ts";
import type { FieldLines } from "./field-lines.ts";
import type { ReceivedRequest } from "./received-request.ts";
import { withTraceContext } from "./trace-context.ts";
import type { AnswerHead, AnswerSink, ClearRequest, Exchange, Means, WireFormat } from "./wire-format.ts";

export type WireV1Settings = Pick<ProxySettings, "encryption" | "headerNames"> & {
  readonly limits: Pick<ProxyLimits, "maxBodyBytes">;
};

/** The sealed parts of a request, as they stand in its headers: base64 text of envelopes. */
interface SealedHeaders {
  readonly url: string | undefined;
  readonly secure: string | undefined;
  /** Which key it is all sealed to, if the client says. */
  readonly keyId: string | undefined;
}

const CLEAR_EXCHANGE: Exchange = {
  isClear: true,
  open: (received) => Promise.resolve(received),
  seal: (client) => client,
};

export function createWireV1({ encryption, headerNames, limits }: WireV1Settings): WireFormat {
  return {
    admit(headers) {
      const url = readHeader(headers, headerNames.url);
      const secure = readHeader(headers, headerNames.secure);
      const responseKeyText = readHeader(headers, headerNames.responseKey);
      const isSealed = url !== undefined || secure !== undefined;
      checkMode("requests", encryption.requests, isSealed, headerNames.secure);
      checkMode("responses", encryption.responses, responseKeyText !== undefined, headerNames.responseKey);
      if (!isSealed && responseKeyText === undefined) return CLEAR_EXCHANGE;

      const keyId = readHeader(headers, KEY_ID_HEADER);
      const responseKey = responseKeyText === undefined ? undefined : parseResponseKey(responseKeyText);
      return {
        isClear: false,
        async open(received, means) {
          const request = isSealed ? await openRequest({ url, secure, keyId }, received, means) : received;
          if (isSealed) checkResponseKeyCopy(request.fieldLines, headerNames.responseKey, responseKeyText);
          return responseKey === undefined ? request : askForPlainCoding(request);
        },
        seal(client, means) {
          const uncached = withoutCaching(client);
          if (responseKey === undefined) return uncached;
          return createSealingSink(
            uncached,
            (body) => sealFor(responseKey, body),
            means,
            limits.maxBodyBytes,
          );
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
 * Nothing outside the envelopes is kept but the method and the trace context: headers in the clear may be anybody's.
 */
async function openRequest(
  sealed: SealedHeaders,
  received: ReceivedRequest,
  means: Means,
): Promise<ClearRequest> {
  const url = sealed.url === undefined ? undefined : parseHeaderEnvelope(sealed.url);
  const secure = sealed.secure === undefined ? undefined : parseHeaderEnvelope(sealed.secure);
  const bodyBytes = received.body === undefined ? undefined : await means.readBody(received.body);
  const body = bodyBytes === undefined || bodyBytes.length === 0 ? undefined : parseEnvelope(bodyBytes);
  const unwrap = (wrapped: Uint8Array): Promise<Uint8Array> => means.unwrap(wrapped, sealed.keyId);
  const open = (parts: EnvelopeParts | undefined): Promise<Buffer> | undefined =>
    parts === undefined ? undefined : openParts(parts, unwrap);

  const [clearUrl, clearFields, clearBody] = await Promise.all([open(url), open(secure), open(body)]);
  return {
    method: received.method,
    // The original client never seals the URL of "/".
    target: clearUrl === undefined ? "/" : withoutFragment(decodeText(clearUrl)),
    fieldLines: withTraceContext(
      clearFields === undefined ? [] : parseSealedFields(decodeText(clearFields)),
      received.headers,
    ),
    body: clearBody,
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
function withoutCaching(client: AnswerSink): AnswerSink {
  return {
    interim: (status, fieldLines) => client.interim(status, fieldLines),
    head(head) {
      const others = withoutFields(head.fieldLines, CACHING_FIELDS);
      client.head({ ...head, fieldLines: [...others, "cache-control", "no-store"] });
    },
    data: (chunk, resume) => client.data(chunk, resume),
    end: (trailers) => client.end(trailers),
  };
}

const INNER_BODY_FIELDS = new Set(["content-encoding", "content-length"]);

/** Codings that messages name; anything else in that field is the workload's own text. */
const CONTENT_CODINGS = new Set(["br", "compress", "deflate", "gzip", "x-compress", "x-gzip", "zstd"]);

/**
 * Collects an answer and seals it at its end: the body is base64 text of one envelope, for an empty body too, so that
 * nothing can be sent earlier. What has no body in HTTP stays without one. Trailers would be in the clear, and are dropped
 * as HTTP allows (RFC 9110 §6.5.2).
 */
function createSealingSink(
  client: AnswerSink,
  seal: (body: Uint8Array) => Uint8Array<ArrayBuffer>,
  means: Pick<Means, "take">,
  maxBodyBytes: number,
): AnswerSink {
  const chunks: Buffer[] = [];
  let byteCount = 0;
  let answerHead: AnswerHead | undefined;
  return {
    interim: () => undefined,
    head(head) {
      checkPlainCoding(head.fieldLines);
      answerHead = { ...head, fieldLines: withoutFields(head.fieldLines, INNER_BODY_FIELDS) };
    },
    data(chunk) {
      byteCount += chunk.length;
      if (byteCount > maxBodyBytes) {
        throw new PolarisError(
          "WORKLOAD_RESPONSE_INVALID",
          `the workload's answer is longer than ${maxBodyBytes} bytes, which is as much as can be sealed`,
        );
      }
      means.take(chunk.length);
      chunks.push(chunk);
      return true;
    },
    end() {
      if (answerHead === undefined) return;
      if (!answerHead.hasBody) {
        client.head(answerHead);
      } else {
        const plaintext = Buffer.concat(chunks, byteCount);
        chunks.length = 0;
        const base64 = Buffer.from(seal(plaintext).buffer).toString("base64");
        const body = Buffer.from(base64, "latin1");
        const length = ["content-length", String(body.length)];
        client.head({ ...answerHead, fieldLines: [...answerHead.fieldLines, ...length] });
        client.data(body, () => undefined);
      }
      client.end([]);
    },
  };
}

function checkPlainCoding(fieldLines: FieldLines): void {
  const coding = listFieldValues(fieldLines, "content-encoding").join().toLowerCase();
  if (coding === "" || coding === "identity") return;
  const shown = CONTENT_CODINGS.has(coding) ? `content-encoding ${coding}` : "another content-encoding";
  throw new PolarisError(
    "WORKLOAD_RESPONSE_INVALID",
    `the workload sent ${shown} although identity was asked for`,
  );
}
