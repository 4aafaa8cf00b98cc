/** The engine that Polaris is tested with, and that it installs where there is none. */
export const ENGINE_VERSION = "3.259.0";

/** The oldest engine that Polaris takes: the first that streams what happens, instead of a file that is looked at now and then. */
export const MINIMUM_ENGINE_VERSION = "3.206.0";

/** Newer majors may do anything else; 4 is not known yet. */
const MAJOR = 3;

/**
 * What `pulumi version` prints, as `3.259.0`.
 *
 * @returns undefined if the text is no version
 */
export function parseEngineVersion(text: string): string | undefined {
  return /^v?(\d{1,6}\.\d{1,6}\.\d{1,6})(?:[-+][\w.+-]{1,100})?$/.exec(text.trim())?.[1];
}

export function isUsableVersion(version: string): boolean {
  return numbersOf(version)[0] === MAJOR && compareVersions(version, MINIMUM_ENGINE_VERSION) >= 0;
}

/** Negative if `a` is older than `b`, as sorting wants it. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [numbersOf(a), numbersOf(b)];
  return left[0] - right[0] || left[1] - right[1] || left[2] - right[2];
}

function numbersOf(version: string): [major: number, minor: number, patch: number] {
  const [major = 0, minor = 0, patch = 0] = version.split(".").map(Number);
  return [major, minor, patch];
}
