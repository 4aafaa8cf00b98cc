/**
 * A registry in memory that keeps whatever it is given: also images that no honest registry would have. It knows referrers
 * (distribution-spec 1.1) and mounts, and writes down what was asked of it.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { digestOf, OCI_INDEX } from "../src/manifest.ts";
import type { Descriptor } from "../src/manifest.ts";

interface StoredManifest {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
}

interface StoredDocument {
  readonly subject?: { readonly digest: string };
  readonly artifactType?: string;
}

export class MemoryRegistry implements AsyncDisposable {
  /** `POST /v2/app/blobs/uploads/` and the like, in order. */
  readonly requests: string[] = [];
  /** By `<repository> <digest>`. */
  readonly blobs = new Map<string, Uint8Array>();
  /** By `<repository> <tag or digest>`. */
  readonly manifests = new Map<string, StoredManifest>();
  /** Entries that every list of referrers has besides, whatever they name. */
  readonly listed: object[] = [];
  /** False: it is one of before the distribution spec 1.1. */
  knowsReferrers = true;
  /** What it says that it has listed a manifest for, in place of the truth. */
  subjectHeader: string | undefined;
  /** Called with every request; a promise holds it up. */
  onRequest: (line: string) => void | Promise<void> = () => {};
  readonly #server = createServer((request, response) => {
    void this.#answer(request, response).catch(() => response.destroy());
  });

  static async start(): Promise<MemoryRegistry> {
    const registry = new MemoryRegistry();
    registry.#server.listen(0, "127.0.0.1");
    await once(registry.#server, "listening");
    return registry;
  }

  /** `127.0.0.1:<port>` */
  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  addBlob(repository: string, bytes: Uint8Array, mediaType: string): Descriptor {
    const digest = digestOf(bytes);
    this.blobs.set(`${repository} ${digest}`, bytes);
    return { mediaType, digest, size: bytes.length };
  }

  addManifest(repository: string, document: object, mediaType: string, tag?: string): Descriptor {
    const bytes = Buffer.from(JSON.stringify(document));
    return this.#keep(repository, { bytes, mediaType }, tag);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  #keep(repository: string, manifest: StoredManifest, tag: string | undefined): Descriptor {
    const digest = digestOf(manifest.bytes);
    for (const name of [digest, ...(tag === undefined ? [] : [tag])]) {
      this.manifests.set(`${repository} ${name}`, manifest);
    }
    return { mediaType: manifest.mediaType, digest, size: manifest.bytes.length };
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "GET", url = "/" } = request;
    this.requests.push(`${method} ${url}`);
    await this.onRequest(`${method} ${url}`);
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const body = Buffer.concat(pieces);
    const { pathname, searchParams } = new URL(url, "http://registry");
    const [, repository = "", kind, name = ""] =
      /^\/v2\/(.+?)\/(blobs|manifests|referrers)\/(.+)$/.exec(pathname) ?? [];
    if (pathname === "/v2/") return void response.end("{}");
    if (kind === "manifests" && method === "PUT") {
      const mediaType = request.headers["content-type"] ?? "";
      const { digest } = this.#keep(
        repository,
        { bytes: body, mediaType },
        name.includes(":") ? undefined : name,
      );
      const { subject } = JSON.parse(body.toString()) as StoredDocument;
      response.writeHead(201, {
        "docker-content-digest": digest,
        ...(subject !== undefined &&
          this.knowsReferrers && { "oci-subject": this.subjectHeader ?? subject.digest }),
      });
      return void response.end();
    }
    if (kind === "manifests")
      return this.#send(response, method, this.manifests.get(`${repository} ${name}`));
    if (kind === "referrers" && this.knowsReferrers) {
      const manifests = this.#listReferrers(repository, name);
      const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }));
      return this.#send(response, method, { bytes, mediaType: OCI_INDEX });
    }
    if (kind === "blobs" && method === "POST") {
      const mounted = this.blobs.get(`${searchParams.get("from")} ${searchParams.get("mount")}`);
      if (mounted === undefined) {
        return void response.writeHead(202, { location: `/v2/${repository}/blobs/uploads/1` }).end();
      }
      this.addBlob(repository, mounted, "");
      return void response.writeHead(201, { location: `/v2/${repository}/blobs/${digestOf(mounted)}` }).end();
    }
    if (kind === "blobs" && method === "PUT") {
      const { digest } = this.addBlob(repository, body, "");
      const isRight = digest === searchParams.get("digest");
      return void response.writeHead(isRight ? 201 : 400, { "docker-content-digest": digest }).end();
    }
    const bytes = this.blobs.get(`${repository} ${name}`);
    return this.#send(response, method, bytes && { bytes, mediaType: "application/octet-stream" });
  }

  #send(response: ServerResponse, method: string, found: StoredManifest | undefined): void {
    if (found === undefined) {
      response.writeHead(404, { "content-type": "application/json" }).end('{"errors":[]}');
      return;
    }
    response.writeHead(200, {
      "content-type": found.mediaType,
      "content-length": found.bytes.length,
      "docker-content-digest": digestOf(found.bytes),
    });
    response.end(method === "HEAD" ? undefined : found.bytes);
  }

  #listReferrers(repository: string, subject: string): object[] {
    const found = new Map<string, object>();
    for (const [key, { bytes, mediaType }] of this.manifests) {
      if (!key.startsWith(`${repository} `)) continue;
      const document = JSON.parse(Buffer.from(bytes).toString()) as StoredDocument;
      if (document.subject?.digest !== subject) continue;
      const digest = digestOf(bytes);
      found.set(digest, { mediaType, digest, size: bytes.length, artifactType: document.artifactType });
    }
    return [...found.values(), ...this.listed];
  }
}
