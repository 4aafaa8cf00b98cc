import { PolarisError } from "@polaris-cvm/sdk/errors";
import * as z from "zod";
import { parseImageReference } from "../image-reference.ts";
import type { BootInputs } from "./boot-inputs.ts";

/** What arguments, variables and UTF-8 can carry: no NUL, no half of a surrogate pair. */
const text = z.string().refine((value) => !value.includes("\0") && value.isWellFormed(), {
  error: "expected text without NUL characters and lone surrogates",
});

/** The longest argument of Linux (`MAX_ARG_STRLEN`), which a variable with its name is one of, has 128 KiB with its NUL. */
const MAX_ARGUMENT_BYTES = 128 * 1024 - 1;
const argument = text.refine((value) => Buffer.byteLength(value) < MAX_ARGUMENT_BYTES, {
  error: `expected fewer than ${MAX_ARGUMENT_BYTES} bytes`,
});

const variableName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]{0,255}$/, { error: "expected the name of a variable" });

const environment = z.record(variableName, argument).check((context) => {
  for (const [name, value] of Object.entries(context.value)) {
    if (Buffer.byteLength(`${name}=${value}`) < MAX_ARGUMENT_BYTES) continue;
    context.issues.push({
      code: "custom",
      input: name,
      path: [name],
      message: `expected fewer than ${MAX_ARGUMENT_BYTES} bytes with its name`,
    });
  }
});

const imageByDigest = z.string().refine(hasDigest, { error: "expected an image with its digest" });

function hasDigest(image: string): boolean {
  try {
    return parseImageReference(image).digest !== undefined;
  } catch {
    return false;
  }
}

const port = z.int().min(1).max(65_535);

/** Printable ASCII, so that nothing of it can be mistaken for something else. */
const webAddress = z
  .string()
  .regex(/^https?:\/\/[!-~]{1,2000}$/, { error: "expected an http or https URL" })
  .refine((value) => URL.canParse(value), { error: "expected an http or https URL" });

/** Where tokens are sent: they never travel over a network in clear. */
const origin = webAddress.refine(
  (value) =>
    URL.canParse(value) &&
    new URL(value).origin === value &&
    /^(https:|http:\/\/(127(\.\d+){3}|localhost|\[::1\])(:|$))/.test(value),
  { error: "expected an origin of https (http only for 127.0.0.1, [::1] or localhost), without a path" },
);

/** Variables that Docker's client takes for itself: the values of secrets are in its environment. */
const CLIENT_VARIABLES = /^(DOCKER_|XDG_|LD_|GO|PATH$|HOME$|TMPDIR$|[a-zA-Z_]*_(proxy|PROXY)$|POLARIS_)/;

const schema = z
  .strictObject({
    proxy: z.strictObject({
      image: imageByDigest,
      environment,
      port,
      containerPort: port,
      tls: z.boolean(),
    }),
    workload: z.strictObject({
      image: imageByDigest,
      command: z.array(argument).min(1),
      environment,
      keyApi: z.boolean(),
    }),
    registryHosts: z
      .array(z.string().regex(/^[a-z0-9][a-z0-9.-]{0,252}$/, { error: "expected a host" }))
      .max(20),
    tokenTool: z.strictObject({
      url: webAddress,
      sha256Hex: z.string().regex(/^[0-9a-f]{64}$/, { error: "expected 64 lower-case hex digits" }),
    }),
    verifierUrl: origin,
    providerName: z
      .string()
      .regex(
        /^\/\/iam\.googleapis\.com\/projects\/[0-9]{1,20}\/locations\/global\/workloadIdentityPools\/[a-z0-9-]{4,32}\/providers\/[a-z0-9-]{4,32}$/,
        {
          error:
            "expected //iam.googleapis.com/projects/<number>/locations/global/workloadIdentityPools/…/providers/…",
        },
      )
      .nullable(),
    secrets: z
      .array(
        z.strictObject({
          name: variableName.refine((name) => !CLIENT_VARIABLES.test(name), {
            error: "Docker's client takes that variable for itself: give the secret another name",
          }),
          version: z
            .string()
            .regex(/^projects\/[a-z0-9:.-]{1,63}\/secrets\/[A-Za-z0-9_-]{1,255}\/versions\/[0-9]{1,19}$/, {
              error: "expected projects/<project>/secrets/<secret>/versions/<number>",
            }),
        }),
      )
      .max(100),
    stsUrl: origin,
    secretManagerUrl: origin,
    logs: z.enum(["machine", "cloud"]),
  })
  .refine(({ providerName, secrets }) => providerName !== null || secrets.length === 0, {
    error: "secrets are fetched with an identity: they need a workload identity provider",
    path: ["secrets"],
  })
  .refine(({ secrets }) => new Set(secrets.map(({ name }) => name)).size === secrets.length, {
    error: "expected each variable once",
    path: ["secrets"],
  })
  .refine(
    ({ secrets, workload }) => secrets.every(({ name }) => !Object.hasOwn(workload.environment, name)),
    {
      error: "a variable is a secret and is not",
      path: ["secrets"],
    },
  );

/** @throws {PolarisError} CONFIG_INVALID with every problem, no value among them */
export function checkBootInputs(boot: BootInputs): void {
  const { error } = schema.safeParse(boot);
  if (error === undefined) return;
  const problems = error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
  throw new PolarisError("CONFIG_INVALID", `the machine cannot be started so: ${problems.join("; ")}`, {
    details: { problems },
  });
}
