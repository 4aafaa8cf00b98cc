import { googleError } from "./google-error.ts";

/** What a KMS path names, and what it asks for. */
export interface KmsPath {
  readonly project: string;
  /** `projects/…/cryptoKeys/<id>` */
  readonly cryptoKey: string;
  /** Present for one version: `…/cryptoKeyVersions/<number>`. */
  readonly versionNumber?: number;
  /** `cryptoKeyVersions` or `publicKey` after the resource, or a `:verb`. */
  readonly action: string;
}

/** Full name of a version. */
export function versionName(cryptoKey: string, number: number): string {
  return `${cryptoKey}/cryptoKeyVersions/${number}`;
}

/**
 * Reads the segments behind `/v1/`; undefined for a path that is not of Cloud KMS.
 *
 * @throws {Refusal} INVALID_ARGUMENT for a name that cannot be one
 */
export function parseKmsPath(segments: readonly string[]): KmsPath | undefined {
  const [projects, project, locations, location, keyRings, keyRing, cryptoKeys, ...tail] = segments;
  if (
    projects !== "projects" ||
    locations !== "locations" ||
    keyRings !== "keyRings" ||
    cryptoKeys !== "cryptoKeys"
  ) {
    return undefined;
  }
  const last = tail.at(-1) ?? "";
  const colon = last.indexOf(":");
  const action = colon === -1 ? "" : last.slice(colon);
  const names = colon === -1 ? tail : [...tail.slice(0, -1), last.slice(0, colon)];
  const [keyId, versions, versionId, suffix, ...rest] = names;
  if (project === undefined || location === undefined || keyRing === undefined || keyId === undefined)
    return undefined;
  if (rest.length > 0 || (versions !== undefined && versions !== "cryptoKeyVersions")) return undefined;
  for (const id of [project, location, keyRing, keyId]) {
    if (!/^[a-zA-Z0-9_.:-]{1,63}$/.test(id)) throw invalidName();
  }
  const cryptoKey = `projects/${project}/locations/${location}/keyRings/${keyRing}/cryptoKeys/${keyId}`;
  if (versionId === undefined) {
    if (versions !== undefined && action !== "") return undefined;
    return { project, cryptoKey, action: versions ?? action };
  }
  if (!/^[1-9][0-9]{0,8}$/.test(versionId)) throw invalidName();
  if (suffix !== undefined && (suffix !== "publicKey" || action !== "")) return undefined;
  return { project, cryptoKey, versionNumber: Number(versionId), action: suffix ?? action };
}

function invalidName(): Error {
  return googleError("INVALID_ARGUMENT", "Resource name does not match any known pattern.", {
    reason: "wrong name",
  });
}
