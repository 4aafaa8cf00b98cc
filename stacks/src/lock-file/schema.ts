import * as z from "zod";

import { nameFormat } from "../config/field-formats.ts";
import type { Immutable } from "../config/immutable.ts";

const sha256 = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const text = z.string().min(1).max(4096);
const origin = z.string().regex(/^https?:\/\/[^\s/?#]+$/);
const encryptionMode = z.enum(["off", "optional", "required"]);
const resourceName = z.string().regex(/^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/);

/** One public key of an issuer. Strict, so that no private member (`d`, `p` …) can ever get into a committed file. */
const publicJwk = z.strictObject({
  kty: z.literal("RSA"),
  n: z.string().regex(/^[A-Za-z0-9_-]+$/),
  e: z.string().regex(/^[A-Za-z0-9_-]+$/),
  kid: text.exactOptional(),
  alg: text.exactOptional(),
  use: text.exactOptional(),
});

/** Everything about a stack that stays as it was drawn: cloud resources and policies contain these names. */
const stackIdentity = z.strictObject({
  target: z.literal("local"),
  suffix: z.string().regex(/^[a-z][a-z0-9]{5}$/),
  names: z.strictObject({
    keyRing: resourceName,
    key: resourceName,
    pool: resourceName.min(4).max(32),
    provider: resourceName.min(4).max(32),
    instance: resourceName,
    serviceAccount: resourceName.min(6).max(30),
  }),
  projectId: resourceName.min(6).max(30),
  projectNumber: z.string().regex(/^[1-9][0-9]{11}$/),
  instanceId: z.string().regex(/^[1-9][0-9]{18}$/),
  zone: z.string().regex(/^[a-z][a-z0-9-]{1,62}$/),
});

const stackLock = z.strictObject({
  ...stackIdentity.shape,
  workload: z.strictObject({
    kind: z.literal("process"),
    run: z.array(z.string()).min(1),
    files: z.strictObject({ sha256, count: z.int().min(1) }),
  }),
  policy: z.strictObject({ condition: z.string().min(1).max(65_536), sha256 }),
});

const deployedStack = z.strictObject({
  target: z.literal("local"),
  endpoint: origin,
  /** What the proxy takes and gives: how a client has to talk to it. */
  encryption: z.strictObject({ requests: encryptionMode, responses: encryptionMode }),
  /**
   * Whether the endpoint's TLS key is born with the proxy and bound to its evidence: then clients take no other one. Locks
   * of before TLS have none, which is `unbound`.
   */
  tls: z.enum(["attested", "unbound"]).default("unbound"),
  /** Whether destroy is to destroy the key too. */
  onDestroy: z.enum(["keep", "destroy"]),
  publicKeyFingerprint: sha256.nullable(),
  keyVersion: text.nullable(),
  instanceId: stackIdentity.shape.instanceId,
  issuer: z.string().regex(/^https?:\/\/\S+$/),
  jwks: z.strictObject({ keys: z.array(publicJwk).min(1) }),
  workload: sha256,
  deployedAt: z.iso.datetime(),
});

/**
 * The one definition of polaris.lock. `stacks` is what `polaris lock` knows before a deploy; `deployed` is what the control
 * plane said after one, and what `polaris verify` takes its expectations from.
 */
export const lockFileSchema = z.strictObject({
  version: z.literal(1),
  name: nameFormat,
  stacks: z.record(nameFormat, stackLock),
  deployed: z.record(nameFormat, deployedStack),
});

export type StackIdentity = Immutable<z.output<typeof stackIdentity>>;
export type StackLock = Immutable<z.output<typeof stackLock>>;
/** `jwks` as libraries for JSON Web Tokens take it; all else is readonly. */
export type DeployedStack = Immutable<Omit<z.output<typeof deployedStack>, "jwks">> & {
  readonly jwks: z.output<typeof deployedStack>["jwks"];
};
export interface LockFile {
  readonly version: 1;
  readonly name: string;
  readonly stacks: Readonly<Record<string, StackLock>>;
  readonly deployed: Readonly<Record<string, DeployedStack>>;
}
