import { GoogleError } from "./google-error.ts";

const KEY = /^[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}$/u;
const VALUE = /^[\p{Ll}\p{Lo}\p{N}_-]{0,63}$/u;
const MAX_LABELS = 64;

/**
 * Labels of a resource: at most 64, lower case.
 *
 * @throws {GoogleError} INVALID_ARGUMENT
 */
export function checkLabels(labels: Readonly<Record<string, string>>): void {
  const entries = Object.entries(labels);
  if (entries.length > MAX_LABELS) {
    throw new GoogleError("INVALID_ARGUMENT", `A resource can have at most ${MAX_LABELS} labels.`);
  }
  for (const [key, value] of entries) {
    if (!KEY.test(key)) {
      throw new GoogleError(
        "INVALID_ARGUMENT",
        `Label key "${key.slice(0, 100)}" violates format constraints.`,
      );
    }
    if (!VALUE.test(value)) {
      throw new GoogleError(
        "INVALID_ARGUMENT",
        `Label value "${value.slice(0, 100)}" violates format constraints.`,
      );
    }
  }
}
