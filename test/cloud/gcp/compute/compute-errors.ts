import { GoogleError } from "../google-error.ts";

/** Refusals in compute's words. Texts of Confidential VM rules are ours: only that they are refused is known. */

export function notFound(path: string): GoogleError {
  return new GoogleError("NOT_FOUND", `The resource '${path}' was not found`, { reason: "notFound" });
}

export function alreadyExists(path: string): GoogleError {
  return new GoogleError("ALREADY_EXISTS", `The resource '${path}' already exists`, {
    reason: "alreadyExists",
  });
}

export function notReady(path: string): GoogleError {
  return new GoogleError("INVALID_ARGUMENT", `The resource '${path}' is not ready`, {
    reason: "resourceNotReady",
  });
}

/** @param field for example `resource.name` */
export function invalidValue(field: string, value: unknown, why: string): GoogleError {
  const shown = (typeof value === "string" ? value : (JSON.stringify(value) ?? "")).slice(0, 200);
  return new GoogleError("INVALID_ARGUMENT", `Invalid value for field '${field}': '${shown}'. ${why}`, {
    reason: "invalid",
  });
}

export function required(field: string): GoogleError {
  return new GoogleError("INVALID_ARGUMENT", `Required field '${field}' not specified`, {
    reason: "required",
  });
}

export function invalidUsage(why: string): GoogleError {
  return new GoogleError("INVALID_ARGUMENT", `Invalid resource usage: '${why}'.`, { reason: "invalid" });
}

export function inUse(path: string, byPath: string): GoogleError {
  const collection = path.split("/").at(-2) ?? "";
  return new GoogleError(
    "INVALID_ARGUMENT",
    `The ${collection.replace(/s$/, "").replace("addresse", "address")} resource '${path}' is already being used by '${byPath}'`,
    { reason: "resourceInUseByAnotherResource" },
  );
}

export function tooLarge(field: string, maximum: number, actual: number): GoogleError {
  return new GoogleError(
    "INVALID_ARGUMENT",
    `Value for field '${field}' is too large: maximum size ${maximum} character(s); actual size ${actual}.`,
    { reason: "fieldSizeTooLarge", httpStatus: 413 },
  );
}

/** @param what for example `metadata` */
export function staleFingerprint(what: string): GoogleError {
  return conditionNotMet(`Supplied fingerprint does not match current ${what} fingerprint.`);
}

export function conditionNotMet(message: string): GoogleError {
  return new GoogleError("FAILED_PRECONDITION", message, { reason: "conditionNotMet", httpStatus: 412 });
}

export function forbidden(permission: string, path: string): GoogleError {
  return new GoogleError("PERMISSION_DENIED", `Required '${permission}' permission for '${path}'`, {
    reason: "forbidden",
  });
}
