import { dirname } from "node:path";
import type { Backend } from "./backend.ts";
import type { Engine } from "./find-engine.ts";
import type { SecretsProvider } from "./secrets-provider.ts";

/** Whose credentials a run of the engine needs: those of the resources; state and secrets add their own. */
export type Cloud = "google" | "azure" | "aws";

export interface EngineEnvironmentInput {
  /** The user's environment; only what is named below goes through. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly engine: Engine;
  readonly pulumiHome: string;
  readonly backend: Backend;
  readonly secrets: SecretsProvider;
  readonly clouds: readonly Cloud[];
}

/** What every program needs to find others, to know the user, and to get out of a network. */
const ALWAYS =
  /^(PATH|HOME|USER|LOGNAME|LANG|LC_ALL|TZ|TMPDIR|(HTTP|HTTPS|NO|http|https|no)_(PROXY|proxy)|SSL_CERT_(FILE|DIR))$/;

/** Providers that run already; and who one is to GitHub, which lets strangers download little. */
const OF_PLUGINS = /^(PULUMI_DEBUG_PROVIDERS|GITHUB_TOKEN)$/;

const CLOUD_VARIABLES: Readonly<Record<Cloud, RegExp>> = {
  google: /^(GOOGLE|CLOUDSDK|GCLOUD|GCE_METADATA)_/,
  azure: /^(AZURE|ARM)_/,
  aws: /^AWS_/,
};

const CLOUD_OF_BACKEND: Readonly<Partial<Record<Backend["kind"], Cloud>>> = {
  gs: "google",
  azblob: "azure",
  s3: "aws",
};

const CLOUD_OF_SECRETS: Readonly<Partial<Record<SecretsProvider["kind"], Cloud>>> = {
  gcpkms: "google",
  azurekeyvault: "azure",
  awskms: "aws",
};

/** The whole environment of the engine and of its providers: of the user's, what they need and not a variable more. */
export function engineEnvironment(input: EngineEnvironmentInput): Record<string, string> {
  const { environment, engine, pulumiHome, backend, secrets } = input;
  const clouds = new Set<Cloud | undefined>([
    ...input.clouds,
    CLOUD_OF_BACKEND[backend.kind],
    CLOUD_OF_SECRETS[secrets.kind],
  ]);
  const allowed = [...clouds].flatMap((cloud) => (cloud === undefined ? [] : [CLOUD_VARIABLES[cloud]]));
  const isAllowed = (name: string): boolean =>
    ALWAYS.test(name) ||
    OF_PLUGINS.test(name) ||
    (name === "PULUMI_ACCESS_TOKEN" && backend.kind === "pulumi-cloud") ||
    allowed.some((pattern) => pattern.test(name));
  const inherited = Object.entries(environment).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && isAllowed(entry[0]),
  );
  return {
    ...Object.fromEntries(inherited),
    // Beside the program lie the parts of it that it starts.
    PATH: [dirname(engine.path), environment["PATH"]].filter(Boolean).join(":"),
    PULUMI_HOME: pulumiHome,
    PULUMI_BACKEND_URL: backend.url,
    ...(secrets.kind === "passphrase" && { PULUMI_CONFIG_PASSPHRASE_FILE: secrets.file }),
    // On a second machine there is no file of the stack's settings: the state itself says what encrypts it.
    PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER: "true",
    PULUMI_AUTOMATION_API: "true",
    PULUMI_SKIP_UPDATE_CHECK: "true",
    // Providers are installed before, in the version that the program was written for; others must not come in by themselves.
    PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
  };
}
