import type { ErrorActor } from "@polaris-cvm/sdk/errors";

/** Who has to act on an error, in words. */
export const WHO_ACTS: Readonly<Record<ErrorActor, string>> = {
  user: "you: a file or the command line says something else",
  operator: "the operator of machine and deployment",
  client: "the client of the proxy: it sends something else",
  "relying-party": "the relying party: it must not trust the endpoint",
  polaris: "we: a bug to report",
};
