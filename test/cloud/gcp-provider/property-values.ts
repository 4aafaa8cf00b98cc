/** Pulumi's wire form of properties: protobuf structs with marks for what is secret and what is not known yet. */
import structPb from "google-protobuf/google/protobuf/struct_pb.js";
import { fieldsOf } from "./fields.ts";
import type { Fields } from "./fields.ts";

/** Stands for a value that is known after something else was made. */
export const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

const SIGNATURE_KEY = "4dabf18193072939515e22adb298388d";
const SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270";

/** Properties without their marks. */
export interface Properties {
  readonly values: Fields;
  /** Names of the top-level properties in which something is secret. */
  readonly secrets: ReadonlySet<string>;
}

export function hasUnknown(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(hasUnknown);
  if (typeof value === "object" && value !== null) return Object.values(value).some(hasUnknown);
  return value === UNKNOWN;
}

/** Takes the marks off; the values themselves are as the program gave them. */
export function readProperties(struct: structPb.Struct | undefined): Properties {
  const secrets = new Set<string>();
  const values: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fieldsOf(struct?.toJavaScript()))) {
    values[name] = unwrap(value, () => secrets.add(name));
  }
  return { values, secrets };
}

function unwrap(value: unknown, markSecret: () => void): unknown {
  if (Array.isArray(value)) return value.map((element) => unwrap(element, markSecret));
  if (typeof value !== "object" || value === null) return value;
  const fields = fieldsOf(value);
  if (fields[SIGNATURE_KEY] === SECRET_SIGNATURE) {
    markSecret();
    return unwrap(fields["value"], markSecret);
  }
  return Object.fromEntries(Object.entries(fields).map(([key, inner]) => [key, unwrap(inner, markSecret)]));
}

/** Puts the marks back: a property that held a secret is secret as a whole. */
export function writeProperties({ values, secrets }: Properties): structPb.Struct {
  const marked: Record<string, structPb.JavaScriptValue> = {};
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) continue;
    const plain = JSON.parse(JSON.stringify(value)) as structPb.JavaScriptValue;
    marked[name] = secrets.has(name) ? { [SIGNATURE_KEY]: SECRET_SIGNATURE, value: plain } : plain;
  }
  return structPb.Struct.fromJavaScript(marked);
}
