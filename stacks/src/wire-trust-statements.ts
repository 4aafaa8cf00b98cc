import type { DeployedStack } from "./lock-file/schema.ts";
import type { TrustStatement } from "./trust-statement.ts";

/**
 * What wire format v1 leaves open to whoever stands between client and proxy, on any target, and what TLS with the key of
 * the evidence takes from them (docs/envelope.md section 6).
 *
 * @param tls  of the deployed stack; `unbound`: none, or with a certificate that no evidence speaks for
 */
export function wireTrustStatements(tls: DeployedStack["tls"]): TrustStatement[] {
  const holds = tls === "attested";
  return [
    {
      id: "wire-v1-replay",
      holds,
      why: holds
        ? "wire v1 lets a recorded request be sent again, but who verifies sends to the TLS key of the evidence only: nobody on the way has one to record"
        : "whoever records a sealed request on the way can send it again, and mix its parts with those of others: wire v1 cannot tell; proxy.tls: attested leaves nothing to record",
    },
    {
      id: "wire-v1-response-key",
      holds,
      why: holds
        ? "wire v1 does not say whose response key it is, but who verifies sends to the TLS key of the evidence only: nobody on the way can put in another"
        : "whoever changes requests on the way can get an answer that is sealed to a key of his own: wire v1 cannot tell; proxy.tls: attested leaves nothing to change",
    },
  ];
}

/**
 * Whether anything that clients send or get may be in the clear on the way to and from the proxy, on any target: sealing that
 * is off or optional, unless TLS with the key of the evidence hides the rest.
 */
export function clearTrafficStatement({
  encryption,
  tls,
  endpoint,
}: Pick<DeployedStack, "encryption" | "tls" | "endpoint">): TrustStatement {
  const id = "traffic-in-the-clear";
  const open = (["requests", "responses"] as const)
    .filter((direction) => encryption[direction] !== "required")
    .map((direction) => `encryption.${direction} is ${encryption[direction]}`)
    .join(", ");
  if (open === "") return { id, holds: true, why: "the proxy takes no request and gives no answer unsealed" };
  if (tls === "attested") {
    const why = `${open}, but who verifies sends to the TLS key of the evidence only: what is not sealed, nobody on the way can read`;
    return { id, holds: true, why };
  }
  const who = endpoint.startsWith("https:")
    ? "hidden by TLS alone, with a key that no evidence speaks for"
    : "in the clear: everybody on the way can read and change it";
  return { id, holds: false, why: `${open}: what is not sealed is ${who}` };
}
