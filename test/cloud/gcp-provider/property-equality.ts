/** When two values of a property mean the same, although they are written otherwise. */
import { isEmpty, isSame, lastSegment, textOf, textsOf } from "./fields.ts";

/** The beginnings that Google itself writes; a link to any other host is another resource. */
const COMPUTE_ORIGINS = [
  /^https:\/\/www\.googleapis\.com\/compute\/(?:v1|beta)\//,
  /^https:\/\/compute\.[a-z0-9.-]+\/compute\/(?:v1|beta)\//,
];

export function isEqual(words: ReadonlySet<string>, before: unknown, after: unknown): boolean {
  if (isEmpty(before) && isEmpty(after)) return true;
  if (words.has("link")) return isSameLink(textOf(before), textOf(after));
  if (words.has("image")) return isSameImage(textOf(before), textOf(after));
  if (words.has("member")) return normalizeMember(textOf(before)) === normalizeMember(textOf(after));
  if (words.has("set")) return isSame([...textsOf(before)].sort(), [...textsOf(after)].sort());
  if (typeof before === "object" || typeof after === "object") return isSame(before, after);
  return textOrValue(before) === textOrValue(after);
}

function textOrValue(value: unknown): unknown {
  return typeof value === "number" || typeof value === "boolean" ? String(value) : value;
}

/** Without the part of a link that says which host and which version. */
export function relativeLink(link: string): string {
  const origin = COMPUTE_ORIGINS.find((pattern) => pattern.test(link));
  return origin === undefined ? link : link.replace(origin, "");
}

function isSameLink(before: string, after: string): boolean {
  const [left, right] = [relativeLink(before), relativeLink(after)];
  if (left === right) return true;
  const isName = !left.includes("/") || !right.includes("/");
  return isName && lastSegment(left) === lastSegment(right);
}

/** The disk's image against what the program asks for: a link, `project/image`, `project/family` or a name. */
function isSameImage(before: string, after: string): boolean {
  const disk = /^projects\/([^/]+)\/global\/images\/([^/]+)$/.exec(relativeLink(before));
  if (disk === null) return false;
  const [, project, image] = disk;
  const wanted = relativeLink(after).split("/");
  const name = wanted.at(-1) ?? "";
  const wantedProject = wanted[0] === "projects" ? wanted[1] : wanted.length === 2 ? wanted[0] : undefined;
  if (wantedProject !== undefined && wantedProject !== "global" && wantedProject !== project) return false;
  // A family is known by its name being in the image's name.
  const mayBeFamily = wanted.includes("family") || wanted.length <= 2;
  return name === image || (mayBeFamily && (image ?? "").includes(name));
}

/** `user:A@Example.com` is the same as `user:a@example.com`; principals keep their case. */
export function normalizeMember(member: string): string {
  return /^(?:user|group|serviceAccount|domain):/.test(member)
    ? member.replace(/:.*$/s, (rest) => rest.toLowerCase())
    : member;
}
