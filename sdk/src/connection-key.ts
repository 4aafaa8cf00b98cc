import type { Check } from "./check.ts";

/**
 * What a relying party demands of the TLS key: `attested`: that it was born with the proxy, so that nobody stands between.
 * `unbound`: that no evidence speaks for it, as without TLS or with a certificate from files.
 */
export type TlsExpectation = "attested" | "unbound";

/** The key that the other end of a connection proved to have, or why it is not known. */
export type ConnectionKey =
  /** `sha256:<64 lowercase hex>` of its SPKI. */
  { readonly sha256: string } | { readonly unknown: string };

/**
 * Compares the TLS key that a document names with that of the connection. Whether evidence speaks for the document's is
 * the matter of the check `key-binding`.
 *
 * @param named  the document's `tlsPublicKeySha256`
 */
export function checkTlsKey(
  named: string | null,
  connection: ConnectionKey,
  expectation: TlsExpectation,
): Check {
  // Whatever is not "unbound" to the letter has to be attested.
  if (expectation === "unbound") {
    const nothing = "no TLS key bound to the evidence";
    return { id: "tls-key", ok: named === null, expected: nothing, actual: named ?? nothing };
  }
  const shown = "sha256" in connection ? connection.sha256 : `none: ${connection.unknown}`;
  return {
    id: "tls-key",
    ok: named !== null && shown === named,
    expected: named ?? "a TLS key that was born with the proxy",
    actual: named === null ? `none in the document; the connection showed ${shown}` : shown,
  };
}
