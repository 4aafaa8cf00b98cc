import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { ManifestBytes } from "../image.ts";
import { formatImageReference } from "../image-reference.ts";
import type { ImageReference, RepositoryName } from "../image-reference.ts";
import { digestOf, OCI_INDEX, parseIndex } from "../manifest.ts";
import type { Descriptor } from "../manifest.ts";
import {
  announcedDigest,
  announcedSubject,
  contentTypeOf,
  nextPage,
  outsideProtocol,
  readManifestBytes,
  requireRange,
  requireStatus,
  requireStored,
} from "./answer-checks.ts";
import {
  apiUrl,
  askToPull,
  askToPush,
  blobRequest,
  blobSubject,
  manifestRequest,
  startOfUpload,
} from "./api-requests.ts";
import type { AuthorizationRequest } from "./authentication.ts";
import { AuthorizedRequests } from "./authorized-requests.ts";
import { checkBytes, mismatch } from "../checked-bytes.ts";
import type { CredentialSource } from "./credentials.ts";
import { createTransport, discardBody, leadTo } from "./transport.ts";
import type { RegistryAnswer, TransportOptions } from "./transport.ts";

export type { RepositoryName } from "../image-reference.ts";

/** Before the second attempt, the third … */
const RETRY_DELAYS_MS = [500, 1_000, 2_000, 4_000];

/** A registry that gives referrers page by page has some hundreds on each. */
const MAX_REFERRER_PAGES = 16;

export interface RegistryClientOptions extends TransportOptions {
  /** Default: none, we are a stranger everywhere. */
  readonly credentials?: CredentialSource;
  readonly retryDelaysMs?: readonly number[];
}

export interface UploadOptions {
  /** A repository of the same registry that may have the blob already. */
  readonly mountFrom?: string;
  readonly signal: AbortSignal;
}

/**
 * Container registries after the OCI distribution spec v1.1. Plain HTTP is for registries on this machine only.
 *
 * Every operation rejects with a PolarisError: REGISTRY_UNREACHABLE (no connection, TLS, no answer in time),
 * REGISTRY_DENIED (401, 403), IMAGE_NOT_FOUND (404), REGISTRY_RATE_LIMITED (429 to the end), REGISTRY_FAILED (5xx to the
 * end, or an answer that is not of the protocol), and with what the credential source rejects with; none has a password or
 * token in it. Once its signal is aborted, with the reason of that.
 */
export interface RegistryClient {
  /**
   * A manifest or index as the registry has it; by its digest if the reference has one.
   *
   * @throws {PolarisError} IMAGE_DIGEST_MISMATCH; IMAGE_TOO_LARGE above 4 MiB
   */
  readManifest(reference: ImageReference, signal: AbortSignal): Promise<ManifestBytes>;
  /** The digest of a manifest, as the registry says it; undefined if there is none. */
  findManifest(reference: ImageReference, signal: AbortSignal): Promise<string | undefined>;
  /**
   * The bytes of a blob. Its last bytes come only when all are right. A download that breaks off is continued.
   *
   * @throws {PolarisError} IMAGE_DIGEST_MISMATCH, at once if they are too many
   */
  readBlob(repository: RepositoryName, blob: Descriptor, signal: AbortSignal): AsyncIterable<Uint8Array>;
  hasBlob(repository: RepositoryName, digest: string, signal: AbortSignal): Promise<boolean>;
  /**
   * Stores a blob, unless the registry has it already or in the repository that `mountFrom` names.
   *
   * @param open  gives the bytes, from the first on each time: an upload that broke off starts again
   * @throws {PolarisError} IMAGE_DIGEST_MISMATCH if they are not those of the descriptor; nothing is stored then
   */
  writeBlob(
    repository: RepositoryName,
    blob: Descriptor,
    open: () => AsyncIterable<Uint8Array>,
    options: UploadOptions,
  ): Promise<"present" | "mounted" | "uploaded">;
  /**
   * Stores a manifest, by its tag or else by its digest.
   *
   * @returns digest of its subject, if the registry lists it among the referrers of that by itself; undefined if the one
   *   who pushes has to ("Pushing Manifests with Subject")
   * @throws {PolarisError} IMAGE_DIGEST_MISMATCH if the registry calls it otherwise
   */
  writeManifest(
    repository: RepositoryName,
    manifest: ManifestBytes,
    tag: string | undefined,
    signal: AbortSignal,
  ): Promise<string | undefined>;
  /**
   * What refers to a manifest, from the referrers API or else from the index under the tag `sha256-<hex>` (distribution
   * spec, "Listing Referrers").
   *
   * @throws {PolarisError} IMAGE_INVALID for what is no index; IMAGE_TOO_LARGE for more than 16 pages
   */
  listReferrers(
    repository: RepositoryName,
    digest: string,
    signal: AbortSignal,
  ): Promise<readonly Descriptor[]>;
  /** Breaks off whatever still runs. */
  close(): Promise<void>;
}

export function createRegistryClient(options: RegistryClientOptions = {}): RegistryClient {
  const transport = createTransport(options);
  const requests = new AuthorizedRequests(
    transport,
    options.credentials,
    options.retryDelaysMs ?? RETRY_DELAYS_MS,
  );
  return new HttpRegistryClient(requests, () => transport.close());
}

class HttpRegistryClient implements RegistryClient {
  readonly #requests: AuthorizedRequests;
  readonly close: () => Promise<void>;

  constructor(requests: AuthorizedRequests, close: () => Promise<void>) {
    this.#requests = requests;
    this.close = close;
  }

  async readManifest(reference: ImageReference, signal: AbortSignal): Promise<ManifestBytes> {
    const subject = formatImageReference(reference);
    const asked = askToPull(reference, subject, signal);
    const answer = await this.#requests.send(manifestRequest("GET", reference), asked);
    await requireStatus(answer, 200, asked);
    const bytes = await readManifestBytes(answer, subject);
    const digest = digestOf(bytes);
    for (const expected of [reference.digest, announcedDigest(answer, subject)]) {
      if (expected !== undefined && expected !== digest) {
        throw mismatch(subject, `digest ${expected}`, digest);
      }
    }
    return { bytes, mediaType: contentTypeOf(answer, subject), digest };
  }

  async findManifest(reference: ImageReference, signal: AbortSignal): Promise<string | undefined> {
    const subject = formatImageReference(reference);
    const asked = askToPull(reference, subject, signal);
    const answer = await this.#requests.send(manifestRequest("HEAD", reference), asked);
    if (answer.status === 404) return undefined;
    await requireStatus(answer, 200, asked);
    await discardBody(answer);
    const digest = announcedDigest(answer, subject);
    // The header is optional: the bytes themselves say it, too.
    if (digest === undefined) return (await this.readManifest(reference, signal)).digest;
    if (reference.digest !== undefined && digest !== reference.digest) {
      throw mismatch(subject, `digest ${reference.digest}`, digest);
    }
    return digest;
  }

  async *readBlob(
    repository: RepositoryName,
    blob: Descriptor,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const subject = blobSubject(repository, blob.digest);
    const asked = askToPull(repository, subject, signal);
    const open = async (offset: number): Promise<RegistryAnswer> => {
      const answer = await this.#requests.send(blobRequest(repository, blob, offset), asked);
      if (offset > 0 && answer.status === 206) requireRange(answer, { offset, size: blob.size }, subject);
      else await requireStatus(answer, 200, asked);
      return answer;
    };
    yield* checkBytes(this.#requests.stream(open, blob.size, signal), blob, subject);
  }

  async hasBlob(repository: RepositoryName, digest: string, signal: AbortSignal): Promise<boolean> {
    return await this.#hasBlob(
      askToPull(repository, blobSubject(repository, digest), signal),
      repository,
      digest,
    );
  }

  async #hasBlob(asked: AuthorizationRequest, repository: RepositoryName, digest: string): Promise<boolean> {
    const url = apiUrl(repository, `blobs/${digest}`);
    const answer = await this.#requests.send({ method: "HEAD", url }, asked);
    if (answer.status === 404) return false;
    await requireStatus(answer, 200, asked);
    await discardBody(answer);
    return true;
  }

  async writeBlob(
    repository: RepositoryName,
    blob: Descriptor,
    open: () => AsyncIterable<Uint8Array>,
    { mountFrom, signal }: UploadOptions,
  ): Promise<"present" | "mounted" | "uploaded"> {
    const subject = blobSubject(repository, blob.digest);
    const asked = askToPush(repository, subject, signal);
    if (await this.#hasBlob(asked, repository, blob.digest)) return "present";
    let session: URL | undefined;
    if (mountFrom !== undefined && mountFrom !== repository.repository) {
      const mounted = await this.#mountBlob(asked, repository, blob.digest, mountFrom);
      if (mounted === "mounted") return mounted;
      session = mounted;
    }
    const answer = await this.#requests.retry(async () => {
      const first = session;
      // An upload that broke off cannot go on in the same session.
      session = undefined;
      return await this.#upload(asked, repository, blob, open, first);
    }, signal);
    await requireStatus(answer, 201, asked);
    await requireStored(answer, blob.digest, subject);
    return "uploaded";
  }

  /**
   * Has the registry take the blob from another of its repositories. That it does not is no failure, whatever it says.
   *
   * @returns where to upload it, if the registry says so at once (distribution spec, "Mounting a blob from another
   *   repository"); undefined if it has refused
   */
  async #mountBlob(
    asked: AuthorizationRequest,
    repository: RepositoryName,
    digest: string,
    mountFrom: string,
  ): Promise<"mounted" | URL | undefined> {
    const url = apiUrl(repository, "blobs/uploads/");
    url.search = new URLSearchParams({ mount: digest, from: mountFrom }).toString();
    const scopes = [...asked.scopes, `repository:${mountFrom}:pull`];
    let answer: RegistryAnswer;
    try {
      answer = await this.#requests.send(startOfUpload(url), { ...asked, scopes });
    } catch (error) {
      if (error instanceof PolarisError && error.code === "REGISTRY_DENIED") return undefined;
      throw error;
    }
    await discardBody(answer);
    if (answer.status === 201) return "mounted";
    return answer.status === 202 ? leadTo(answer, answer.headers.location) : undefined;
  }

  /**
   * One attempt (distribution spec, "POST then PUT"); the answer is the last that there was.
   *
   * @param session  where to upload to, if the registry has said that already
   */
  async #upload(
    asked: AuthorizationRequest,
    repository: RepositoryName,
    blob: Descriptor,
    open: () => AsyncIterable<Uint8Array>,
    session: URL | undefined,
  ): Promise<RegistryAnswer> {
    if (session !== undefined) return await this.#putBlob(asked, session, blob, open);
    const started = await this.#requests.sendOnce(startOfUpload(apiUrl(repository, "blobs/uploads/")), asked);
    // Nothing is stored yet: whoever says so means something else.
    if (started.status === 201) throw outsideProtocol(started.url, asked.subject, "a place to upload to");
    if (started.status !== 202) return started;
    await discardBody(started);
    return await this.#putBlob(asked, leadTo(started, started.headers.location), blob, open);
  }

  async #putBlob(
    asked: AuthorizationRequest,
    session: URL,
    blob: Descriptor,
    open: () => AsyncIterable<Uint8Array>,
  ): Promise<RegistryAnswer> {
    const url = new URL(session);
    // Whatever is there stays as it is, to the byte: it may be signed.
    url.search = `${url.search === "" ? "?" : `${url.search}&`}digest=${encodeURIComponent(blob.digest)}`;
    return await this.#requests.sendOnce(
      {
        method: "PUT",
        url,
        headers: { "content-type": "application/octet-stream" },
        body: { byteCount: blob.size, open: () => checkBytes(open(), blob, asked.subject) },
      },
      asked,
    );
  }

  async writeManifest(
    repository: RepositoryName,
    manifest: ManifestBytes,
    tag: string | undefined,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const subject = formatImageReference({
      registry: repository.registry,
      repository: repository.repository,
      tag,
      digest: tag === undefined ? manifest.digest : undefined,
    });
    const asked = askToPush(repository, subject, signal);
    const answer = await this.#requests.send(
      {
        method: "PUT",
        url: apiUrl(repository, `manifests/${tag ?? manifest.digest}`),
        headers: { "content-type": manifest.mediaType },
        body: manifest.bytes,
      },
      asked,
    );
    await requireStatus(answer, 201, asked);
    await requireStored(answer, manifest.digest, subject);
    return announcedSubject(answer, subject);
  }

  async listReferrers(
    repository: RepositoryName,
    digest: string,
    signal: AbortSignal,
  ): Promise<readonly Descriptor[]> {
    const subject = `the referrers of ${repository.registry}/${repository.repository}@${digest}`;
    const asked = askToPull(repository, subject, signal);
    const referrers: Descriptor[] = [];
    let url = apiUrl(repository, `referrers/${digest}`);
    for (let page = 0; page < MAX_REFERRER_PAGES; page++) {
      const answer = await this.#requests.send({ method: "GET", url, headers: { accept: OCI_INDEX } }, asked);
      if (answer.status === 404 && page === 0) {
        await discardBody(answer);
        return await this.#listReferrersByTag(repository, digest, signal);
      }
      await requireStatus(answer, 200, asked);
      referrers.push(...parseIndex(await readManifestBytes(answer, subject)).manifests);
      const next = nextPage(answer, subject);
      if (next === undefined) return referrers;
      url = next;
    }
    throw new PolarisError("IMAGE_TOO_LARGE", `${subject}: more than ${MAX_REFERRER_PAGES} pages`, {
      hint: "remove what is attached to the image and no longer needed",
    });
  }

  async #listReferrersByTag(
    repository: RepositoryName,
    digest: string,
    signal: AbortSignal,
  ): Promise<readonly Descriptor[]> {
    const { registry, repository: name } = repository;
    try {
      const index = await this.readManifest(
        { registry, repository: name, tag: digest.replace(":", "-"), digest: undefined },
        signal,
      );
      return parseIndex(index.bytes, index.mediaType).manifests;
    } catch (error) {
      if (error instanceof PolarisError && error.code === "IMAGE_NOT_FOUND") return [];
      throw error;
    }
  }
}
