/**
 * Fetches the workload's secrets with the identity that the machine's attestation token is exchanged for, and writes them
 * into an environment file of systemd, for root alone. Runs once, before the workload, with the Node of the proxy's image:
 *
 *     node fetch-secrets.ts REQUEST.json TOKEN_FILE ENVIRONMENT_FILE
 *
 * It stands alone: nothing is beside it on the machine. No value and no token is in what it prints.
 */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

interface SecretRequest {
  readonly providerName: string;
  readonly stsUrl: string;
  readonly secretManagerUrl: string;
  readonly secrets: readonly { readonly name: string; readonly version: string }[];
}

/** What cannot become right by trying again: written as it is to the machine's log. */
class Refusal extends Error {}

const TIMEOUT_MS = 10_000;

/** A secret of Secret Manager has at most 64 KiB; in base64, with what is around it, less than this. */
const MAX_ANSWER_BYTES = 128 * 1024;

/** Pauses between attempts: after the last one the unit fails, and systemd begins anew. */
const PAUSES_MS = [500, 1000, 2000, 4000, 8000];

async function main([
  requestFile = "",
  tokenFile = "",
  environmentFile = "",
]: readonly string[]): Promise<void> {
  const request = JSON.parse(readFileSync(requestFile, "utf8")) as SecretRequest;
  const accessToken = await persist(() => exchangeToken(request, readFileSync(tokenFile, "utf8").trim()));
  const lines: string[] = [];
  for (const { name, version } of request.secrets) {
    const value = await persist(() => fetchSecret(request.secretManagerUrl, version, accessToken));
    lines.push(`${name}=${quoteValue(name, value)}\n`);
  }
  // Whole or not at all: the workload's unit starts as soon as the file is there.
  writeFileSync(`${environmentFile}.new`, lines.join(""), { mode: 0o600 });
  renameSync(`${environmentFile}.new`, environmentFile);
  process.stdout.write(`polaris: ${lines.length} secrets fetched\n`);
}

/** Google's token exchange (RFC 8693). */
async function exchangeToken(request: SecretRequest, attestationToken: string): Promise<string> {
  const answer = await ask("the token exchange", `${request.stsUrl}/v1/token`, {
    method: "POST",
    body: new URLSearchParams({
      grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
      audience: request.providerName,
      scope: "https://www.googleapis.com/auth/cloud-platform",
      requested_token_type: "urn:ietf:params:oauth:token-type:access_token",
      subject_token: attestationToken,
      subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
    }),
  });
  const { access_token: accessToken } = answer as { readonly access_token?: unknown };
  if (typeof accessToken !== "string" || !/^[!-~]+$/.test(accessToken)) {
    throw new Error("the token exchange gives no token");
  }
  return accessToken;
}

/** `projects.secrets.versions.access` of Secret Manager v1. */
async function fetchSecret(origin: string, version: string, accessToken: string): Promise<string> {
  const answer = await ask(version, `${origin}/v1/${version}:access`, {
    headers: { authorization: `Bearer ${accessToken}` },
  });
  const { payload } = answer as {
    readonly payload?: { readonly data?: unknown; readonly dataCrc32c?: unknown };
  };
  if (typeof payload?.data !== "string") throw new Error(`${version} has no data`);
  const bytes = Buffer.from(payload.data, "base64");
  if (payload.dataCrc32c !== undefined && payload.dataCrc32c !== String(crc32c(bytes))) {
    throw new Error(`${version} came damaged`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Refusal(`${version} is no text: a variable cannot hold it`);
  }
}

/** @returns the answer's JSON */
async function ask(what: string, url: string, init: RequestInit): Promise<unknown> {
  const response = await fetch(url, { ...init, redirect: "error", signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!response.ok) {
    await response.body?.cancel();
    throw new Error(`${what} is answered with HTTP status ${response.status}`);
  }
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > MAX_ANSWER_BYTES) throw new Error(`${what} is answered without an end`);
  }
  return JSON.parse(text);
}

/** Tries again, since rights take a while to arrive everywhere and networks fail. */
async function persist<Value>(attempt: () => Promise<Value>): Promise<Value> {
  for (const pauseMs of PAUSES_MS) {
    try {
      return await attempt();
    } catch (error) {
      if (error instanceof Refusal) throw error;
      process.stdout.write(`polaris: ${describe(error)}, trying again\n`);
      await sleep(pauseMs);
    }
  }
  return await attempt();
}

/**
 * A value in an environment file of systemd (systemd.exec, EnvironmentFile): within double quotes a line may end, and a
 * backslash stands before what would not stand for itself.
 */
function quoteValue(name: string, value: string): string {
  // Of Unicode's code points systemd refuses these, and an environment NUL.
  if (/[\0\p{Noncharacter_Code_Point}]/u.test(value)) {
    throw new Refusal(`the secret ${name} has a character that a variable cannot hold`);
  }
  return `"${value.replaceAll(/["\\`$]/g, String.raw`\$&`)}"`;
}

/** CRC-32C (Castagnoli), which Google's services send with data. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return "unknown error";
  // Of a request that got no answer, only the cause says why.
  const { cause } = error;
  return cause instanceof Error ? `${error.message} (${cause.message})` : error.message;
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  process.stdout.write(`polaris: no secrets: ${describe(error)}\n`);
  process.exitCode = 1;
}
