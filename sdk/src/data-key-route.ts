/**
 * The route of the proxy's key API by which the workload gets content keys of data unwrapped (docs/data.md). It is served on
 * a Unix socket and nowhere else.
 */
export const UNWRAP_DATA_KEY_PATH = "/v1/data-keys:unwrap";

/** Body of the question: JSON with exactly these members. */
export interface UnwrapDataKeyQuestion {
  /** `sha256:<64 lowercase hex>`. */
  readonly keyId: string;
  /** Base64. */
  readonly wrappedKey: string;
}

/** Body of the answer: JSON. */
export interface UnwrapDataKeyAnswer {
  /** 32 bytes, base64. */
  readonly dataKey: string;
}
