import { googleError } from "./google-error.ts";
import type { ServiceRequest } from "./service.ts";

/** System parameters of every Google REST method that have no meaning here beyond their presence. */
const SYSTEM_PARAMETERS = new Set(["$alt", "alt", "$prettyPrint", "prettyPrint"]);

/**
 * The JSON object of a request body, with nothing but the named fields in it.
 *
 * @throws {Refusal} INVALID_ARGUMENT for anything else: Google refuses unknown names too
 */
export function parseJsonBody<Name extends string>(
  request: ServiceRequest,
  fields: readonly Name[],
): Partial<Record<Name, unknown>> {
  if (request.body.length === 0) return {};
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(request.body));
  } catch {
    throw googleError("INVALID_ARGUMENT", "Invalid JSON payload received. Unexpected token.");
  }
  // How Google's own Node client writes a message without fields.
  if (value === "") return {};
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw googleError("INVALID_ARGUMENT", "Invalid JSON payload received. Root element must be a message.");
  }
  for (const name of Object.keys(value)) {
    if (!fields.some((field) => field === name)) {
      throw googleError(
        "INVALID_ARGUMENT",
        `Invalid JSON payload received. Unknown name "${name}": Cannot find field.`,
        { reason: "unknown field in the body" },
      );
    }
  }
  return value;
}

/** True if the client wants enums as numbers (`$alt=json;enum-encoding=int`), as Google's generated clients do. */
export function wantsNumericEnums(request: ServiceRequest): boolean {
  const alternatives = [...request.query.getAll("$alt"), ...request.query.getAll("alt")];
  for (const alternative of alternatives) {
    if (alternative !== "json" && alternative !== "json;enum-encoding=int") {
      throw googleError("INVALID_ARGUMENT", `Unsupported output format "${alternative}"`, {
        reason: "wrong $alt",
      });
    }
  }
  return alternatives.includes("json;enum-encoding=int");
}

/**
 * The method's own query parameters.
 *
 * @throws {Refusal} INVALID_ARGUMENT for a parameter that the method does not know, or that is given twice
 */
export function parseQuery<Name extends string>(
  request: ServiceRequest,
  names: readonly Name[],
): Partial<Record<Name, string>> {
  const values: Partial<Record<Name, string>> = {};
  for (const [parameter, value] of request.query) {
    if (SYSTEM_PARAMETERS.has(parameter)) continue;
    const name = names.find((known) => known === parameter);
    if (name === undefined) {
      throw googleError(
        "INVALID_ARGUMENT",
        `Invalid JSON payload received. Unknown name "${parameter}": Cannot bind query parameter. Field '${parameter}' could not be found in request message.`,
        { reason: "unknown query parameter" },
      );
    }
    if (values[name] !== undefined) {
      throw googleError("INVALID_ARGUMENT", `Parameter "${name}" is given more than once.`);
    }
    values[name] = value;
  }
  return values;
}
