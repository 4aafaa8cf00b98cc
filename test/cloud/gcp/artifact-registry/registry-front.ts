import { type IncomingMessage, request as send, type ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { type RunningRegistry, startRegistry } from "../../../../images/testing/registry-fixture.ts";
import type { Caller, HttpService } from "../api.ts";
import type { World } from "../world.ts";
import type { Repositories } from "./repositories.ts";

const NOBODY: Caller = { member: "allUsers", memberships: [] };
/** The user name that goes with an access token as the password. */
const TOKEN_USER = "oauth2accesstoken";
const DOWNLOAD = "artifactregistry.repositories.downloadArtifacts";
const UPLOAD = "artifactregistry.repositories.uploadArtifacts";

/**
 * The Docker registry of Artifact Registry: Debian's `docker-registry`, and before it who may read and write which
 * repository. Images are below `<project>/<repository>/`. The program starts with the first request that may go to it.
 */
export function createRegistryFront(world: World, repositories: Repositories): HttpService {
  let registry: Promise<RunningRegistry> | undefined;

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { pathname, searchParams } = new URL(request.url ?? "", "http://registry.invalid");
    const origin = `http://${request.headers.host ?? ""}`;
    const credential = readCredential(request);
    const caller = credential === undefined ? NOBODY : await world.authenticate(credential);
    if (caller === undefined) return refuse(response, 401, "UNAUTHORIZED", origin);
    if (pathname === "/v2/token") {
      // The access token is the registry token: the registry's own address gives it out by its password.
      return sendJson(response, 200, {
        token: credential ?? "anonymous",
        access_token: credential ?? "anonymous",
        expires_in: 3600,
        service: searchParams.get("service"),
      });
    }
    if (pathname === "/v2/" || pathname === "/v2") {
      return caller === NOBODY ? refuse(response, 401, "UNAUTHORIZED", origin) : sendJson(response, 200, {});
    }
    const [, project = "", id = "", image = ""] = /^\/v2\/([^/]+)\/([^/]+)\/(.+)$/.exec(pathname) ?? [];
    const repository = repositories.findByPath(project, id);
    const isRead = request.method === "GET" || request.method === "HEAD";
    const resource = repository?.name ?? `projects/${project}`;
    if (!world.hasPermission(caller, isRead ? DOWNLOAD : UPLOAD, resource)) {
      return caller === NOBODY
        ? refuse(response, 401, "UNAUTHORIZED", origin)
        : refuse(response, 403, "DENIED", origin);
    }
    if (repository === undefined || image === "") return refuse(response, 404, "NAME_UNKNOWN", origin);
    registry ??= startRegistry();
    await forward(request, response, (await registry).host);
  };

  return {
    name: "registry",
    answer,
    stop: async () => (await registry)?.stop(),
  };
}

/** The access token of `Bearer`, or the password of `Basic` by the one user that there is. */
function readCredential({ headers: { authorization = "" } }: IncomingMessage): string | undefined {
  const [scheme = "", value = ""] = authorization.split(/ +/, 2);
  if (scheme.toLowerCase() === "bearer") return value === "anonymous" ? undefined : value;
  if (scheme.toLowerCase() !== "basic") return undefined;
  const [user = "", ...password] = Buffer.from(value, "base64").toString("utf8").split(":");
  return user === TOKEN_USER ? password.join(":") : "";
}

async function forward(request: IncomingMessage, response: ServerResponse, host: string): Promise<void> {
  const { authorization: _, ...headers } = request.headers;
  const outgoing = send({
    host: host.split(":")[0],
    port: host.split(":")[1],
    method: request.method,
    path: request.url,
    headers,
  });
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  outgoing.once("response", resolve).once("error", reject);
  // Not `pipeline`: it waits until the connection closes, and the answer comes before that.
  request.once("error", (error) => outgoing.destroy(error)).pipe(outgoing);
  const incoming = await promise;
  // The registry writes addresses by the `Host` that it was asked by, so they lead here.
  response.writeHead(incoming.statusCode ?? 502, incoming.headers);
  await pipeline(incoming, response);
}

function refuse(response: ServerResponse, status: number, code: string, origin: string): void {
  if (status === 401) {
    response.setHeader("www-authenticate", `Bearer realm="${origin}/v2/token",service="${origin.slice(7)}"`);
  }
  sendJson(response, status, { errors: [{ code, message: code.toLowerCase().replaceAll("_", " ") }] });
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, {
    "content-type": "application/json",
    "docker-distribution-api-version": "registry/2.0",
  });
  response.end(JSON.stringify(body));
}
