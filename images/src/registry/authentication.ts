import { PolarisError } from "@polaris-cvm/sdk/errors";
import * as z from "zod";
import { parseChallenges } from "./challenge.ts";
import type { Challenge } from "./challenge.ts";
import type { Credential, CredentialSource } from "./credentials.ts";
import { describeRefusal } from "./refusal.ts";
import { mayLeadTo, registryOrigin } from "./registry-host.ts";
import { sendWithRetries } from "./retry.ts";
import { readBody } from "./transport.ts";
import type { RegistryAnswer, RegistryRequest, Transport } from "./transport.ts";

const MAX_TOKEN_ANSWER_BYTES = 64 * 1024;

/** How long a token is good for if the server does not say (Docker registry v2 token specification). */
const DEFAULT_TOKEN_SECONDS = 60;

/** A token this near to its end could end on the way. */
const TOKEN_MARGIN_MS = 5_000;

/** Bearer tokens go into a header as they are (RFC 6750 §2.1). */
const token = z.string().regex(/^[\w.~+/-]+=*$/);

const tokenAnswer = z.object({
  token: token.nullish(),
  access_token: token.nullish(),
  expires_in: z.number().min(0).nullish(),
});

interface Login {
  /** Value of the Authorization header. */
  readonly authorization: string;
  readonly expiresAtMs: number;
}

/** What is asked of whom, for an authorization. */
export interface AuthorizationRequest {
  readonly registry: string;
  /** `repository:<name>:pull,push` (Docker registry v2 token specification, "Requesting a Token"). */
  readonly scopes: readonly string[];
  /** How errors call what is wanted. */
  readonly subject: string;
  readonly signal: AbortSignal;
}

/** Knows how each registry wants to be asked, and keeps what it has given for that. */
export class Authenticator {
  readonly #transport: Transport;
  readonly #credentials: CredentialSource | undefined;
  readonly #retryDelaysMs: readonly number[];
  /** By registry, and for tokens by scopes, too. */
  readonly #logins = new Map<string, Login>();
  /** By registry: to look for them may start a program, which may ask a person. */
  readonly #findings = new Map<string, Promise<Credential | undefined>>();

  constructor(
    transport: Transport,
    credentials: CredentialSource | undefined,
    retryDelaysMs: readonly number[],
  ) {
    this.#transport = transport;
    this.#credentials = credentials;
    this.#retryDelaysMs = retryDelaysMs;
  }

  /** What the registry has taken before; undefined if there is nothing, or it has ended. */
  currentAuthorization({ registry, scopes }: AuthorizationRequest): string | undefined {
    const login = this.#logins.get(tokenKey(registry, scopes)) ?? this.#logins.get(registry);
    return login !== undefined && login.expiresAtMs > Date.now() ? login.authorization : undefined;
  }

  /**
   * Answers the challenge of a 401.
   *
   * @param refused  what was sent with the request, if anything
   * @returns the authorization for one more attempt; undefined if there is none that the registry has not refused already
   * @throws {PolarisError} REGISTRY_DENIED if the login is wrong or the challenge not one that we can answer;
   *   REGISTRY_UNREACHABLE, REGISTRY_RATE_LIMITED or REGISTRY_FAILED from the token server; what the credential source throws
   */
  async answerChallenge(
    request: AuthorizationRequest,
    header: string | readonly string[] | undefined,
    refused: string | undefined,
  ): Promise<string | undefined> {
    const { registry, scopes } = request;
    const challenges = parseChallenges(header);
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    if (bearer !== undefined) {
      const login = await this.#fetchToken(request, bearer);
      this.#logins.set(tokenKey(registry, scopes), login);
      return login.authorization;
    }
    if (challenges.some(({ scheme }) => scheme === "basic")) {
      const credential = await this.#findCredential(registry, request.signal);
      if (credential?.kind !== "password") return undefined;
      const authorization = basic(credential);
      if (authorization === refused) return undefined;
      this.#logins.set(registry, { authorization, expiresAtMs: Infinity });
      return authorization;
    }
    throw badChallenge(registry, "Basic or Bearer");
  }

  async #fetchToken(request: AuthorizationRequest, challenge: Challenge): Promise<Login> {
    const { registry, signal } = request;
    const realm = parseRealm(registry, challenge);
    const credential = await this.#findCredential(registry, signal);
    const answer = await sendWithRetries(
      () => this.#transport.send(tokenRequest(realm, challenge, request, credential)),
      { delaysMs: this.#retryDelaysMs, signal },
    );
    if (answer.status !== 200) {
      throw await describeRefusal(answer, { ...request, subject: `a token for ${request.subject}` });
    }
    return await readToken(answer);
  }

  async #findCredential(registry: string, signal: AbortSignal): Promise<Credential | undefined> {
    const earlier = this.#findings.get(registry);
    if (earlier !== undefined) return await earlier;
    if (this.#credentials === undefined) return undefined;
    const finding = this.#credentials.find(registry, signal);
    this.#findings.set(registry, finding);
    try {
      return await finding;
    } catch (error) {
      // A search that was stopped has found out nothing.
      this.#findings.delete(registry);
      throw error;
    }
  }
}

function tokenKey(registry: string, scopes: readonly string[]): string {
  return [registry, ...scopes].join(" ");
}

function basic({ username, password }: Extract<Credential, { kind: "password" }>): string {
  return `Basic ${Buffer.from(`${username}:${password}`, "utf8").toString("base64")}`;
}

/**
 * The token server is whoever the registry names: that is the protocol. It may be another host, so our password goes there
 * over TLS only; and only a registry on this machine may name a server on this machine without.
 */
function parseRealm(registry: string, { parameters }: Challenge): URL {
  const realm = URL.parse(parameters.get("realm") ?? "");
  if (realm === null) throw badChallenge(registry, "a realm that is a URL");
  if (!mayLeadTo(registryOrigin(registry), realm)) {
    throw badChallenge(registry, `a realm with TLS, and got one of ${realm.protocol}//${realm.host}`);
  }
  return realm;
}

function badChallenge(registry: string, expected: string): PolarisError {
  return new PolarisError(
    "REGISTRY_DENIED",
    `${registry} wants a login (status 401) in a way that we do not follow: expected ${expected}`,
    { hint: "the registry is not set up as it should be: tell those who run it", details: { status: 401 } },
  );
}

/** A GET with Basic, or a POST with the identity token (Docker registry v2: token and OAuth2 specifications). */
function tokenRequest(
  realm: URL,
  { parameters }: Challenge,
  { scopes, signal }: AuthorizationRequest,
  credential: Credential | undefined,
): RegistryRequest {
  // Some registries know other scopes than those of the specification.
  const asked = parameters.get("scope")?.split(" ") ?? [];
  const allScopes = [...new Set([...scopes, ...asked])].filter((scope) => scope !== "");
  const service = parameters.get("service");
  if (credential?.kind === "identity-token") {
    const form = new URLSearchParams({
      grant_type: "refresh_token",
      client_id: "polaris",
      refresh_token: credential.token,
      scope: allScopes.join(" "),
      ...(service !== undefined && { service }),
    });
    return {
      method: "POST",
      url: realm,
      headers: { accept: "application/json", "content-type": "application/x-www-form-urlencoded" },
      body: form.toString(),
      signal,
    };
  }
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set("service", service);
  for (const scope of allScopes) url.searchParams.append("scope", scope);
  return {
    method: "GET",
    url,
    headers: { accept: "application/json" },
    authorization: credential === undefined ? undefined : basic(credential),
    signal,
  };
}

async function readToken(answer: RegistryAnswer): Promise<Login> {
  const { host } = answer.url;
  const bytes = await readBody(answer, MAX_TOKEN_ANSWER_BYTES);
  if (bytes === undefined) {
    throw badToken(host, `more than ${MAX_TOKEN_ANSWER_BYTES} bytes`);
  }
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    // The parser's own error quotes the text, which may have a token in it.
    throw badToken(host, "what is not JSON");
  }
  const parsed = tokenAnswer.safeParse(json);
  const value = parsed.data?.token ?? parsed.data?.access_token;
  if (typeof value !== "string") throw badToken(host, "no token");
  const seconds = parsed.data?.expires_in ?? DEFAULT_TOKEN_SECONDS;
  return {
    authorization: `Bearer ${value}`,
    expiresAtMs: Date.now() + seconds * 1000 - TOKEN_MARGIN_MS,
  };
}

function badToken(host: string, got: string): PolarisError {
  return new PolarisError("REGISTRY_FAILED", `expected a token from ${host}, got ${got}`, {
    hint: "check that the registry and its token server are set up as they should be",
  });
}
