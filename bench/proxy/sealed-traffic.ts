import {
  createClient,
  createEphemeralKeyHandler,
  decodeBase64,
  fetchPublicKey,
  openEnvelope,
} from "@polaris-cvm/sdk";
import type { KeyHandler } from "@polaris-cvm/sdk";
import type { Traffic } from "./closed-loop.ts";
import { SMALL_BODY, formatMessage } from "./messages.ts";

/** Different ones, so that nothing on the way can have seen them all before; replaying is fine in wire v1. */
const REQUEST_COUNT = 64;

/** Opening takes private operations too, and they are the generator's, not the proxy's. */
const OPEN_ONE_IN = 100;

/** Of the base64 text of an envelope for an RSA-4096 key: 1441 bytes more than what is in it. */
const SEALED_LENGTH = Math.ceil((SMALL_BODY.length + 1441) / 3) * 4;

/** The key pair that all answers are sealed to. */
const keyHandler: KeyHandler = createEphemeralKeyHandler();

/** Seals requests to the key of a proxy, exactly as the SDK's client does. */
export async function sealTraffic(port: number): Promise<Traffic> {
  const url = `http://127.0.0.1:${port}`;
  const requests: Buffer[] = [];
  const client = createClient({
    url,
    publicKey: (await fetchPublicKey(url)).pem,
    keyHandler,
    fetch: (_input, init) => {
      requests.push(formatSealed(init ?? {}));
      return Promise.resolve(new Response(null, { status: 204 }));
    },
  });
  for (let count = 0; count < REQUEST_COUNT; count += 1) {
    const headers = { authorization: "Bearer 0123456789abcdef", "content-type": "text/plain" };
    await client.fetch(`/orders?number=${count}`, { method: "POST", headers, body: SMALL_BODY });
  }
  return {
    requests,
    inspect: { oneIn: OPEN_ONE_IN, body: checkOpened },
    checkLength(byteCount) {
      if (byteCount !== SEALED_LENGTH) throw new Error(`a sealed answer of ${byteCount} bytes came`);
    },
  };
}

function formatSealed({ headers, body }: RequestInit): Buffer {
  if (!(body instanceof Uint8Array)) throw new Error("the client sealed no body");
  const fields = { host: "127.0.0.1", ...Object.fromEntries(new Headers(headers)) };
  return formatMessage("POST / HTTP/1.1", fields, body);
}

async function checkOpened(text: Buffer): Promise<void> {
  const envelope = decodeBase64(text.toString("latin1"));
  if (envelope === undefined) throw new Error("a sealed answer is not base64");
  const opened = await openEnvelope(envelope, keyHandler.unwrap);
  if (!SMALL_BODY.equals(opened)) throw new Error("a sealed answer holds something else");
}
