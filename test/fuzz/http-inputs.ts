/** Bytes that a client may send to the port: requests that are almost right. */
import { GOLDEN_VECTORS } from "../../proxy/testing/golden-vectors.ts";
import type { Random } from "./random.ts";

const TARGETS = [
  "/",
  "/orders?x=1",
  "//other.example/",
  "http://other.example/",
  "/\\other",
  "*",
  "/%00",
  "/a b",
  "/polaris-container/health",
  "/polaris-container/ready",
  "/polaris-container/attestation?nonce=AAAA",
  "/polaris-container/../x",
  "/#fragment",
];

const METHODS = ["GET", "POST", "HEAD", "PUT", "OPTIONS", "TRACE", "CONNECT", "PATCH", "QUERY", "get", "PRI"];

const FIELDS = [
  "content-length: 5",
  "content-length: 05",
  "content-length: 5, 5",
  "content-length: -1",
  "content-length: 99999999999999999999",
  "transfer-encoding: chunked",
  "transfer-encoding: chunked, chunked",
  "transfer-encoding: gzip, chunked",
  "Transfer-Encoding : chunked",
  "transfer-encoding: xchunked",
  "connection: close",
  "connection: keep-alive, x-a",
  "connection: upgrade",
  "upgrade: websocket",
  "upgrade: h2c",
  "expect: 100-continue",
  "expect: 200-ok",
  "te: trailers",
  "trailer: x-sum",
  "host: a",
  "host: a\r\nhost: b",
  "origin: https://a.example",
  "access-control-request-method: PUT",
  "access-control-request-headers: x-a, x-b",
  "polaris-url: !",
  "polaris-secure: AAAA",
  "polaris-key-id: sha256:00",
  "polaris-response-public-key: AAAA",
  "polaris-error: INTERNAL",
  "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  "traceparent: x",
  "x-forwarded-for: 203.0.113.9",
  "x-long: ".padEnd(70_000, "a"),
  " folded: line",
  "x-nul: \0",
  "x-bare-lf: a\nx-b: c",
  ": no name",
  "no colon",
  "x-latin1: ÿ",
];

const BODIES = [
  "",
  "hello",
  "5\r\nhello\r\n0\r\n\r\n",
  "5;ext=1\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n",
  "5\r\nhello0\r\n\r\n",
  "FFFFFFFFFFFFFFFFF\r\n",
  "-1\r\n\r\n",
  "0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n",
  "hello GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n",
];

/** One input of a connection. */
export function makeHttpInput(random: Random): Buffer {
  const input = random.chance(0.2) ? goldenRequest(random) : composedRequest(random);
  return random.chance(0.4) ? mutate(input, random) : input;
}

function composedRequest(random: Random): Buffer {
  const version = random.pick([
    "HTTP/1.1",
    "HTTP/1.1",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/2.0",
    "HTTP/0.9",
    "HTTQ/1.1",
  ]);
  const fields = Array.from({ length: random.integer(4) }, () => random.pick(FIELDS));
  if (random.chance(0.8)) fields.unshift("host: a.example");
  const head = [`${random.pick(METHODS)} ${random.pick(TARGETS)} ${version}`, ...fields, "", ""].join("\r\n");
  return Buffer.from(head + random.pick(BODIES), "latin1");
}

/** A request of the original client, byte for byte. */
function goldenRequest(random: Random): Buffer {
  return Buffer.from(random.pick(GOLDEN_VECTORS.exchanges).requestRawBase64, "base64");
}

/** Changes a few places: a bit, a byte, a piece left out, doubled or put in. */
export function mutate(input: Buffer, random: Random): Buffer {
  let changed = Buffer.from(input);
  const count = 1 + random.integer(4);
  for (let done = 0; done < count && changed.length > 0; done += 1) {
    const at = random.integer(changed.length);
    const length = 1 + random.integer(Math.min(64, changed.length - at));
    const [before, piece, after] = [
      changed.subarray(0, at),
      changed.subarray(at, at + length),
      changed.subarray(at + length),
    ];
    switch (random.integer(5)) {
      case 0:
        changed[at] = (changed[at] ?? 0) ^ (1 << random.integer(8));
        break;
      case 1:
        changed[at] = random.pick([0, 10, 13, 32, 58, 255]);
        break;
      case 2:
        changed = Buffer.concat([before, after]);
        break;
      case 3:
        changed = Buffer.concat([before, piece, piece, after]);
        break;
      default:
        changed = Buffer.concat([before, random.bytes(length), piece, after]);
    }
  }
  return changed;
}
