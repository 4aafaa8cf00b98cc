import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { checkSchema, type Schema } from "./schema-check.ts";

interface ParameterDocument extends Schema {
  readonly location: "path" | "query";
  readonly required?: boolean;
  readonly repeated?: boolean;
}

interface MethodDocument {
  readonly id: string;
  readonly httpMethod: string;
  readonly path: string;
  readonly flatPath?: string;
  readonly parameters?: Readonly<Record<string, ParameterDocument>>;
  readonly request?: { readonly $ref: string };
  readonly response?: { readonly $ref: string };
}

interface ResourceDocument {
  readonly methods?: Readonly<Record<string, MethodDocument>>;
  readonly resources?: Readonly<Record<string, ResourceDocument>>;
}

interface ApiDocument extends ResourceDocument {
  readonly name: string;
  readonly version: string;
  readonly servicePath: string;
  readonly parameters: Readonly<Record<string, ParameterDocument>>;
  readonly schemas: Readonly<Record<string, Schema>>;
}

/** One method of one document, ready to be matched. */
export interface Method {
  readonly id: string;
  /** For example `v1`; empty without a document. */
  readonly version: string;
  readonly httpMethod: string;
  readonly requestSchema: Schema | undefined;
  readonly responseSchema: Schema | undefined;
  readonly schemas: Readonly<Record<string, Schema>>;
  /** Query parameters of the method and of all methods, by name. Undefined: this method has no document, anything goes. */
  readonly queryParameters: Readonly<Record<string, Schema & { readonly repeated?: boolean }>> | undefined;
  /** Parameters of the path, or undefined if the path is another method's. */
  match(path: string): Readonly<Record<string, string>> | undefined;
  /** Characters that are no parameter: of two methods that match, the one with more of them is meant. */
  readonly literalLength: number;
}

/** Where the documents are: POLARIS_GCP_DISCOVERY, or the cache that `test/tools/discovery.ts` fills. */
export function discoveryFolder(): string {
  return process.env["POLARIS_GCP_DISCOVERY"] ?? join(homedir(), ".cache/polaris-tests/discovery-2.202.0");
}

const loaded = new Map<string, Promise<readonly Method[]>>();

/** The methods of a document of the discovery cache, for example `cloudkms.v1.json`. Each is read once in a process. */
export async function loadMethods(fileName: string): Promise<readonly Method[]> {
  const path = join(discoveryFolder(), fileName);
  const methods = loaded.get(path) ?? readMethods(path);
  loaded.set(path, methods);
  return methods;
}

async function readMethods(path: string): Promise<readonly Method[]> {
  const text = await readFile(path, "utf8").catch((cause: unknown) => {
    throw new Error(`${path} is missing: node test/tools/discovery.ts downloads it`, { cause });
  });
  const document = JSON.parse(text) as ApiDocument;
  return listMethods(document).map((method) => toMethod(method, document));
}

function listMethods(resource: ResourceDocument): readonly MethodDocument[] {
  return [
    ...Object.values(resource.methods ?? {}),
    ...Object.values(resource.resources ?? {}).flatMap(listMethods),
  ];
}

function toMethod(method: MethodDocument, document: ApiDocument): Method {
  const all = Object.entries({ ...document.parameters, ...method.parameters });
  const query = all.filter(([, { location }]) => location === "query");
  const flatPath = method.flatPath ?? method.path;
  return {
    id: method.id,
    version: document.version,
    httpMethod: method.httpMethod,
    requestSchema: method.request === undefined ? undefined : { $ref: method.request.$ref },
    responseSchema: method.response === undefined ? undefined : { $ref: method.response.$ref },
    schemas: document.schemas,
    queryParameters: Object.assign(
      Object.create(null),
      Object.fromEntries(query),
    ) as Method["queryParameters"],
    ...pathMatcher(document.servicePath + flatPath, document.servicePath + method.path, method.parameters),
  };
}

/**
 * Matches by the flat path, then takes the template's own parameters apart too: `v1/{+name}` gives the whole name.
 */
export function pathMatcher(
  flatPath: string,
  template: string,
  parameters: Readonly<Record<string, Schema>> = {},
): Pick<Method, "match" | "literalLength"> {
  const flat = lazy(() => templatePattern(flatPath));
  const whole = lazy(() => templatePattern(template));
  const segmentCount = flatPath.split("/").length;
  return {
    literalLength: flatPath.replace(/\{[^}]*\}/g, "").length,
    match: (path) => {
      if (path.split("/").length !== segmentCount) return undefined;
      const parts = flat().exec(path);
      const named = whole().exec(path);
      if (parts === null || named === null) return undefined;
      const values = Object.entries({ ...parts.groups, ...named.groups }).map(
        ([name, value]) => [name, decode(value)] as const,
      );
      for (const [name, value] of values) {
        const pattern = parameters[name]?.pattern;
        if (value === undefined) return undefined;
        if (pattern !== undefined && !new RegExp(`^(?:${pattern})$`).test(value)) return undefined;
      }
      return Object.fromEntries(values) as Readonly<Record<string, string>>;
    },
  };
}

/** A parameter is one segment, or any number of them in `{+name}`. */
function templatePattern(template: string): RegExp {
  const source = template
    .split(/(\{[^}]*\})/)
    .map((part) => {
      if (!part.startsWith("{")) return part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
      const name = part.replace(/[{}+]/g, "");
      return part.startsWith("{+") ? `(?<${name}>.+?)` : `(?<${name}>[^/]+?)`;
    })
    .join("");
  return new RegExp(`^${source}$`);
}

function lazy<T>(create: () => T): () => T {
  let value: T | undefined;
  return () => (value ??= create());
}

function decode(value: string): string | undefined {
  try {
    return decodeURIComponent(value);
  } catch {
    // Broken percent-encoding is in no path that a method has.
    return undefined;
  }
}

/** Body of a request, checked and made plain. @throws {GoogleError} INVALID_ARGUMENT */
export function checkRequestBody(method: Method, body: unknown): unknown {
  if (method.requestSchema === undefined) return undefined;
  return checkSchema(body ?? {}, method.requestSchema, method.schemas, "request");
}

/** An answer of a handler. @throws {GoogleError} if the document does not allow it */
export function checkAnswer(method: Method, answer: unknown): void {
  if (method.responseSchema === undefined) return;
  checkSchema(answer, method.responseSchema, method.schemas, "answer");
}
