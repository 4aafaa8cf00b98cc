import { PolarisError } from "./errors.ts";

/** Where the platform hides the keys of connections: in browsers, and whatever is not Node. */
export function createPinnedTransport(): never {
  throw new PolarisError(
    "EXPECTATIONS_MISSING",
    "the TLS key of the endpoint has to be the attested one, and a browser does not show programs which it is",
    { hint: "use the SDK in Node, or give a fetch that tells the key" },
  );
}
