import type { JSONWebKeySet } from "jose";
import * as z from "zod";

const discoverySchema = z.looseObject({ issuer: z.string(), jwks_uri: z.string() });
const jwksSchema = z.object({ keys: z.array(z.looseObject({ kty: z.string() })) });

const CACHE_MS = 5 * 60_000;
const TIMEOUT_MS = 5000;
const MAX_BYTES = 256 * 1024;

/**
 * Loads public keys of issuers by OpenID discovery, and keeps them for five minutes.
 *
 * The returned function rejects if the issuer does not answer, or describes itself as somebody else.
 */
export function createIssuerKeysLoader(now: () => number): (issuerUri: string) => Promise<JSONWebKeySet> {
  const cache = new Map<string, { readonly keys: JSONWebKeySet; readonly loadedAtMs: number }>();
  return async (issuerUri) => {
    const cached = cache.get(issuerUri);
    if (cached !== undefined && now() - cached.loadedAtMs < CACHE_MS) return cached.keys;
    const issuer = issuerUri.replace(/\/$/, "");
    const discovery = discoverySchema.parse(await getJson(`${issuer}/.well-known/openid-configuration`));
    if (discovery.issuer.replace(/\/$/, "") !== issuer)
      throw new Error("the issuer describes itself as another one");
    const keys = jwksSchema.parse(await getJson(discovery.jwks_uri));
    cache.set(issuerUri, { keys, loadedAtMs: now() });
    return keys;
  };
}

async function getJson(url: string): Promise<unknown> {
  const { protocol, hostname } = new URL(url);
  if (protocol !== "https:" && hostname !== "127.0.0.1")
    throw new Error("an issuer must be reached by HTTPS");
  const response = await fetch(url, { redirect: "error", signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!response.ok || response.body === null) throw new Error(`the issuer answered ${response.status}`);
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body) {
    size += chunk.byteLength;
    if (size > MAX_BYTES) throw new Error("the issuer's document is too long");
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString("utf8"));
}
