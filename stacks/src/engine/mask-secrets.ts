/** Shorter ones would mask half of every text, and guard nothing. */
const SHORTEST_SECRET = 6;

const MASK = "[secret]";

/** What a secret looks like that nobody has told us of. */
const SHAPES: readonly RegExp[] = [
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g,
  // Tokens: JWT, Google's access tokens, Pulumi's.
  /\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*/g,
  /\bya29\.[\w.-]{10,}/g,
  /\bpul-[0-9a-f]{40}\b/g,
  /(?<=\b[Bb]earer )[\w.~+/=-]{10,}/g,
  // Passwords in addresses.
  /(?<=:\/\/[^\s/@:]{0,100}:)[^\s/@]{1,200}(?=@)/g,
];

export type MaskText = (text: string) => string;

/** Names of variables whose values nobody else may read. */
const SECRET_NAME = /TOKEN|SECRET|PASSWORD|PASSPHRASE|CREDENTIALS|_KEY$/;

/** The values of an environment that its names say are secret. */
export function listSecretValues(environment: Readonly<Record<string, string | undefined>>): string[] {
  return Object.entries(environment).flatMap(([name, value]) =>
    value !== undefined && SECRET_NAME.test(name) ? [value] : [],
  );
}

/**
 * A function that takes the given secrets, and whatever looks like one, out of a text.
 *
 * @param secrets  also found as they are in JSON and in addresses
 */
export function createMask(secrets: readonly string[]): MaskText {
  const spellings = secrets
    // Line by line too: a log is written by lines, and the middle of a key is as secret as its whole.
    .flatMap((secret) => [secret, ...secret.split("\n")])
    .map((secret) => secret.trim())
    .filter((secret) => secret.length >= SHORTEST_SECRET)
    .flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret)]);
  // The longest first, so that nothing is left of one that begins with another.
  const longestFirst = [...new Set(spellings)].sort((a, b) => b.length - a.length);
  return (text) => {
    const known = longestFirst.reduce((masked, secret) => masked.replaceAll(secret, MASK), text);
    return SHAPES.reduce((masked, shape) => masked.replace(shape, MASK), known);
  };
}
