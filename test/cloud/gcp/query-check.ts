import type { Method } from "./discovery.ts";
import { badRequest, type GoogleError } from "./google-error.ts";
import { checkSchema, toCamelCase } from "./schema-check.ts";

/** Parameters of every Google API, which its document does not always list. */
const SYSTEM_PARAMETERS = new Set(["$alt", "$fields", "$prettyPrint", "$userProject", "$apiVersion"]);

/**
 * The query with the document's spelling of every name.
 *
 * @param undocumented names that the service takes although the document does not know them
 * @throws {GoogleError} INVALID_ARGUMENT for a name or a value that is not the method's
 */
export function checkQuery(
  method: Method,
  query: URLSearchParams,
  undocumented: readonly string[],
): URLSearchParams {
  const checked = new URLSearchParams();
  for (const [given, value] of query) {
    const name = canonicalName(given, method);
    const schema = method.queryParameters?.[name];
    if (schema === undefined) {
      const isTaken =
        method.queryParameters === undefined || undocumented.includes(name) || SYSTEM_PARAMETERS.has(name);
      if (!isTaken) throw unknownParameter(given);
      checked.append(name, value);
      continue;
    }
    if (schema.repeated !== true && checked.has(name)) {
      throw badRequest(`Invalid value at '${name}': the parameter is given more than once`, name);
    }
    checkSchema({ [name]: value }, { type: "object", properties: { [name]: schema } }, {}, "request");
    checked.append(name, value);
  }
  return checked;
}

function unknownParameter(name: string): GoogleError {
  const shown = name.slice(0, 100);
  return badRequest(
    `Invalid JSON payload received. Unknown name "${shown}": Cannot bind query parameter. ` +
      `Field '${shown}' could not be found in request message.`,
  );
}

function canonicalName(given: string, { queryParameters }: Method): string {
  if (queryParameters === undefined || Object.hasOwn(queryParameters, given)) return given;
  const camel = given.split(".").map(toCamelCase).join(".");
  return Object.hasOwn(queryParameters, camel) ? camel : given;
}
