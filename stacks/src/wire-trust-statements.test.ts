import assert from "node:assert/strict";
import { test } from "node:test";
import { localTrustStatements } from "./local/trust-statements.ts";
import { clearTrafficStatement } from "./wire-trust-statements.ts";

const HTTP = "http://127.0.0.1:3000";

test("sealing that is required in both directions leaves nothing in the clear", () => {
  const encryption = { requests: "required", responses: "required" } as const;
  assert.deepEqual(clearTrafficStatement({ encryption, tls: "unbound", endpoint: HTTP }), {
    id: "traffic-in-the-clear",
    holds: true,
    why: "the proxy takes no request and gives no answer unsealed",
  });
});

test("sealing that is off or optional in any direction is an open residual, which names the direction", () => {
  for (const mode of ["off", "optional"] as const) {
    for (const direction of ["requests", "responses"] as const) {
      const encryption = { requests: "required", responses: "required", [direction]: mode } as const;
      assert.deepEqual(clearTrafficStatement({ encryption, tls: "unbound", endpoint: HTTP }), {
        id: "traffic-in-the-clear",
        holds: false,
        why: `encryption.${direction} is ${mode}: what is not sealed is in the clear: everybody on the way can read and change it`,
      });
    }
  }
});

test("TLS closes it with the key of the evidence only", () => {
  const encryption = { requests: "off", responses: "off" } as const;
  const endpoint = HTTP.replace("http", "https");
  const attested = clearTrafficStatement({ encryption, tls: "attested", endpoint });
  assert.equal(attested.holds, true);
  assert.match(attested.why, /^encryption\.requests is off, encryption\.responses is off, but who verifies /);
  const files = clearTrafficStatement({ encryption, tls: "unbound", endpoint });
  assert.equal(files.holds, false);
  assert.match(files.why, /hidden by TLS alone, with a key that no evidence speaks for$/);
});

test("where the key lies is said as its kind has it", () => {
  const why = (kind: "hsm" | "ephemeral") =>
    localTrustStatements(kind, "process").find(({ id }) => id === "local-key-readable-by-same-user")?.why ??
    "";
  assert.match(why("hsm"), /^the key is a file of yours below \.polaris/);
  assert.match(why("ephemeral"), /^the key is in the memory of a process of yours/);
});
