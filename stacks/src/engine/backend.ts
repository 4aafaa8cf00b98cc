import { isAbsolute, join, normalize } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import { makeFolder } from "../make-folder.ts";

/** Where the engine keeps what it has made: a folder, a bucket, or Pulumi Cloud. */
export type Backend =
  | { readonly kind: "file"; readonly url: string; readonly folder: string }
  | { readonly kind: "gs" | "azblob" | "s3"; readonly url: string }
  | { readonly kind: "pulumi-cloud"; readonly url: string };

/** What may stand behind the `?` of a bucket: where it is, never who asks. Credentials come from the environment. */
const BUCKET_OPTIONS: Readonly<Record<"gs" | "azblob" | "s3", ReadonlySet<string>>> = {
  gs: new Set(),
  azblob: new Set(["storage_account", "domain", "protocol"]),
  s3: new Set([
    "region",
    "endpoint",
    "s3ForcePathStyle",
    "hostname_immutable",
    "disable_https",
    "profile",
    "awssdk",
  ]),
};

const EXAMPLES =
  "file:///folder, gs://bucket, azblob://container?storage_account=…, s3://bucket?region=… or https://api.pulumi.com";

/** The backend of who says nothing: a folder of the user's own. */
export function defaultBackend(polarisHome: string): Backend {
  return fileBackend(join(polarisHome, "state"));
}

/**
 * @param text  a URL, as Pulumi knows it
 * @throws {PolarisError} CONFIG_INVALID
 */
export function parseBackend(text: string): Backend {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined) throw invalidBackend("is no URL");
  if (url.username !== "" || url.password !== "") {
    throw invalidBackend("has credentials in it", "put them where the cloud's own tools look for them");
  }
  if (url.hash !== "") throw invalidBackend('has a part behind a "#"');
  switch (url.protocol) {
    case "file:":
      return parseFileBackend(url);
    case "https:":
      if (url.search !== "") throw invalidBackend('has a part behind a "?"');
      return { kind: "pulumi-cloud", url: text };
    case "gs:":
      return parseBucket("gs", url, text);
    case "azblob:":
      return parseBucket("azblob", url, text);
    case "s3:":
      return parseBucket("s3", url, text);
    default:
      throw invalidBackend(`has the scheme "${url.protocol}//", which is none for state`);
  }
}

/**
 * Makes a folder for state, closed to everybody else; buckets have to be there.
 *
 * @throws {PolarisError} STATE_UNWRITABLE
 */
export async function prepareBackend(backend: Backend): Promise<void> {
  if (backend.kind === "file") await makeFolder(backend.folder, 0o700);
}

function parseFileBackend(url: URL): Backend {
  if (url.host !== "" || url.search !== "" || url.pathname === "/") {
    throw invalidBackend("is no absolute path of a folder");
  }
  return fileBackend(fileURLToPath(url));
}

function fileBackend(folder: string): Backend {
  if (!isAbsolute(folder)) throw new TypeError(`${folder} is not absolute`);
  const path = normalize(folder);
  return { kind: "file", url: pathToFileURL(path).href, folder: path };
}

function parseBucket(kind: "gs" | "azblob" | "s3", url: URL, text: string): Backend {
  if (!/^[a-z0-9][a-z0-9._-]{1,221}[a-z0-9]$/.test(url.host)) throw invalidBackend("names no bucket");
  for (const name of url.searchParams.keys()) {
    if (!BUCKET_OPTIONS[kind].has(name)) throw invalidBackend(`has an unknown option "${name}"`);
  }
  return { kind, url: text };
}

function invalidBackend(problem: string, hint = `expected one like ${EXAMPLES}`): PolarisError {
  // Without the text itself: what is wrong with it may be a password.
  return new PolarisError("CONFIG_INVALID", `the address of the state ${problem}`, { hint });
}
