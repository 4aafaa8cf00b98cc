import { invalidValue, required, tooLarge } from "./compute-errors.ts";

const NAME = /^[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?$/;
const NAME_TEXT = "Must be a match of regex '(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)'";
const MAX_LABELS = 64;
const MAX_TAGS = 64;
const MAX_METADATA_VALUE_BYTES = 262_144;
const MAX_METADATA_BYTES = 524_288;
const MAX_DESCRIPTION_CHARACTERS = 2048;

export interface MetadataItem {
  readonly key: string;
  readonly value: string;
}

/** @throws {GoogleError} INVALID_ARGUMENT, like all of this file */
export function requireName(name: string | undefined): string {
  if (name === undefined || name === "") throw required("resource.name");
  if (!NAME.test(name)) throw invalidValue("resource.name", name, NAME_TEXT);
  return name;
}

export function requireDescription(description: string | undefined): void {
  const { length } = description ?? "";
  if (length > MAX_DESCRIPTION_CHARACTERS)
    throw tooLarge("resource.description", MAX_DESCRIPTION_CHARACTERS, length);
}

export function requireLabels(labels: Readonly<Record<string, string>> | undefined): void {
  const entries = Object.entries(labels ?? {});
  if (entries.length > MAX_LABELS) {
    throw invalidValue("resource.labels", entries.length, `At most ${MAX_LABELS} labels are allowed.`);
  }
  for (const [key, value] of entries) {
    if (!/^[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}$/u.test(key)) {
      throw invalidValue("resource.labels", key, "Label keys must match regex '[a-z][a-z0-9_-]{0,62}'.");
    }
    if (!/^[\p{Ll}\p{Lo}\p{N}_-]{0,63}$/u.test(value)) {
      throw invalidValue("resource.labels", value, "Label values must match regex '[a-z0-9_-]{0,63}'.");
    }
  }
}

export function requireTags(tags: readonly string[]): void {
  if (tags.length > MAX_TAGS)
    throw invalidValue("resource.tags", tags.length, `At most ${MAX_TAGS} tags are allowed.`);
  tags.forEach((tag, index) => {
    if (!NAME.test(tag)) throw invalidValue(`resource.tags.items[${index}]`, tag, NAME_TEXT);
    if (tags.indexOf(tag) !== index)
      throw invalidValue(`resource.tags.items[${index}]`, tag, "Duplicate tag.");
  });
}

export function requireMetadata(items: readonly Partial<MetadataItem>[]): readonly MetadataItem[] {
  const seen = new Set<string>();
  let byteCount = 0;
  return items.map(({ key = "", value = "" }, index) => {
    const field = `resource.metadata.items[${index}]`;
    if (!/^[a-zA-Z0-9_-]{1,128}$/.test(key)) {
      throw invalidValue(`${field}.key`, key, "Must be a match of regex '[a-zA-Z0-9-_]{1,128}'");
    }
    if (seen.has(key)) throw invalidValue(`${field}.key`, key, "Metadata has duplicate keys.");
    seen.add(key);
    const valueBytes = Buffer.byteLength(value);
    if (valueBytes > MAX_METADATA_VALUE_BYTES) {
      throw tooLarge(`${field}.value`, MAX_METADATA_VALUE_BYTES, valueBytes);
    }
    byteCount += valueBytes + Buffer.byteLength(key);
    if (byteCount > MAX_METADATA_BYTES) throw tooLarge("resource.metadata", MAX_METADATA_BYTES, byteCount);
    return { key, value };
  });
}

export interface Range {
  readonly first: number;
  readonly last: number;
  readonly prefixLength: number;
}

/** An IPv4 range without host bits; undefined if the text is none. */
export function parseRange(text: string): Range | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:\/(\d{1,2}))?$/.exec(text);
  if (match === null) return undefined;
  const octets = match.slice(1, 5).map(Number);
  const prefixLength = Number(match[5] ?? 32);
  if (octets.some((octet) => octet > 255) || prefixLength > 32) return undefined;
  const first = octets.reduce((sum, octet) => sum * 256 + octet, 0);
  const size = 2 ** (32 - prefixLength);
  return first % size === 0 ? { first, last: first + size - 1, prefixLength } : undefined;
}

export function formatAddress(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");
}

/** `443` or `8000-9000`. */
export function isPortRange(text: string): boolean {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (match === null) return false;
  const from = Number(match[1]);
  const to = Number(match[2] ?? match[1]);
  return from <= to && to <= 65_535;
}
