/** JSON objects of unknown shape: what the engine and Google send. */
import { isDeepStrictEqual } from "node:util";

export type Fields = Readonly<Record<string, unknown>>;

/** The object, or an empty one for anything else. */
export function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The text, or an empty one for anything else. */
export function textOf(value: unknown): string {
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : "";
}

/** The texts of a list, in order. */
export function textsOf(value: unknown): readonly string[] {
  return listOf(value).map(textOf);
}

/** What Terraform calls the zero value: it cannot be told from "not given". */
export function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === "" || value === false || value === 0) return true;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === "object" && Object.keys(value).length === 0;
}

/** Without the fields that are empty: generated clients leave them out of a body. */
export function omitEmpty(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => !isEmpty(value)));
}

/** Without the fields that are undefined or null. */
export function omitAbsent(fields: Fields): Fields {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined && value !== null),
  );
}

export function pickFields(fields: Fields, names: readonly string[]): Fields {
  return omitAbsent(Object.fromEntries(names.map((name) => [name, fields[name]])));
}

export function lastSegment(link: unknown): string {
  return textOf(link).split("/").at(-1) ?? "";
}

export { isDeepStrictEqual as isSame };
