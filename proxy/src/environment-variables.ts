/** The variables of the proxy's environment as data: form, default, meaning, example and the original's names. */
import { RESPONSE_KEY_HEADER, SECURE_HEADER, URL_HEADER } from "@polaris-cvm/sdk/headers";
import * as z from "zod";
import {
  choice,
  expectedTexts,
  fieldName,
  httpOrigin,
  integer,
  integers,
  matching,
  serviceOrigin,
  socketPath,
  webOrigins,
} from "./environment-values.ts";
import type { OriginalName } from "./original-environment.ts";

export const ENCRYPTION_MODES = ["off", "optional", "required"] as const;
export type EncryptionMode = (typeof ENCRYPTION_MODES)[number];

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

const TLS_MODES = ["off", "attested", "files"] as const;

const KEY_API_ACCESSES = ["owner", "mounted"] as const;
export type KeyApiAccess = (typeof KEY_API_ACCESSES)[number];

/** Where the token of the machine lies when nobody says otherwise (Confidential Space, and the original). */
const DEFAULT_TOKEN_FILE = "/run/container_launcher/attestation_verifier_claims_token";

const KIBIBYTE = 1024;
const MEBIBYTE = 1024 * KIBIBYTE;

/** A message that names no key is tried with each: the list bounds what one bad message costs. */
const MAX_OLDER_KEY_VERSIONS = 10;

interface VariableFacts {
  readonly description: string;
  readonly example: string;
  /** Names of the original proxy that mean the same, documented aliases. */
  readonly originals?: readonly OriginalName[];
}

const variableFacts = z.registry<VariableFacts>();

/** Original switches: anything but these two words is refused, where the original took every other word for "no". */
const ORIGINAL_SWITCH = { true: "required", false: "off" };

const googleName = /[A-Za-z0-9_-]{1,63}/;
const absolutePath = /\/[^\0]*/;

/** Variables of every proxy: the text on one side, the typed value on the other. */
const commonVariables = {
  POLARIS_PROXY_PORT: integer(0, 65535)
    .prefault("3000")
    .register(variableFacts, {
      description: "Port that the proxy listens on; 0 takes any free one, the log says which.",
      example: "8443",
      originals: [{ name: "PORT" }],
    }),
  POLARIS_PROXY_HOST: matching(/[0-9A-Za-z.:-]{1,253}/, "an IP address or a host name")
    .prefault("0.0.0.0")
    .register(variableFacts, { description: "Address that the proxy listens on.", example: "127.0.0.1" }),
  POLARIS_PROXY_WORKLOAD_URL: httpOrigin().register(variableFacts, {
    description: "Where the workload listens. Only the proxy should be able to reach it.",
    example: "http://127.0.0.1:8000",
    originals: [{ name: "POLARIS_CONTAINER_WORKLOAD_BASE_URL" }],
  }),
  POLARIS_PROXY_WORKLOAD_HEALTH_PATH: matching(
    /\/(?!\/)[\x21\x22\x24-\x7e]*/,
    "a path that begins with one slash, without a fragment",
  )
    .optional()
    .register(variableFacts, {
      description:
        "Path of the workload that answers 2xx or 3xx when it is ready; without it an open port is enough.",
      example: "/healthz",
    }),
  POLARIS_PROXY_WORKLOAD_TIMEOUT_MS: integer(1, 3_600_000).prefault("60000").register(variableFacts, {
    description:
      "Longest wait for the head of the workload's answer, and between two pieces of its body, in milliseconds.",
    example: "300000",
  }),
  POLARIS_PROXY_STACK: matching(
    /[A-Za-z0-9][A-Za-z0-9._-]{0,62}\/[A-Za-z0-9][A-Za-z0-9._-]{0,62}/,
    "a name of the form name/stack",
  )
    .prefault("unnamed/default")
    .register(variableFacts, {
      description: "Name of the stack, part of what the attestation document binds.",
      example: "hello/prod",
    }),
  POLARIS_PROXY_ENCRYPT_REQUESTS: choice(ENCRYPTION_MODES)
    .prefault("required")
    .register(variableFacts, {
      description:
        "Whether requests are sealed: required refuses clear ones, off refuses sealed ones, optional takes both.",
      example: "optional",
      originals: [{ name: "POLARIS_CONTAINER_ENABLE_INPUT_ENCRYPTION", values: ORIGINAL_SWITCH }],
    }),
  POLARIS_PROXY_ENCRYPT_RESPONSES: choice(ENCRYPTION_MODES)
    .prefault("required")
    .register(variableFacts, {
      description:
        "Whether responses are sealed to the key in the request: required refuses requests without a key, off those with one.",
      example: "optional",
      originals: [{ name: "POLARIS_CONTAINER_ENABLE_OUTPUT_ENCRYPTION", values: ORIGINAL_SWITCH }],
    }),
  POLARIS_PROXY_URL_HEADER: fieldName()
    .prefault(URL_HEADER)
    .register(variableFacts, {
      description: "Name of the header with the sealed URL.",
      example: "x-url",
      originals: [{ name: "POLARIS_CONTAINER_URL_HEADER_KEY" }],
    }),
  POLARIS_PROXY_SECURE_HEADER: fieldName()
    .prefault(SECURE_HEADER)
    .register(variableFacts, {
      description: "Name of the header with the sealed headers.",
      example: "x-secure",
      originals: [{ name: "POLARIS_CONTAINER_HEADER_KEY" }],
    }),
  POLARIS_PROXY_RESPONSE_KEY_HEADER: fieldName().prefault(RESPONSE_KEY_HEADER).register(variableFacts, {
    description: "Name of the header with the public key for the response.",
    example: "x-response-key",
  }),
  POLARIS_PROXY_LOG_LEVEL: choice(LOG_LEVELS)
    .prefault("info")
    .register(variableFacts, {
      description: "What is logged: one info line a request, warn for faults of clients, error for ours.",
      example: "warn",
      originals: [
        { name: "POLARIS_CONTAINER_LOG_LEVEL" },
        { name: "POLARIS_CONTAINER_ENABLE_LOGGING", values: { true: null, false: "silent" } },
      ],
    }),
  POLARIS_PROXY_CORS_ORIGINS: webOrigins()
    .prefault("")
    .register(variableFacts, {
      description:
        "Origins of web pages that may use the endpoint (CORS); the proxy then answers their preflight requests itself. Empty: no CORS, such requests are the workload's.",
      example: "https://app.example,https://admin.example",
      originals: [{ name: "POLARIS_CONTAINER_ENABLE_CORS", values: { true: "*", false: null } }],
    }),
  POLARIS_PROXY_TLS: choice(TLS_MODES).prefault("off").register(variableFacts, {
    description:
      "TLS of the endpoint: attested makes key and certificate at each start and binds the key in the attestation document, files reads them.",
    example: "attested",
  }),
  POLARIS_PROXY_TLS_CERTIFICATE: matching(absolutePath, "an absolute path")
    .optional()
    .register(variableFacts, {
      description: "File with the certificate and its chain in PEM; goes with TLS from files.",
      example: "/run/secrets/tls.crt",
    }),
  POLARIS_PROXY_TLS_KEY: matching(absolutePath, "an absolute path").optional().register(variableFacts, {
    description: "File with the certificate's private key in PEM; goes with TLS from files.",
    example: "/run/secrets/tls.key",
  }),
  POLARIS_PROXY_MAX_HEADER_BYTES: integer(16 * KIBIBYTE, 1024 * KIBIBYTE)
    .prefault(String(64 * KIBIBYTE))
    .register(variableFacts, {
      description:
        "Longest header of a request, in bytes; a longer one gets status 431. A minimal sealed request has 9.5 KB.",
      example: "131072",
    }),
  POLARIS_PROXY_MAX_BODY_BYTES: integer(1, 256 * MEBIBYTE)
    .prefault(String(32 * MEBIBYTE))
    .register(variableFacts, {
      description:
        "Longest body that is sealed, in either direction and as sent, in bytes: it has to be held in memory whole. A longer request gets status 413. Bodies in the clear stream through, without a limit.",
      example: "1048576",
    }),
  POLARIS_PROXY_MAX_BUFFERED_BYTES: integer(MEBIBYTE, 64 * 1024 * MEBIBYTE)
    .prefault(String(256 * MEBIBYTE))
    .register(variableFacts, {
      description:
        "All sealed bodies that are held at the same time, in bytes; one too many gets status 503.",
      example: "1073741824",
    }),
  POLARIS_PROXY_MAX_CONNECTIONS: integer(1, 1_000_000).prefault("4096").register(variableFacts, {
    description: "Connections of clients at the same time; one too many gets status 503.",
    example: "20000",
  }),
  POLARIS_PROXY_MAX_REQUESTS: integer(1, 1_000_000).prefault("1024").register(variableFacts, {
    description: "Requests at the same time; one too many gets status 503.",
    example: "4096",
  }),
  POLARIS_PROXY_MAX_QUEUED_UNWRAPS: integer(6, 100_000).prefault("256").register(variableFacts, {
    description:
      "Private key operations that may wait for their turn, of which a sealed request needs 4 to 6; one too many gets status 503.",
    example: "512",
  }),
  POLARIS_PROXY_HEADERS_TIMEOUT_MS: integer(100, 600_000).prefault("10000").register(variableFacts, {
    description: "Longest time for the header of a request, in milliseconds; then status 408.",
    example: "5000",
  }),
  POLARIS_PROXY_BODY_TIMEOUT_MS: integer(100, 3_600_000).prefault("120000").register(variableFacts, {
    description: "Longest time for the whole body of a sealed request, in milliseconds; then status 408.",
    example: "30000",
  }),
  POLARIS_PROXY_IDLE_TIMEOUT_MS: integer(100, 3_600_000).prefault("60000").register(variableFacts, {
    description:
      "Longest pause of a client, between two pieces of its body (then status 408) or of the answer that it reads, in milliseconds.",
    example: "300000",
  }),
  POLARIS_PROXY_SHUTDOWN_TIMEOUT_MS: integer(0, 600_000).prefault("10000").register(variableFacts, {
    description: "Longest time for requests in flight after the proxy was told to stop, in milliseconds.",
    example: "30000",
  }),
  POLARIS_PROXY_METRICS_PORT: integer(0, 65535).optional().register(variableFacts, {
    description:
      "Port on 127.0.0.1 for metrics in the format of Prometheus, at /metrics; 0 takes any free one. Without it there are none.",
    example: "9464",
  }),
  POLARIS_PROXY_TOKEN_AGENT_SOCKET: socketPath().optional().register(variableFacts, {
    description: "Unix socket of the token agent; without it there is no attestation document.",
    example: "/run/polaris/token-agent.sock",
  }),
  POLARIS_PROXY_WORKLOAD_KEY_API_SOCKET: socketPath().optional().register(variableFacts, {
    description:
      "Unix socket at which the workload, and nobody else, has the keys of sealed data unwrapped; without it there is none. Needs a permanent key.",
    example: "/run/polaris/key-api/key-api.sock",
  }),
  POLARIS_PROXY_WORKLOAD_KEY_API_ACCESS: choice(KEY_API_ACCESSES).prefault("owner").register(variableFacts, {
    description:
      "Who may open that socket: owner is the proxy's own user alone. mounted is every user of whatever has the socket's folder, for a workload in another container: the folder must be a mount, with nothing else in it.",
    example: "mounted",
  }),
  POLARIS_PROXY_KEY: choice(["ephemeral", "google-federated"])
    .prefault("ephemeral")
    .register(variableFacts, {
      description:
        "The key that requests are sealed to: ephemeral is born at each start, google-federated stays in Cloud KMS.",
      example: "google-federated",
      originals: [{ name: "POLARIS_CONTAINER_KEY_TYPE" }],
    }),
};

/** Variables of a proxy whose key is in Cloud KMS. */
const googleVariables = {
  POLARIS_PROXY_GOOGLE_PROJECT: matching(/[a-z0-9][a-z0-9.:-]{0,62}/, "a project id").register(
    variableFacts,
    {
      description: "Project of the key.",
      example: "my-keys",
      originals: [{ name: "POLARIS_CONTAINER_GOOGLE_FEDERATED_KEY_PROJECT_ID" }],
    },
  ),
  POLARIS_PROXY_GOOGLE_LOCATION: matching(/[a-z0-9-]{1,63}/, "a location").register(variableFacts, {
    description: "Location of the key ring.",
    example: "europe-west4",
    originals: [{ name: "POLARIS_CONTAINER_GOOGLE_FEDERATED_KEY_LOCATION" }],
  }),
  POLARIS_PROXY_GOOGLE_KEY_RING: matching(googleName, "the id of a key ring").register(variableFacts, {
    description: "Key ring.",
    example: "hello-ring-x7k2",
    originals: [{ name: "POLARIS_CONTAINER_GOOGLE_FEDERATED_KEY_RING_ID" }],
  }),
  POLARIS_PROXY_GOOGLE_KEY: matching(googleName, "the id of a key").register(variableFacts, {
    description: "Key.",
    example: "hello-key-x7k2",
    originals: [{ name: "POLARIS_CONTAINER_GOOGLE_FEDERATED_KEY_ID" }],
  }),
  POLARIS_PROXY_GOOGLE_KEY_VERSION: integer(1, 1_000_000).prefault("1").register(variableFacts, {
    description: "Version of the key that clients are told to seal to.",
    example: "2",
  }),
  POLARIS_PROXY_GOOGLE_OLDER_KEY_VERSIONS: integers(1, 1_000_000, MAX_OLDER_KEY_VERSIONS)
    .prefault("")
    .register(variableFacts, {
      description:
        "Versions that messages may still be sealed to after a rotation, as long as they are enabled at the key service.",
      example: "1",
    }),
  POLARIS_PROXY_GOOGLE_AUDIENCE: matching(
    /\/\/iam\.googleapis\.com\/projects\/[a-z0-9-]{1,63}\/locations\/global\/workloadIdentityPools\/[a-z0-9-]{1,63}\/providers\/[a-z0-9-]{1,63}/,
    "the full name of a workload identity provider (//iam.googleapis.com/projects/…/providers/…)",
  ).register(variableFacts, {
    description: "Workload identity provider that the machine's token is exchanged at.",
    example:
      "//iam.googleapis.com/projects/1234567890/locations/global/workloadIdentityPools/hello-x7k2/providers/attested",
    originals: [{ name: "POLARIS_CONTAINER_GOOGLE_FEDERATED_KEY_AUDIENCE" }],
  }),
  POLARIS_PROXY_GOOGLE_SERVICE_ACCOUNT: matching(
    /[a-z0-9-]{1,63}@[a-z0-9.-]{1,190}/,
    "the e-mail address of a service account",
  )
    .optional()
    .register(variableFacts, {
      description: "Service account to act as; without it the attested principal itself uses the key.",
      example: "key-user@my-keys.iam.gserviceaccount.com",
      originals: [
        { name: "POLARIS_CONTAINER_GOOGLE_FEDERATED_KEY__SERVICE_ACCOUNT" },
        { name: "POLARIS_CONTAINER_GOOGLE_FEDERATED_KEY_SERVICE_ACCOUNT" },
      ],
    }),
  POLARIS_PROXY_GOOGLE_TOKEN_FILE: matching(absolutePath, "an absolute path")
    .prefault(DEFAULT_TOKEN_FILE)
    .register(variableFacts, {
      description: "File with the machine's attestation token for the provider; read anew at each exchange.",
      example: "/run/polaris/sts-token",
    }),
  POLARIS_PROXY_GOOGLE_STS_URL: serviceOrigin()
    .prefault("https://sts.googleapis.com")
    .register(variableFacts, {
      description: "Origin of the security token service.",
      example: "http://127.0.0.1:7100",
    }),
  POLARIS_PROXY_GOOGLE_KMS_URL: serviceOrigin()
    .prefault("https://cloudkms.googleapis.com")
    .register(variableFacts, { description: "Origin of the key service.", example: "http://127.0.0.1:7100" }),
  POLARIS_PROXY_GOOGLE_IAM_CREDENTIALS_URL: serviceOrigin()
    .prefault("https://iamcredentials.googleapis.com")
    .register(variableFacts, {
      description: "Origin of the service that gives tokens of service accounts.",
      example: "http://127.0.0.1:7100",
    }),
  POLARIS_PROXY_GOOGLE_LOCAL_SERVICES_SOCKET: socketPath().optional().register(variableFacts, {
    description:
      "Simulation only: Unix socket at which local trust services answer for the three origins above, for a proxy in a container. All three must be http to this machine.",
    example: "/run/polaris-local/services/trust.sock",
  }),
};

export const ephemeralEnvironmentSchema = z.strictObject(commonVariables);
export const googleEnvironmentSchema = z.strictObject({ ...commonVariables, ...googleVariables });

/** One variable as the documentation shows it. */
export interface ProxyVariable extends VariableFacts {
  readonly name: string;
  /** What a valid value is, as it reads after "must be". */
  readonly expected: string;
  readonly default: string | undefined;
  /** The only key kind that the variable goes with, or `undefined` for all. */
  readonly keyKind: "google-federated" | undefined;
  readonly required: boolean;
}

/** All variables in the order of the documentation. */
export const PROXY_VARIABLES: readonly ProxyVariable[] = Object.entries(googleEnvironmentSchema.shape).map(
  ([name, schema]) => {
    const facts = variableFacts.get(schema);
    const codec = schema instanceof z.ZodCodec ? schema : schema.def.innerType;
    const expected = expectedTexts.get(codec)?.expected;
    if (facts === undefined || expected === undefined) throw new TypeError(`${name} is not described`);
    return {
      ...facts,
      name,
      expected,
      default: schema instanceof z.ZodPrefault ? schema.def.defaultValue : undefined,
      keyKind: name in googleVariables ? "google-federated" : undefined,
      required: schema instanceof z.ZodCodec,
    };
  },
);
