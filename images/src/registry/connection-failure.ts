import { PolarisError } from "@polaris-cvm/sdk/errors";
import { errors } from "undici";

/** What goes wrong below HTTP and does not mend in a moment, by the code of the error. */
const LASTING_FAILURES: readonly {
  readonly codes: RegExp;
  readonly what: string;
  readonly hint: string;
}[] = [
  {
    codes: /^(?:ENOTFOUND|ENODATA)$/,
    what: "no such host is known",
    hint: "check the name of the registry, and that this machine reaches its name server",
  },
  {
    // Long enough was waited already.
    codes: /^UND_ERR_(?:CONNECT|HEADERS|BODY)_TIMEOUT$/,
    what: "no answer in time",
    hint: "check that this machine reaches the registry, and try again",
  },
  {
    codes:
      /^(?:EPROTO|ERR_TLS_\w+|ERR_SSL_\w+|CERT_\w+|CRL_\w+|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_\w+|INVALID_CA|PATH_LENGTH_EXCEEDED|HOSTNAME_MISMATCH|ERROR_IN_CERT_\w+)$/,
    what: "the TLS connection failed",
    hint: "its certificate must be of an authority that this machine trusts: for one of your own, set NODE_EXTRA_CA_CERTS to a file with its certificate",
  },
  {
    codes: /^(?:proxy status [34]\d\d|UND_ERR_PRX_TLS)$/,
    what: "the proxy in between does not connect us",
    hint: "check the URL in HTTPS_PROXY or HTTP_PROXY, and the login in it; or name the registry in NO_PROXY, if it can be reached without",
  },
];

const OTHER = {
  what: "the connection failed",
  hint: "check that the registry is running and that this machine reaches it, by the proxy in HTTPS_PROXY or HTTP_PROXY if one is set, and try again",
};

/**
 * The error for a request that got no answer, or for an answer that broke off.
 *
 * @param host  of the server that did not answer; not always the registry's
 * @returns {PolarisError} REGISTRY_UNREACHABLE, `details` has host and reason, which is the code of the system or of TLS;
 *   REGISTRY_FAILED if what came is not HTTP
 */
export function connectionFailure(host: string, cause: unknown): PolarisError {
  if (cause instanceof errors.HTTPParserError || cause instanceof errors.HeadersOverflowError) {
    // No cause: it holds the bytes that came, and they can have our password in them.
    return new PolarisError("REGISTRY_FAILED", `the answer of ${host} is not HTTP as we know it`, {
      hint: "check that a registry is listening there",
      details: { host },
    });
  }
  const reason = codeOf(cause) ?? "unknown reason";
  const { what, hint } = LASTING_FAILURES.find(({ codes }) => codes.test(reason)) ?? OTHER;
  return new PolarisError("REGISTRY_UNREACHABLE", `cannot reach ${host}: ${what} (${reason})`, {
    hint,
    details: { host, reason },
    cause,
  });
}

/** True for a failed connection that a moment later may succeed. */
export function isTransient(error: unknown): boolean {
  if (!(error instanceof PolarisError) || error.code !== "REGISTRY_UNREACHABLE") return false;
  const reason = error.details?.["reason"];
  return typeof reason === "string" && !LASTING_FAILURES.some(({ codes }) => codes.test(reason));
}

/**
 * The first code in the chain of causes; Node puts those of several addresses into one AggregateError. For a proxy's refusal,
 * which has the code of an abort, it is `proxy status` and the status.
 */
function codeOf(error: unknown): string | undefined {
  if (error instanceof errors.RequestAbortedError) {
    const status = /^Proxy response \((\d{3})\)/.exec(error.message)?.[1];
    if (status !== undefined) return `proxy status ${status}`;
  }
  for (let current = error, depth = 0; current instanceof Error && depth < 5; depth++) {
    if ("code" in current && typeof current.code === "string" && current.code !== "") return current.code;
    current = current instanceof AggregateError ? current.errors[0] : current.cause;
  }
  return undefined;
}
