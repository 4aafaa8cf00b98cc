import { randomUUID, sign, X509Certificate } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

/** What `docker login` would have kept instead of the password. */
export const IDENTITY_TOKEN = "pl4nt3d-identity-token";

export interface TokenServerOptions {
  readonly username: string;
  readonly password: string;
  readonly issuer: string;
  readonly privateKey: KeyObject;
  readonly certificatePem: string;
}

export interface TokenServer {
  /** For the registry's configuration. */
  readonly realm: string;
  /** How many tokens it has given out. */
  tokenCount(): number;
  /** Tokens from now on have ended when they come: the registry refuses them. */
  giveStaleTokens(areStale: boolean): void;
  stop(): Promise<void>;
}

interface TokenQuestion {
  readonly service: string;
  readonly scopes: readonly string[];
  readonly isKnown: boolean;
}

/**
 * A token server after the Docker registry v2 token specification. The account may do everything; strangers may pull what
 * is under `public/`, and get a token for nothing else.
 */
export async function startTokenServer(options: TokenServerOptions): Promise<TokenServer> {
  let tokenCount = 0;
  let areStale = false;
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const question = await readQuestion(request, options);
    if (question !== undefined) tokenCount += 1;
    response.writeHead(question === undefined ? 401 : 200, { "content-type": "application/json" });
    response.end(
      JSON.stringify(
        question === undefined
          ? { errors: [{ code: "UNAUTHORIZED" }] }
          : { token: makeToken(question, options, areStale), expires_in: 300 },
      ),
    );
  };
  const server = createServer((request, response) => void answer(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    realm: `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`,
    tokenCount: () => tokenCount,
    giveStaleTokens(value) {
      areStale = value;
    },
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** @returns undefined for a wrong login */
async function readQuestion(
  request: IncomingMessage,
  { username, password }: TokenServerOptions,
): Promise<TokenQuestion | undefined> {
  const { searchParams } = new URL(request.url ?? "", "http://token-server.test");
  if (request.method === "POST") {
    const form = new URLSearchParams(await text(request));
    if (form.get("refresh_token") !== IDENTITY_TOKEN) return undefined;
    return {
      service: form.get("service") ?? "",
      scopes: (form.get("scope") ?? "").split(" "),
      isKnown: true,
    };
  }
  const { authorization } = request.headers;
  const expected = `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
  if (authorization !== undefined && authorization !== expected) return undefined;
  return {
    service: searchParams.get("service") ?? "",
    scopes: searchParams.getAll("scope"),
    isKnown: authorization !== undefined,
  };
}

function makeToken(
  { service, scopes, isKnown }: TokenQuestion,
  { issuer, privateKey, certificatePem }: TokenServerOptions,
  isStale: boolean,
): string {
  const access = scopes.flatMap((scope) => {
    const [, type, name, actions] = /^(\w+):(.+):([\w,]+)$/.exec(scope) ?? [];
    if (type === undefined || name === undefined || actions === undefined) return [];
    if (isKnown) return [{ type, name, actions: actions.split(",") }];
    return name.startsWith("public/") ? [{ type, name, actions: ["pull"] }] : [];
  });
  const now = Math.floor(Date.now() / 1000) - (isStale ? 3600 : 0);
  const certificate = new X509Certificate(certificatePem).raw.toString("base64");
  const unsigned = [
    { typ: "JWT", alg: "ES256", x5c: [certificate] },
    {
      iss: issuer,
      sub: "",
      aud: service,
      exp: now + 300,
      nbf: now - 10,
      iat: now,
      jti: randomUUID(),
      access,
    },
  ]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  const signature = sign("sha256", Buffer.from(unsigned), { key: privateKey, dsaEncoding: "ieee-p1363" });
  return `${unsigned}.${signature.toString("base64url")}`;
}
