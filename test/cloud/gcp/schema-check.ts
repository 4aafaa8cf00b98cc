import { badRequest } from "./google-error.ts";

/** What the discovery documents use of JSON Schema. */
export interface Schema {
  readonly id?: string;
  readonly $ref?: string;
  readonly type?: string;
  readonly format?: string;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema;
  readonly items?: Schema;
}

type Schemas = Readonly<Record<string, Schema>>;

/**
 * - `request`: as Google reads: nulls are absent, numbers may be strings, an empty enum is the default, names may be in
 *   snake case.
 * - `answer`: as Google writes: nothing of that.
 */
export type Direction = "request" | "answer";

/**
 * Checks a value, and gives it plain: without nulls, with the types and names of the schema.
 *
 * @throws {GoogleError} INVALID_ARGUMENT, in the words of Google's JSON reader
 */
export function checkSchema(value: unknown, schema: Schema, schemas: Schemas, direction: Direction): unknown {
  return new Checker(schemas, direction).check(value, schema, "");
}

const RANGES: Readonly<Record<string, readonly [min: bigint, max: bigint]>> = {
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
};

class Checker {
  readonly #schemas: Schemas;
  readonly #reads: boolean;

  constructor(schemas: Schemas, direction: Direction) {
    this.#schemas = schemas;
    this.#reads = direction === "request";
  }

  check(value: unknown, schema: Schema, path: string): unknown {
    if (schema.$ref !== undefined) {
      const target = this.#schemas[schema.$ref];
      if (target === undefined) throw new Error(`the document has no schema ${schema.$ref}`);
      return this.check(value, target, path);
    }
    switch (schema.type) {
      case "object":
        return this.#checkObject(value, schema, path);
      case "array":
        return this.#checkArray(value, schema, path);
      case "string":
        return this.#checkString(value, schema, path);
      case "integer":
        return Number(this.#checkInteger(value, schema.format ?? "int32", path));
      case "number":
        return this.#checkNumber(value, path);
      case "boolean":
        return this.#checkBoolean(value, path);
      case undefined:
      default:
        return value;
    }
  }

  #checkObject(value: unknown, schema: Schema, path: string): unknown {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw invalid(path, `TYPE_MESSAGE${schema.id === undefined ? "" : ` ${schema.id}`}`, value);
    }
    const plain: Record<string, unknown> = {};
    for (const [key, item] of Object.entries(value as Readonly<Record<string, unknown>>)) {
      const name = this.#propertyName(key, schema);
      const itemSchema = schema.properties?.[name] ?? schema.additionalProperties;
      if (itemSchema === undefined) {
        // A schema without any field is a map of anything (google.protobuf.Struct, Any).
        if (schema.properties === undefined) plain[key] = item;
        else throw unknownName(key, path);
      } else if (item !== null || !this.#reads) {
        plain[name] = this.check(item, itemSchema, path === "" ? name : `${path}.${name}`);
      }
    }
    return plain;
  }

  #propertyName(key: string, { properties }: Schema): string {
    if (properties === undefined || Object.hasOwn(properties, key) || !this.#reads) return key;
    const camel = toCamelCase(key);
    return Object.hasOwn(properties, camel) ? camel : key;
  }

  #checkArray(value: unknown, schema: Schema, path: string): unknown {
    if (!Array.isArray(value)) throw invalid(path, "list", value);
    const items = this.#reads ? value.filter((item) => item !== null) : value;
    return items.map((item, index) => this.check(item, schema.items ?? {}, `${path}[${index}]`));
  }

  #checkString(value: unknown, schema: Schema, path: string): unknown {
    if (schema.format !== undefined && Object.hasOwn(RANGES, schema.format)) {
      if (!this.#reads && typeof value !== "string") throw invalid(path, "a string", value);
      return this.#checkInteger(value, schema.format, path).toString();
    }
    // Enums may be numbers (Protocol Buffers JSON); the documents have no numbers, so the handler must know them.
    if (this.#reads && schema.enum !== undefined && Number.isInteger(value)) return value;
    if (typeof value !== "string") throw invalid(path, "TYPE_STRING", value);
    if (schema.enum !== undefined && !schema.enum.includes(value) && !(this.#reads && value === "")) {
      throw invalid(path, "TYPE_ENUM", value);
    }
    if (schema.format === "byte" && !/^[\w+/-]*={0,2}$/.test(value)) throw invalid(path, "TYPE_BYTES", value);
    if (schema.format === "google-datetime" && Number.isNaN(Date.parse(value))) {
      throw invalid(path, "type.googleapis.com/google.protobuf.Timestamp", value);
    }
    if (schema.format === "google-duration" && !/^-?\d+(\.\d{1,9})?s$/.test(value)) {
      throw invalid(path, "type.googleapis.com/google.protobuf.Duration", value);
    }
    return value;
  }

  #checkInteger(value: unknown, format: string, path: string): bigint {
    const type = `TYPE_${format.toUpperCase()}`;
    const isText = typeof value === "string" && /^-?\d{1,20}$/.test(value);
    if (!isText && !(typeof value === "number" && Number.isSafeInteger(value)))
      throw invalid(path, type, value);
    const [min, max] = RANGES[format] ?? RANGES["int32"] ?? [0n, 0n];
    const number = BigInt(value);
    if (number < min || number > max) throw invalid(path, type, value);
    return number;
  }

  #checkNumber(value: unknown, path: string): number {
    const number = this.#reads && typeof value === "string" && value !== "" ? Number(value) : value;
    if (typeof number !== "number" || !Number.isFinite(number)) throw invalid(path, "TYPE_DOUBLE", value);
    return number;
  }

  #checkBoolean(value: unknown, path: string): boolean {
    if (this.#reads && (value === "true" || value === "false")) return value === "true";
    if (typeof value !== "boolean") throw invalid(path, "TYPE_BOOL", value);
    return value;
  }
}

/** `update_mask` as `updateMask`: Google's JSON reader takes both. */
export function toCamelCase(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function unknownName(name: string, path: string): Error {
  const at = path === "" ? "" : ` at '${path}'`;
  return badRequest(
    `Invalid JSON payload received. Unknown name "${name.slice(0, 100)}"${at}: Cannot find field.`,
    path,
  );
}

function invalid(path: string, type: string, value: unknown): Error {
  const shown = (JSON.stringify(value) ?? "undefined").slice(0, 100);
  return badRequest(`Invalid value at '${path}' (${type}), ${shown}`, path);
}
