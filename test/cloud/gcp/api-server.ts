import type { IncomingMessage, ServerResponse } from "node:http";
import type { Api, Call, Caller } from "./api.ts";
import { checkAnswer, checkRequestBody, loadMethods, type Method, pathMatcher } from "./discovery.ts";
import { badRequest, billingDisabled, GoogleError, serviceDisabled } from "./google-error.ts";
import { takeFields } from "./partial-answer.ts";
import { checkQuery } from "./query-check.ts";
import type { World } from "./world.ts";

const MAX_BODY_BYTES = 4 * 1024 * 1024;
/** Links begin as Google's do, wherever the box is: clients compare them as text. */
const OWN_ADDRESS =
  /"(?:\w*[lL]ink\w*|zone|region|network|subnetwork|source|sourceImage|machineType)":"http:/;
const NOBODY: Caller = { member: "allUsers", memberships: [] };

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** Answers the requests of one API as its documents say. */
export interface ApiServer {
  answer(request: IncomingMessage, response: ServerResponse): Promise<void>;
}

/** @param faults where it is told what the box did wrong: a test fails if there is any */
export async function createApiServer(api: Api, world: World, faults: string[]): Promise<ApiServer> {
  const documented = await Promise.all(api.documents.map(loadMethods));
  const methods = [...documented.flat(), ...(api.undocumentedMethods ?? []).map(toBareMethod)];
  for (const id of Object.keys(api.handlers)) {
    if (!methods.some((method) => method.id === id)) throw new Error(`no document has a method ${id}`);
  }

  async function handle(request: IncomingMessage): Promise<Answer> {
    const [path = "", search = ""] = (request.url ?? "").split("?", 2);
    const httpMethod = request.method ?? "";
    const record = { methodId: "unknown", member: NOBODY.member };
    let answer: Answer;
    try {
      const content = await readBody(request);
      const { method, params } = findMethod(methods, httpMethod, path.slice(1));
      record.methodId = method.id;
      const caller = await authenticate(method);
      record.member = caller.member;
      world.settle();
      const failure = world.takeFailure(method.id);
      if (failure !== undefined) throw failure;
      requireProject(api, world, path);
      const call: Call = {
        methodId: method.id,
        version: method.version,
        params,
        query: checkQuery(method, new URLSearchParams(search), api.undocumentedQuery?.[method.id] ?? []),
        body: readContent(method, content, request.headers["content-type"] ?? ""),
        caller,
        now: world.now,
      };
      answer = { status: 200, body: await run(method, call) };
    } catch (error) {
      const refusal = error instanceof GoogleError ? error : internal(record.methodId, error);
      answer = { status: refusal.httpStatus, body: refusal.toJson() };
    }
    world.requests.push({ ...record, httpMethod, path, status: answer.status });
    return answer;

    async function authenticate(method: Method): Promise<Caller> {
      const token = /^Bearer +([\x21-\x7e]+)$/i.exec(request.headers.authorization ?? "")?.[1];
      const caller = token === undefined ? undefined : await world.authenticate(token);
      if (caller !== undefined) return caller;
      if (api.publicMethods?.includes(method.id) === true) return NOBODY;
      throw unauthenticated(token === undefined);
    }
  }

  async function run(method: Method, call: Call): Promise<unknown> {
    const handler = Object.hasOwn(api.handlers, method.id) ? api.handlers[method.id] : undefined;
    if (handler === undefined) {
      faults.push(`${method.id} was called, and the box does not have it`);
      throw new GoogleError(
        "UNIMPLEMENTED",
        `Operation is not implemented, or supported, or enabled: ${method.id}.`,
      );
    }
    // As it goes over the wire: a snapshot, without what is undefined.
    const answer: unknown = JSON.parse(JSON.stringify((await handler(call)) ?? {}));
    try {
      checkAnswer(method, answer);
    } catch (error) {
      faults.push(`the answer of ${method.id} is not as documented: ${String(error)}`);
      throw new GoogleError("INTERNAL", "Internal error encountered.");
    }
    if (OWN_ADDRESS.test(JSON.stringify(answer))) {
      faults.push(`the answer of ${method.id} has a link that is not Google's`);
    }
    const fields = call.query.get("fields") ?? call.query.get("$fields");
    return fields === null ? answer : takeFields(answer, fields);
  }

  function internal(methodId: string, error: unknown): GoogleError {
    faults.push(
      `${methodId} failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
    return new GoogleError("INTERNAL", "Internal error encountered.");
  }

  return {
    answer: async (request, response) => {
      const { status, body } = await handle(request);
      const content = Buffer.from(JSON.stringify(body));
      response.writeHead(status, {
        "content-type": "application/json; charset=UTF-8",
        "content-length": content.length,
        "cache-control": "private",
        ...(status === 401 ? { "www-authenticate": 'Bearer realm="https://accounts.google.com/"' } : {}),
      });
      response.end(content);
    },
  };
}

function toBareMethod({ id, httpMethod, flatPath }: NonNullable<Api["undocumentedMethods"]>[number]): Method {
  return {
    id,
    version: "",
    httpMethod,
    requestSchema: httpMethod === "GET" || httpMethod === "DELETE" ? undefined : {},
    responseSchema: undefined,
    schemas: {},
    queryParameters: undefined,
    ...pathMatcher(flatPath, flatPath),
  };
}

function findMethod(
  methods: readonly Method[],
  httpMethod: string,
  path: string,
): { readonly method: Method; readonly params: Readonly<Record<string, string>> } {
  let found: { readonly method: Method; readonly params: Readonly<Record<string, string>> } | undefined;
  for (const method of methods) {
    if (method.httpMethod !== httpMethod) continue;
    if (found !== undefined && found.method.literalLength >= method.literalLength) continue;
    const params = method.match(path);
    if (params !== undefined) found = { method, params };
  }
  if (found === undefined) {
    throw new GoogleError("NOT_FOUND", "The requested URL was not found on this server.", {
      reason: "notFound",
    });
  }
  return found;
}

/** A project that exists, with the service enabled and billing, as far as the API needs them. */
function requireProject(api: Api, world: World, path: string): void {
  const needs = api.projectNeeds ?? { service: true, billing: true };
  const reference = /\/projects\/([^/:]+)/.exec(path)?.[1];
  if (reference === undefined || reference === "-" || !needs.service) return;
  const decoded = decodeURIComponent(reference);
  if (world.publicProjects.has(decoded)) return;
  const project = world.findProject(decoded);
  if (project === undefined) throw api.unknownProject?.(decoded) ?? world.unknownProject(decoded);
  const service = `${api.name}.googleapis.com`;
  if (!project.enabledServices.has(service)) throw serviceDisabled(service, api.title, project.projectNumber);
  if (needs.billing && project.billingAccount === "") throw billingDisabled(service, project.projectNumber);
}

/** JSON, or the form encoding of OAuth's token endpoints. */
function readContent(method: Method, content: Buffer, contentType: string): unknown {
  if (method.requestSchema === undefined) {
    // Some clients send an empty message where a method takes none.
    if (content.length > 0 && !/^\s*\{\s*\}\s*$/.test(content.toString("utf8"))) {
      throw badRequest("Request content is not allowed for this method.");
    }
    return undefined;
  }
  if (contentType.startsWith("application/x-www-form-urlencoded")) {
    return checkRequestBody(method, Object.fromEntries(new URLSearchParams(content.toString("utf8"))));
  }
  let body: unknown;
  try {
    body = content.length === 0 ? {} : JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(content));
  } catch {
    throw badRequest("Invalid JSON payload received. Unexpected token.");
  }
  // How Google's own Node clients write a message without fields.
  return checkRequestBody(method, body === "" ? {} : body);
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let byteCount = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    byteCount += chunk.length;
    if (byteCount <= MAX_BODY_BYTES) chunks.push(chunk);
  }
  if (byteCount > MAX_BODY_BYTES) {
    throw new GoogleError(
      "INVALID_ARGUMENT",
      `Request payload size exceeds the limit: ${MAX_BODY_BYTES} bytes.`,
      {
        httpStatus: 413,
      },
    );
  }
  return Buffer.concat(chunks);
}

function unauthenticated(isMissing: boolean): GoogleError {
  const expected =
    "Expected OAuth 2 access token, login cookie or other valid authentication credential. " +
    "See https://developers.google.com/identity/sign-in/web/devconsole-project.";
  return isMissing
    ? new GoogleError(
        "UNAUTHENTICATED",
        `Request is missing required authentication credential. ${expected}`,
        {
          reason: "required",
        },
      )
    : new GoogleError("UNAUTHENTICATED", `Request had invalid authentication credentials. ${expected}`, {
        reason: "authError",
      });
}
