import { DEFAULT_BASE_IMAGE } from "@polaris-cvm/images/base-image.ts";
import { parseImageReference } from "@polaris-cvm/images/image-reference.ts";
import * as z from "zod";

import {
  argumentFormat,
  cidrFormat,
  durationFormat,
  environmentNameFormat,
  filePathFormat,
  filePatternFormat,
  nameFormat,
  parseDurationMs,
  portFormat,
  urlPathFormat,
  webOriginFormat,
  workloadVariableFormat,
} from "./field-formats.ts";
import { gcpAttestation, gcpTarget } from "./gcp-schema.ts";
import type { Immutable } from "./immutable.ts";
import { stackOverridesOf } from "./overrides.ts";

/** Targets whose names are refused with "not available in this version" rather than as a typing mistake. */
export const UNAVAILABLE_TARGETS: readonly string[] = ["azure"];

const IMAGE_RULE = "expected an image reference such as ghcr.io/acme/hello:1.4.2";

/** The pattern is for editors; only reading a reference says whether it is one. */
const imageFormat = z
  .string()
  .max(512, { error: "expected at most 512 characters", abort: true })
  .regex(/^[A-Za-z0-9[]\S*$/, { error: IMAGE_RULE, abort: true })
  .refine(isImageReference, { error: IMAGE_RULE });

const BODY_RULE = "expected a whole number of MiB from 1 to 256";

const encryptionMode = z.enum(["off", "optional", "required"]);

const health = z
  .strictObject({
    path: urlPathFormat.exactOptional().meta({
      description:
        "Path that answers with a status from 200 to 399 once the workload is ready. Without it, the workload is ready when it accepts connections.",
      examples: ["/healthz"],
    }),
    timeout: durationFormat.default("60s").meta({
      description: "How long a deploy waits for the workload to become ready, from 1s to 30m.",
      examples: ["60s", "2m"],
    }),
  })
  .transform(({ timeout, ...rest }) => ({ ...rest, timeoutMs: parseDurationMs(timeout) }));

const workload = z.strictObject({
  image: imageFormat.exactOptional().meta({
    description:
      "Container image to run, for linux/amd64. polaris lock asks its registry for the digest, and nothing else is deployed until polaris lock --update. On local it needs Docker or Podman; targets.local.run needs neither. On gcp it has to be there.",
    examples: ["ghcr.io/acme/hello:1.4.2"],
  }),
  entrypoint: z.array(argumentFormat).default([]).meta({
    description: "Replaces the image's entrypoint. Only where the image runs.",
  }),
  args: z.array(argumentFormat).default([]).meta({
    description: "Replaces the image's command. Only where the image runs.",
  }),
  port: portFormat.exactOptional().meta({
    description:
      "Port on which the workload listens, given to it as PORT. Without it, local chooses a free port once and keeps it; on clouds it is 8000.",
    examples: [8000],
  }),
  env: z
    .record(workloadVariableFormat, argumentFormat)
    .default({})
    .meta({
      description: "Environment variables of the workload. Public: they are measured and shown.",
      examples: [{ LOG_LEVEL: "info" }],
    }),
  secrets: z
    .record(
      workloadVariableFormat,
      z.strictObject({
        fromEnv: environmentNameFormat.meta({
          description:
            "Variable of the deploying shell that holds the value. The value itself never stands here.",
          examples: ["API_KEY"],
        }),
      }),
    )
    .default({})
    .meta({
      description:
        "Environment variables of the workload whose values are read at deploy and never written to the lock, policies or logs.",
      examples: [{ API_KEY: { fromEnv: "API_KEY" } }],
    }),
  health: health.prefault({}).meta({ description: "When the workload counts as ready." }),
});

/** What a stack can override of the proxy. */
const stackProxy = z.strictObject({
  port: portFormat.exactOptional().meta({
    description:
      "Port of the endpoint. Without it, local chooses a free port once and keeps it; on clouds it is 3000.",
    examples: [3000],
  }),
  encryption: z
    .strictObject({
      requests: encryptionMode.default("required").meta({
        description: "Whether requests must be sealed: required refuses clear ones, off refuses sealed ones.",
      }),
      responses: encryptionMode.default("required").meta({
        description:
          "Whether responses must be sealed: required refuses requests that bring no response key.",
      }),
    })
    .prefault({})
    .meta({ description: "What the proxy seals and opens." }),
  tls: z
    .union([
      z.enum(["off", "attested"]),
      z.strictObject({
        certificate: filePathFormat.meta({
          description:
            "File with the certificate and its chain in PEM, relative to the project folder. It names the endpoint's host.",
          examples: ["tls/endpoint.crt"],
        }),
        key: filePathFormat.meta({
          description:
            "File with the certificate's private key in PEM, relative to the project folder. Other users must not be able to read it.",
          examples: ["tls/endpoint.key"],
        }),
      }),
    ])
    .default("off")
    .meta({
      description:
        "TLS of the endpoint. attested: key and certificate are born in the proxy at each start, and verify and request accept no key but the one in the evidence. With files, clients trust whoever signed the certificate. What is sealed does not depend on it. A stack that overrides tls replaces it as a whole: name both files.",
      examples: ["attested", { certificate: "tls/endpoint.crt", key: "tls/endpoint.key" }],
    }),
  cors: z
    .strictObject({
      origins: z
        .array(webOriginFormat)
        .refine((origins) => new Set(origins).size === origins.length, {
          error: "expected every origin once",
        })
        .refine((origins) => !origins.includes("*") || origins.length === 1, {
          error: "expected * alone, or origins",
        })
        .default([])
        .meta({
          description:
            "Origins of the web pages that may use the endpoint, or * for all. Empty: the proxy says nothing of CORS, it is the workload's.",
          examples: [["https://app.example"]],
        }),
    })
    .prefault({})
    .meta({ description: "Which web pages may use the endpoint." }),
  limits: z
    .strictObject({
      maxBodyMb: z.int().min(1, { error: BODY_RULE }).max(256, { error: BODY_RULE }).default(32).meta({
        description:
          "Longest sealed body in either direction, in MiB: it has to be held in memory whole. Bodies in the clear stream through, without a limit.",
      }),
      answerTimeout: durationFormat.default("60s").meta({
        description:
          "Longest wait for the workload to begin its answer, and for each further piece of it, from 1s to 30m.",
        examples: ["5m"],
      }),
    })
    .prefault({})
    .meta({ description: "What one request may take. The proxy's other limits have fixed values." }),
  workloadKeyApi: z.boolean().default(false).meta({
    description:
      "Whether the workload can open data that is sealed to the stack's key: it gets a Unix socket of the proxy, in POLARIS_KEY_API_SOCKET. Needs key.kind hsm.",
  }),
  allowFrom: z
    .array(cidrFormat)
    .min(1)
    .default(["0.0.0.0/0"])
    .meta({
      description:
        "Address ranges that may reach the endpoint, for the cloud's firewall. On local the endpoint is on loopback and only this machine reaches it.",
      examples: [["203.0.113.0/24"]],
    }),
});

const proxy = stackProxy.extend({
  base: imageFormat.default(DEFAULT_BASE_IMAGE).meta({
    description:
      "Image that the proxy's image stands on, where the workload is an image: for linux/amd64, with glibc and Node 26 or newer. polaris lock pins its digest, once for all stacks. A mirror of the default one gives the same image.",
    examples: ["registry.example/mirror/node:26-slim"],
  }),
});

const key = z.strictObject({
  kind: z.enum(["hsm", "ephemeral"]).default("hsm").meta({
    description:
      "hsm: a key of the key service that only the attested machine can use. ephemeral: born in the proxy, new at each start.",
  }),
  onDestroy: z.enum(["keep", "destroy"]).default("keep").meta({
    description:
      "What destroy does with the key unless a flag says otherwise. Destroying it needs the stack's name as confirmation.",
  }),
});

const localTarget = z.strictObject({
  engine: z.enum(["auto", "docker", "podman", "process"]).default("auto").meta({
    description:
      "What runs the workload. auto: targets.local.run as a process if it is there, otherwise workload.image in Docker or Podman, whichever answers. process, docker and podman name one.",
  }),
  run: z
    .array(argumentFormat)
    .min(1)
    .refine((run) => run[0]?.trim() !== "", { error: "expected a program as the first entry" })
    .exactOptional()
    .meta({
      description:
        "Program and arguments to start in the project folder, as a process instead of an image. It listens on HOST and PORT.",
      examples: [["node", "server.js"]],
    }),
  files: z
    .array(filePatternFormat)
    .min(1)
    .exactOptional()
    .meta({
      description:
        "Files that make the workload's identity. Wildcards: * and ? within a folder, ** across folders; a folder means all in it. Without it: the whole project folder. Never part of it: .git, .polaris, node_modules, polaris.yaml, polaris.lock.",
      examples: [["server.js", "lib/**", "package-lock.json"]],
    }),
});

/** The keys that a stack can override, each with its defaults. */
const sections = {
  workload: workload.prefault({}).meta({ description: "What runs, and how it is started." }),
  proxy: proxy.prefault({}).meta({ description: "The proxy in front of the workload: the endpoint." }),
  key: key.prefault({}).meta({ description: "The key that requests are sealed to." }),
  attestation: z
    .strictObject({
      gcp: gcpAttestation.prefault({}).meta({ description: "For machines of Google Cloud." }),
    })
    .prefault({})
    .meta({
      description:
        "Further conditions on the machine that may use the key. None for local. They can only narrow the built-in ones.",
    }),
  trust: z
    .strictObject({
      accept: z
        .array(z.string().regex(/^[a-z][a-z0-9-]{0,63}$/, { error: "expected the id of a residual" }))
        .default([])
        .meta({
          description: "Residuals that you accept, by the ids that verify prints.",
          examples: [["local-no-tee"]],
        }),
    })
    .prefault({})
    .meta({ description: "What you accept although the target cannot exclude it." }),
  targets: z
    .strictObject({
      local: localTarget.prefault({}).meta({
        description: "This machine: child processes and simulated evidence, without confidential hardware.",
      }),
      gcp: gcpTarget.exactOptional().meta({
        description: "Google Cloud: a Confidential VM with SEV-SNP in a project of yours.",
      }),
    })
    .prefault({})
    .meta({ description: "What only one target needs." }),
};

const target = z.enum(["local", "gcp"]);
const TARGET_DESCRIPTION =
  "Where the stack runs. local: this machine, simulated, and every output says so. gcp: Google Cloud.";

/**
 * The one definition of polaris.yaml. Types, JSON Schema and docs/configuration.md derive from it; defaults stand
 * nowhere else. What several keys together must satisfy is in check-config.ts.
 */
export const configSchema = z.strictObject({
  version: z.literal(1).meta({ description: "Version of this file's format: 1." }),
  name: nameFormat.meta({
    description: "Name of the project: up to 30 characters of a-z, 0-9 and -, starting with a letter.",
    examples: ["hello"],
  }),
  target: target.default("local").meta({ description: TARGET_DESCRIPTION }),
  ...sections,
  stacks: z
    .record(
      nameFormat,
      stackOverridesOf({
        target: target.meta({ description: TARGET_DESCRIPTION }),
        ...sections,
        proxy: stackProxy.meta(sections.proxy.meta() ?? {}),
      }),
    )
    .default({})
    .meta({
      description:
        "Stacks by name, each with what differs from the rest of this file: maps are merged, everything else, and proxy.tls as a whole, is replaced. Without --stack the stack is called default.",
      examples: [{ dev: { proxy: { port: 3001 } } }],
    }),
});

function isImageReference(text: string): boolean {
  try {
    parseImageReference(text);
    return true;
  } catch {
    return false;
  }
}

/** A validated polaris.yaml, with the overrides of one stack merged into it. */
export type Config = Immutable<z.output<typeof configSchema>>;
export type EncryptionMode = z.output<typeof encryptionMode>;
export type TargetName = z.output<typeof target>;
