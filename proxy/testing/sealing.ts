/** The client's side of wire v1 for the tests of the proxy, with the keys of the golden vectors. */
import { constants, createPrivateKey, privateDecrypt } from "node:crypto";
import { createClient, encodeBase64, importPublicKey, sealEnvelope } from "@polaris-cvm/sdk";
import type { KeyHandler } from "@polaris-cvm/sdk";
import { GOLDEN_VECTORS, openAsOriginal } from "./golden-vectors.ts";
import type { RawAnswer } from "./raw-answers.ts";

/** Whom requests are sealed to: the proxy. */
export const recipient = await importPublicKey(GOLDEN_VECTORS.containerPublicKeyPem);

/** Value of the header that names the client's key. */
export const responseKey = Buffer.from(GOLDEN_VECTORS.clientPublicKeyPem).toString("base64");

export const responseKeyField = `polaris-response-public-key: ${responseKey}`;

export async function sealBytes(plaintext: Uint8Array): Promise<Buffer> {
  return Buffer.from(await sealEnvelope(plaintext, recipient));
}

/** Value of a sealed header. */
export async function sealText(text: string): Promise<string> {
  return encodeBase64(await sealEnvelope(Buffer.from(text), recipient));
}

/** The field of sealed headers. */
export async function secureField(fields: Readonly<Record<string, unknown>> = {}): Promise<string> {
  return `polaris-secure: ${await sealText(JSON.stringify(fields))}`;
}

/** What is inside of a sealed answer. */
export function openAnswer({ body }: Pick<RawAnswer, "body">): string {
  return openAsOriginal(body, GOLDEN_VECTORS.clientPrivateKeyPem).toString();
}

const clientPrivateKey = createPrivateKey(GOLDEN_VECTORS.clientPrivateKeyPem);

export const clientKeys: KeyHandler = {
  publicKeyPem: async () => GOLDEN_VECTORS.clientPublicKeyPem,
  unwrap: async (wrapped) => {
    const padding = constants.RSA_PKCS1_OAEP_PADDING;
    return privateDecrypt({ key: clientPrivateKey, padding, oaepHash: "sha256" }, wrapped);
  },
};

/** Our own client, sealing both ways. */
export function createSealingClient(url: string): ReturnType<typeof createClient> {
  return createClient({ url, publicKey: GOLDEN_VECTORS.containerPublicKeyPem, keyHandler: clientKeys });
}
