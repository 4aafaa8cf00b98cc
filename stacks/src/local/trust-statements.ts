import type { TrustStatement } from "../trust-statement.ts";

/** What the local target proves: the same machinery as a cloud, on a machine that proves nothing. */
export function localTrustStatements(
  keyKind: "hsm" | "ephemeral",
  workloadKind: "process" | "image",
): TrustStatement[] {
  return [
    {
      id: "key-bound-to-evidence",
      holds: true,
      why: "the public key is bound to evidence made for your nonce, so it is not from another endpoint or from yesterday",
    },
    {
      id: "key-policy-evaluated",
      holds: keyKind === "hsm",
      why:
        keyKind === "hsm"
          ? "the local key service decrypts only for the one simulated instance that satisfies the condition in polaris.lock"
          : "key.kind is ephemeral: the key lives in the proxy's memory, no policy guards it and it changes at each start",
    },
    {
      id: "local-no-tee",
      holds: false,
      why: "simulated: no hardware measures or encrypts anything here; whoever controls this machine controls the evidence",
    },
    {
      id: "local-key-readable-by-same-user",
      holds: false,
      why:
        keyKind === "hsm"
          ? "the key is a file of yours below .polaris: every process of the same user, and root, can read it"
          : "the key is in the memory of a process of yours: root can read it, and so can processes of the same user that may look into others",
    },
    {
      id: "local-workload-reachable-by-processes",
      holds: false,
      why:
        workloadKind === "process"
          ? "the workload is a process on a loopback port: every process of this machine can reach it without the proxy"
          : "the workload's container has no port, but whoever may use the container engine can reach it without the proxy",
    },
  ];
}
