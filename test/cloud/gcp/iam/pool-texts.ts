import { GoogleError } from "../google-error.ts";

const ID = /^[a-z0-9-]{4,32}$/;
const MAX_DISPLAY_NAME = 32;
const MAX_DESCRIPTION = 256;

/**
 * Id of a pool or a provider.
 *
 * @throws {GoogleError} INVALID_ARGUMENT
 */
export function checkId(id: string, field: string): void {
  if (!ID.test(id)) {
    throw new GoogleError(
      "INVALID_ARGUMENT",
      `Invalid value for ${field}: it must have 4 to 32 of the characters a-z, 0-9 and -, got "${id.slice(0, 64)}".`,
    );
  }
  if (id.startsWith("gcp-")) {
    throw new GoogleError(
      "INVALID_ARGUMENT",
      `Invalid value for ${field}: the prefix "gcp-" is reserved for use by Google.`,
    );
  }
}

/**
 * What people read of a pool or a provider.
 *
 * @throws {GoogleError} INVALID_ARGUMENT
 */
export function checkTexts(texts: {
  readonly displayName?: string | undefined;
  readonly description?: string | undefined;
}): void {
  if ((texts.displayName ?? "").length > MAX_DISPLAY_NAME) {
    throw new GoogleError(
      "INVALID_ARGUMENT",
      `The display name must have at most ${MAX_DISPLAY_NAME} characters.`,
    );
  }
  if ((texts.description ?? "").length > MAX_DESCRIPTION) {
    throw new GoogleError(
      "INVALID_ARGUMENT",
      `The description must have at most ${MAX_DESCRIPTION} characters.`,
    );
  }
}
