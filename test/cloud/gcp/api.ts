import type { IncomingMessage, ServerResponse } from "node:http";
import type { GoogleError } from "./google-error.ts";

/** Who sent a request, as IAM policies name it. */
export interface Caller {
  /** `user:…`, `serviceAccount:…`, `principal://…`, or `allUsers` where a method needs no token. */
  readonly member: string;
  /** `principalSet://…` and other groups that the caller belongs to. */
  readonly memberships: readonly string[];
}

/** One request that the API's document allows. */
export interface Call {
  /** Id of the method, for example `cloudkms.projects.locations.keyRings.create`. */
  readonly methodId: string;
  /** Version of the document, for example `v1`: methods of two versions may have the same id. Empty without a document. */
  readonly version: string;
  /**
   * Parameters of the path, decoded: of the template (`name`, `parent`, `resource`, `project`, `zone`) and of the flat path
   * (`projectsId`, `locationsId`, `keyRingsId`).
   */
  readonly params: Readonly<Record<string, string>>;
  /** Names as the document writes them, whatever the caller's spelling (`repository_id` is `repositoryId`). */
  readonly query: URLSearchParams;
  /**
   * Checked against the document's request schema and made plain: no nulls, numbers as the schema says, names as the
   * document writes them. `{}` where no body was sent; undefined where the method takes none.
   */
  readonly body: unknown;
  readonly caller: Caller;
  /** Milliseconds since 1970, by the world's clock. */
  readonly now: () => number;
}

/** Gives the answer's JSON, or throws a `GoogleError`. The server checks the answer against the document. */
export type Handler = (call: Call) => unknown;

/** A method of an API that has no discovery document: its handler checks bodies itself. */
export interface MethodTable {
  /** For example `confidentialcomputing.projects.locations.list`. */
  readonly id: string;
  readonly httpMethod: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** For example `v1/projects/{projectsId}/locations`. */
  readonly flatPath: string;
}

export interface Api {
  /** Name of the endpoint, for example `cloudkms`. */
  readonly name: string;
  /** For people, as Google writes it in errors: `Cloud Key Management Service (KMS) API`. */
  readonly title: string;
  /** File names in the discovery cache: `["cloudkms.v1.json"]`. Empty for an API without a document. */
  readonly documents: readonly string[];
  /** Methods that no document describes. */
  readonly undocumentedMethods?: readonly MethodTable[];
  /** Query parameters that a document does not know and the service takes, by method id. */
  readonly undocumentedQuery?: Readonly<Record<string, readonly string[]>>;
  /** By method id. A method of the document without a handler is answered UNIMPLEMENTED and counts as a fault of the box. */
  readonly handlers: Readonly<Record<string, Handler>>;
  /** Methods that need no token: `["sts.token"]`. */
  readonly publicMethods?: readonly string[];
  /** What the project in the path must have before a handler is called. Default: the service enabled, and billing. */
  readonly projectNeeds?: { readonly service: boolean; readonly billing: boolean };
  /** What the API says about a project that does not exist, where it is not PERMISSION_DENIED. */
  readonly unknownProject?: (project: string) => GoogleError;
}

/** A service that is no Google API by document: it answers HTTP itself. */
export interface HttpService {
  readonly name: string;
  answer(request: IncomingMessage, response: ServerResponse): void | Promise<void>;
  stop?(): Promise<void>;
}
