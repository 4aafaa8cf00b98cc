/** Sealed requests that are almost right: each part sealed to the proxy's real key, then spoilt at one place. */
import { encodeBase64, sealEnvelope } from "@polaris-cvm/sdk";
import type { RecipientKey } from "@polaris-cvm/sdk";
import { mutate } from "./http-inputs.ts";
import type { Random } from "./random.ts";

/** What only the sender and the workload may ever see. */
export const PLANTED_PLAINTEXT = "planted-plaintext-7f3a";

const URLS = [
  "/orders?token=" + PLANTED_PLAINTEXT,
  "http://other.example/" + PLANTED_PLAINTEXT,
  "//other.example",
  "/a b",
  "/x\r\nGET /smuggled HTTP/1.1",
  "/polaris-container/health",
  "",
  "/#a",
  "/\0",
  "/é",
];

const HEADERS: readonly unknown[] = [
  { "x-secret": PLANTED_PLAINTEXT },
  { "x-a": "1\r\nx-b: 2" },
  { "x-a": "1\nGET /smuggled HTTP/1.1" },
  { "bad name": "1" },
  { "transfer-encoding": "chunked", "content-length": "5" },
  { "content-length": "999" },
  { connection: "x-a", "x-a": "1" },
  { host: "a\r\nb" },
  { upgrade: "websocket", connection: "upgrade" },
  { "polaris-response-public-key": "AAAA" },
  { "x-a": ["1", "2"] },
  { "x-a": { deep: [] } },
  { "x-a": null },
  { __proto__: "1", constructor: "2" },
  { expect: "100-continue" },
  [],
  "text",
  null,
  Object.fromEntries(Array.from({ length: 3000 }, (_, index) => [`x-${index}`, "v"])),
];

const NEVER_CLOSED = '{"x-a": "';

/** One input of a connection. */
export async function makeSealedInput(random: Random, recipient: RecipientKey): Promise<Buffer> {
  const seal = async (text: string): Promise<Buffer> => {
    const sealed = Buffer.from(await sealEnvelope(new TextEncoder().encode(text), recipient));
    return random.chance(0.3) ? mutate(sealed, random) : sealed;
  };
  const json = random.chance(0.1) ? NEVER_CLOSED : JSON.stringify(random.pick(HEADERS));
  const [url, secure, body] = await Promise.all([
    seal(random.pick(URLS)),
    seal(json),
    random.chance(0.5) ? seal(PLANTED_PLAINTEXT.repeat(random.integer(50))) : undefined,
  ]);
  const fields = [`polaris-url: ${encodeBase64(url)}`, `polaris-secure: ${encodeBase64(secure)}`];
  if (random.chance(0.2)) fields.splice(random.integer(2), 1);
  if (random.chance(0.5))
    fields.push(`polaris-key-id: ${random.chance(0.8) ? recipient.keyId : "sha256:00"}`);
  if (body !== undefined) fields.push(`content-length: ${body.length}`);
  const method = random.pick(["GET", "POST", "HEAD", "TRACE", "DELETE"]);
  const head = [`${method} / HTTP/1.1`, "host: a.example", "connection: close", ...fields, "", ""].join(
    "\r\n",
  );
  return Buffer.concat([Buffer.from(head, "latin1"), body ?? Buffer.alloc(0)]);
}
