/** Errors of Google's services in the words of Google's Go client, which is where the real provider takes its texts from. */
import { fieldsOf, listOf, textOf } from "./fields.ts";
import type { Fields } from "./fields.ts";

/** An answer that is not a success. */
export class GoogleRequestError extends Error {
  readonly httpStatus: number;

  constructor(httpStatus: number, body: string) {
    super(describeAnswer(httpStatus, body));
    this.httpStatus = httpStatus;
  }
}

export function isNotFound(error: unknown): boolean {
  return error instanceof GoogleRequestError && error.httpStatus === 404;
}

function describeAnswer(httpStatus: number, body: string): string {
  const error = fieldsOf(fieldsOf(parseJson(body))["error"]);
  const message = textOf(error["message"]);
  const errors = listOf(error["errors"]).map(fieldsOf);
  if (message === "" && errors.length === 0) {
    return `googleapi: got HTTP response code ${httpStatus} with body: ${body}`;
  }
  const details = listOf(error["details"]);
  const shown = details.length === 0 ? "" : `\nDetails:\n${JSON.stringify(sortKeys(details), null, 2)}\n`;
  const text = `googleapi: Error ${httpStatus}: ${message}${shown}`;
  const [first] = errors;
  if (first === undefined) return text.trim();
  if (errors.length === 1 && first["message"] === message) return `${text}, ${textOf(first["reason"])}`;
  return `${text}\nMore details:\n${errors.map(describeReason).join("")}`;
}

function describeReason(error: Fields): string {
  return `Reason: ${textOf(error["reason"])}, Message: ${textOf(error["message"])}\n`;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Proxies answer with pages: the whole text is shown then.
    return undefined;
  }
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, inner]) => [key, sortKeys(inner)]));
}

/**
 * Says in front of an error what was being done, as `Error creating KeyRing: …`.
 *
 * @throws what the work throws, with its status
 */
export async function during<Result>(doing: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Error) error.message = `${doing}: ${error.message}`;
    throw error;
  }
}
