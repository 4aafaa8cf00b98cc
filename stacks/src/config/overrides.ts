import * as z from "zod";

/** Everything optional, maps as deep as they go; lists and scalars as a whole. */
export type Overrides<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { [Key in keyof T]?: Overrides<NonNullable<T[Key]>> }
    : T;

/**
 * The schema of what a stack may override in `sections`: the same keys and rules, every key optional, no defaults
 * (a default in an override would undo what the rest of the file says).
 */
export function stackOverridesOf<Shape extends z.ZodRawShape>(
  sections: Shape,
): z.ZodType<Overrides<z.input<z.ZodObject<Shape>>>> {
  return optionalFields(sections) as unknown as z.ZodType<Overrides<z.input<z.ZodObject<Shape>>>>;
}

function optionalFields(shape: z.ZodRawShape): z.ZodObject {
  const fields = Object.entries(shape).map(([name, field]) => {
    const override = z.exactOptional(withoutDefaults(field as z.ZodType));
    return [name, override.meta((field as z.ZodType).meta() ?? {})] as const;
  });
  return z.strictObject(Object.fromEntries(fields));
}

function withoutDefaults(schema: z.ZodType): z.ZodType {
  if (
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodExactOptional
  ) {
    return withoutDefaults(schema.unwrap() as z.ZodType);
  }
  if (schema instanceof z.ZodPipe) return withoutDefaults(schema.in as z.ZodType);
  if (schema instanceof z.ZodObject) return optionalFields(schema.shape);
  return schema;
}

/**
 * `base` with `override` laid over it: maps are merged key by key, lists and scalars are replaced.
 * Works on parsed YAML before any default is filled in.
 */
export function mergeOverrides(base: unknown, override: unknown): unknown {
  if (override === undefined) return base;
  if (!isMap(base) || !isMap(override)) return override;
  const merged = new Map(Object.entries(base));
  for (const [key, value] of Object.entries(override))
    merged.set(key, mergeOverrides(merged.get(key), value));
  return Object.fromEntries(merged);
}

export function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
