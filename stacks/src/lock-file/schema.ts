import { parseImageReference } from "@polaris-cvm/images/image-reference.ts";
import { DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from "@polaris-cvm/images/manifest.ts";
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

const INDEXES: ReadonlySet<string> = new Set([OCI_INDEX, DOCKER_INDEX]);
const MANIFESTS: ReadonlySet<string> = new Set([OCI_MANIFEST, DOCKER_MANIFEST]);

/** What an image is: bytes that nobody can change. */
const imageDigests = {
  /** Of an index, or of the image itself. */
  digest: sha256,
  mediaType: text.refine((type) => INDEXES.has(type) || MANIFESTS.has(type)),
  /** Of the image for linux/amd64: what runs. */
  platformDigest: sha256,
  platformMediaType: text.refine((type) => MANIFESTS.has(type)),
};

/** What a reference named when it was asked for. */
const lockedReference = {
  /** Canonical: `docker.io/library/node:26-slim`. */
  reference: text.refine((reference) => parseReference(reference) !== undefined),
  ...imageDigests,
};

/** Undefined if it is none. */
function parseReference(reference: string): ReturnType<typeof parseImageReference> | undefined {
  try {
    return parseImageReference(reference);
  } catch {
    return undefined;
  }
}

/** A reader of polaris.yaml trusts the digest there, so what runs must be that one. */
function isOfReference(locked: z.output<z.ZodObject<typeof lockedReference>>): boolean {
  const { reference, digest } = locked;
  return (parseReference(reference)?.digest ?? digest) === digest && isOfOneImage(locked);
}

/**
 * Whether the digests can be of one image: an index names its image by a digest of its own; anything else is the image
 * itself.
 */
function isOfOneImage(locked: z.output<z.ZodObject<typeof imageDigests>>): boolean {
  const { digest, mediaType, platformDigest, platformMediaType } = locked;
  return INDEXES.has(mediaType)
    ? digest !== platformDigest
    : digest === platformDigest && mediaType === platformMediaType;
}

/** Where a message says that it is wrong. */
const ONE_IMAGE = { path: ["digest"] };

const processWorkload = z.strictObject({
  kind: z.literal("process"),
  run: z.array(z.string()).min(1),
  files: z.strictObject({ sha256, count: z.int().min(1) }),
});

/** What an image itself says of how it is run: a reviewer sees a change of it. */
const imageFacts = z.strictObject({
  entrypoint: z.array(z.string()),
  cmd: z.array(z.string()),
  env: z.array(z.string()),
  user: z.string(),
  workingDir: z.string(),
  exposedPorts: z.array(z.string()),
});

const imageWorkload = z
  .strictObject({ kind: z.literal("image"), ...lockedReference, config: imageFacts })
  .refine(isOfReference, ONE_IMAGE);

/** The image of the proxy, as an installation of Polaris makes it. */
const proxyImage = z
  .strictObject({
    /** Of Polaris, whose proxy it is. */
    version: text,
    /** What it stands on: `platformDigest` of `pins.base`. */
    base: sha256,
    /** The one layer on the base: digest of its compressed bytes. */
    layer: sha256,
    ...imageDigests,
    config: imageFacts,
  })
  .refine(isOfOneImage, ONE_IMAGE);

const stackLock = z
  .strictObject({
    ...stackIdentity.shape,
    workload: z.discriminatedUnion("kind", [processWorkload, imageWorkload]),
    /** Where the workload is an image: the proxy is one then. */
    proxy: proxyImage.exactOptional(),
    policy: z.strictObject({ condition: z.string().min(1).max(65_536), sha256 }),
  })
  .refine(({ workload, proxy }) => proxy === undefined || workload.kind === "image", { path: ["proxy"] });

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

const imagePin = z.strictObject(lockedReference).refine(isOfReference, ONE_IMAGE);

/**
 * The one definition of polaris.lock. `stacks` is what `polaris lock` knows before a deploy; `deployed` is what the control
 * plane said after one, and what `polaris verify` takes its expectations from. `pins` are other people's images that Polaris
 * itself uses, as they were when they were first locked: absent until there is one.
 */
export const lockFileSchema = z.strictObject({
  version: z.literal(1),
  name: nameFormat,
  stacks: z.record(nameFormat, stackLock),
  deployed: z.record(nameFormat, deployedStack),
  pins: z.record(nameFormat, imagePin).exactOptional(),
});

export type StackIdentity = Immutable<z.output<typeof stackIdentity>>;
export type StackLock = Immutable<z.output<typeof stackLock>>;
export type LockedWorkload = StackLock["workload"];
export type LockedProcess = Immutable<z.output<typeof processWorkload>>;
export type LockedImage = Immutable<z.output<typeof imageWorkload>>;
export type LockedProxy = Immutable<z.output<typeof proxyImage>>;
export type ImageFacts = Immutable<z.output<typeof imageFacts>>;
export type ImagePin = Immutable<z.output<typeof imagePin>>;
/** `jwks` as libraries for JSON Web Tokens take it; all else is readonly. */
export type DeployedStack = Immutable<Omit<z.output<typeof deployedStack>, "jwks">> & {
  readonly jwks: z.output<typeof deployedStack>["jwks"];
};
export interface LockFile {
  readonly version: 1;
  readonly name: string;
  readonly stacks: Readonly<Record<string, StackLock>>;
  readonly deployed: Readonly<Record<string, DeployedStack>>;
  readonly pins?: Readonly<Record<string, ImagePin>>;
}
