import { PolarisError } from "@polaris-cvm/sdk/errors";

/** A repository of a registry. */
export interface RepositoryName {
  /** `host` or `host:port` in lower case; Docker Hub is `docker.io`. */
  readonly registry: string;
  /** `library/node` */
  readonly repository: string;
}

/** What names an image; with a digest it names one for ever. */
export interface ImageReference extends RepositoryName {
  readonly tag: string | undefined;
  /** `sha256:` and 64 hex digits. It decides where both are there; the tag is for people then. */
  readonly digest: string | undefined;
}

/** A digest as everything of Polaris writes it: of SHA-256, in lower case. */
export const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** Docker's own limits, which registries have too (distribution/reference). */
const MAX_NAME_LENGTH = 255;
const MAX_REFERENCE_LENGTH = 512;

const DOCKER_HUB = "docker.io";

const LABEL = "[a-z0-9](?:[a-z0-9-]*[a-z0-9])?";
const HOST = new RegExp(String.raw`^(?:${LABEL}(?:\.${LABEL})*|\[[0-9a-f:]{2,45}\])(?::([0-9]{1,5}))?$`);
const REPOSITORY = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^\w[\w.-]{0,127}$/;

/**
 * Reads a reference as Docker does: `node:26` is `docker.io/library/node:26`, and the first part is a registry if it has a
 * dot or a port, or is `localhost`. The tag is `latest` only if there is neither a tag nor a digest.
 *
 * @throws {PolarisError} IMAGE_REFERENCE_INVALID
 */
export function parseImageReference(text: string): ImageReference {
  if (text.length > MAX_REFERENCE_LENGTH) {
    throw new PolarisError(
      "IMAGE_REFERENCE_INVALID",
      `the image reference is ${text.length} characters long, expected at most ${MAX_REFERENCE_LENGTH}`,
      { hint: FORM },
    );
  }
  const [named, digest, ...more] = text.split("@");
  if (named === undefined || more.length > 0) throw invalid(text, `more than one "@"`);
  if (digest !== undefined && !DIGEST.test(digest)) {
    throw invalid(text, `a digest that is not "sha256:" and 64 lower-case hex digits`);
  }
  // A colon behind the last slash is a tag's; one before it is a port's.
  const colon = named.indexOf(":", named.lastIndexOf("/") + 1);
  const name = colon === -1 ? named : named.slice(0, colon);
  const tag = colon === -1 ? undefined : named.slice(colon + 1);
  if (tag !== undefined && !TAG.test(tag)) throw invalid(text, "a tag that is not one");
  return {
    ...parseName(text, name),
    tag: tag ?? (digest === undefined ? "latest" : undefined),
    digest,
  };
}

/** The canonical text: `docker.io/library/node:26-slim`, with `@sha256:…` if there is a digest. */
export function formatImageReference(reference: ImageReference): string {
  const tag = reference.tag === undefined ? "" : `:${reference.tag}`;
  const digest = reference.digest === undefined ? "" : `@${reference.digest}`;
  return `${reference.registry}/${reference.repository}${tag}${digest}`;
}

function parseName(text: string, name: string): RepositoryName {
  const slash = name.indexOf("/");
  // Host names are the same in any case; names of repositories are not, and have no upper case at all.
  const first = name.slice(0, Math.max(slash, 0)).toLowerCase();
  const hasRegistry = first === "localhost" || /[.:[]/.test(first);
  const registry = hasRegistry ? normalizeHost(text, first) : DOCKER_HUB;
  const path = hasRegistry ? name.slice(slash + 1) : name;
  if (!REPOSITORY.test(path)) throw invalid(text, "a repository name that is not one");
  const repository = registry === DOCKER_HUB && !path.includes("/") ? `library/${path}` : path;
  if (registry.length + 1 + repository.length > MAX_NAME_LENGTH) {
    throw invalid(text, `a name of more than ${MAX_NAME_LENGTH} characters`);
  }
  return { registry, repository };
}

function normalizeHost(text: string, host: string): string {
  const match = HOST.exec(host);
  // The form alone lets some hosts through that no URL can have, such as [::::].
  if (match === null || Number(match[1] ?? 443) > 65_535 || !URL.canParse(`https://${host}`)) {
    throw invalid(text, "a registry that is not a host and perhaps a port");
  }
  return host === "index.docker.io" ? DOCKER_HUB : host;
}

const FORM = 'expected "[registry[:port]/]repository[:tag][@sha256:…]", with the repository in lower case';

function invalid(text: string, what: string): PolarisError {
  // Somebody may have put a password into it, as one does in a URL: then nothing of it is repeated.
  const isShowable = /^[\w./:[\]-]*(?:@sha256:[\w]*)?$/.test(text) && !text.includes("://");
  return new PolarisError(
    "IMAGE_REFERENCE_INVALID",
    `${isShowable ? `"${text}"` : "the text"} is no image reference: it has ${what}`,
    { hint: FORM },
  );
}
