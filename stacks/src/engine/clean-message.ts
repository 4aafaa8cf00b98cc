/** What providers put around the cloud's own words, from outside to inside; each is taken off at most once. */
const NOISE: readonly RegExp[] = [
  // The engine's colours: <{%fg 1%}>.
  /<\{%.*?%\}>/g,
  /^error: /,
  // Where in the provider's source it happened.
  /^sdk-v2\/\S+\.go:\d+: sdk\.helper_schema: /,
  // A list of one.
  /^1 error occurred:\s+\* /,
  /: provider=\S+@\S+$/,
];

/** An engine's or provider's message as one that a person reads: the cloud's words, without what is wrapped around them. */
export function cleanMessage(message: string): string {
  return NOISE.reduce((text, noise) => text.replace(noise, "").trim(), message.trim());
}
