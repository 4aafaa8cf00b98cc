/** One way to authenticate that a server offers (RFC 9110 §11.6.1). */
export interface Challenge {
  /** In lower case: `basic`, `bearer` … */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const PARAMETER = new RegExp(
  String.raw`\s*(${TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|(${TOKEN}))\s*(?:,|$)`,
  "y",
);
const SCHEME = new RegExp(String.raw`[\s,]*(${TOKEN})(?:\s+|,|$)`, "y");

/**
 * Reads the WWW-Authenticate header. What comes behind the first mistake is ignored, and so is a way to authenticate that
 * we do not know anyhow; whoever needs one finds none then.
 *
 * @param header  its value, or its values if it was there several times
 */
export function parseChallenges(header: string | readonly string[] | undefined): readonly Challenge[] {
  const text = typeof header === "string" ? header : (header ?? []).join(", ");
  const challenges: Challenge[] = [];
  let position = 0;
  while (position < text.length) {
    SCHEME.lastIndex = position;
    const scheme = SCHEME.exec(text)?.[1];
    if (scheme === undefined) break;
    position = SCHEME.lastIndex;
    const parameters = new Map<string, string>();
    for (;;) {
      PARAMETER.lastIndex = position;
      const match = PARAMETER.exec(text);
      const [, name, quoted, plain] = match ?? [];
      if (name === undefined) break;
      position = PARAMETER.lastIndex;
      parameters.set(name.toLowerCase(), quoted?.replaceAll(/\\(.)/g, "$1") ?? plain ?? "");
    }
    challenges.push({ scheme: scheme.toLowerCase(), parameters });
  }
  return challenges;
}
