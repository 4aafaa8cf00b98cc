import { createPublicKey } from "node:crypto";
import { open, readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { DataKeyUnwrap, RecipientKey } from "@polaris-cvm/sdk";
import { isPolarisError, PolarisError } from "@polaris-cvm/sdk/errors";
import type { LocatedStack } from "@polaris-cvm/stacks/project.ts";
import { unreadable } from "./data-streams.ts";
import type { CommandContext } from "./run-command.ts";
import { verificationError } from "./verification-report.ts";

/** A stack whose key data is sealed to or opened with. */
interface StackChoice {
  readonly stack?: string;
  readonly config?: string;
  readonly lock?: string;
  readonly allowSimulated?: boolean;
}

/** A key that data is opened with. */
export interface OpeningKey {
  readonly unwrap: DataKeyUnwrap;
  /** `sha256:<64 lowercase hex>`; absent where only its keeper knows. */
  readonly keyId?: string;
}

/** The key that a person handed out: SPKI in PEM. */
export async function loadRecipient(file: string): Promise<RecipientKey> {
  const { importPublicKey } = await import("@polaris-cvm/sdk");
  const path = resolve(file);
  const pem = await readFile(path, "utf8").catch((cause: unknown) => {
    throw unreadable(path, cause);
  });
  return await importPublicKey(pem).catch((error: unknown) => {
    throw ofFile(
      path,
      error,
      "expected a PEM block of type PUBLIC KEY, as of: openssl pkey -in alice.key -pubout",
    );
  });
}

/** An error about a key, with the file that it came from. Messages about keys quote nothing of them. */
function ofFile(path: string, error: unknown, hint: string): unknown {
  if (!isPolarisError(error)) return error;
  return new PolarisError(error.code, `${path}: ${error.message}`, { hint, cause: error });
}

/**
 * The permanent key of a stack, after its endpoint has shown with fresh evidence that it is the one of polaris.lock.
 *
 * @throws {PolarisError} STACK_NOT_FOUND, KEY_NOT_PERMANENT, EXPECTATIONS_MISSING, VERIFICATION_FAILED and whatever keeps the endpoint from
 *   showing its evidence
 */
export async function verifyStackRecipient(
  context: CommandContext,
  choice: StackChoice,
): Promise<{ readonly recipient: RecipientKey; readonly location: LocatedStack }> {
  const { locateStack, loadExpectationLock, requireStack } = await import("@polaris-cvm/stacks/project.ts");
  const { loadTarget } = await import("@polaris-cvm/stacks/targets.ts");
  const { isKnownToBeSimulated, requireExpectations, verifyStack } =
    await import("@polaris-cvm/stacks/verify.ts");
  const location = await locateStack(context.cwd, choice);
  const lockFile = await loadExpectationLock(location, choice.lock);
  if (choice.lock === undefined && lockFile.deployed[location.stack] === undefined) {
    await requireStack(context.cwd, choice, loadTarget);
  }
  const { deployed } = requireExpectations(lockFile, location.stack);
  if (deployed.publicKeyFingerprint === null) {
    throw new PolarisError(
      "KEY_NOT_PERMANENT",
      `the key of stack "${location.stack}" is ephemeral: data sealed to it is lost at the next start of its proxy`,
      { hint: "use a stack with key.kind: hsm, or --public-key for data that a person is to open" },
    );
  }
  const report = await verifyStack({
    lockFile,
    stack: location.stack,
    acceptSimulated:
      choice.allowSimulated === true || isKnownToBeSimulated(lockFile, location.stack, [choice.lock]),
    signal: context.signal,
  });
  if (report.publicKey === undefined) throw verificationError(report);
  return { recipient: report.publicKey, location };
}

/** The private key of a person: PKCS #8 in PEM, in a file that nobody else can read. */
export async function loadPrivateKey(file: string): Promise<OpeningKey> {
  const { hashPublicKey, importDataPrivateKey } = await import("@polaris-cvm/sdk");
  const path = resolve(file);
  const pem = await readPrivateFile(path);
  const unwrap = await importDataPrivateKey(pem).catch((error: unknown) => {
    throw ofFile(
      path,
      error,
      "expected an RSA key in a PEM block of type PRIVATE KEY; others become one by: openssl pkcs8 -topk8 -nocrypt",
    );
  });
  const spki = createPublicKey(pem).export({ type: "spki", format: "der" });
  return { unwrap, keyId: await hashPublicKey(new Uint8Array(spki)) };
}

async function readPrivateFile(path: string): Promise<string> {
  const handle = await open(path).catch((cause: unknown) => {
    throw unreadable(path, cause);
  });
  try {
    const mode = (await handle.stat()).mode & 0o777;
    if ((mode & 0o077) !== 0) {
      throw new PolarisError(
        "USAGE_INVALID",
        `${path} is open to others (mode ${mode.toString(8)}), expected a private key of yours alone`,
        { hint: `chmod 600 ${path}` },
      );
    }
    return await handle.readFile("utf8");
  } finally {
    await handle.close();
  }
}

/** The key API of a proxy, at a socket of this machine, until the signal. */
export async function connectKeyApi(socketPath: string, signal: AbortSignal): Promise<OpeningKey> {
  const { createDataKeyUnwrap } = await import("@polaris-cvm/sdk/node");
  const unwrap = createDataKeyUnwrap({ socketPath });
  return { unwrap: async (request) => await unwrap({ ...request, signal }) };
}

/** True if a stack of this machine has a key API now. */
export async function hasKeyApi(location: LocatedStack): Promise<boolean> {
  const { loadTarget } = await import("@polaris-cvm/stacks/targets.ts");
  const target = await loadTarget(location.target);
  return (await target.findKeyApi(location)) !== undefined;
}

/**
 * The key API of a stack of this machine.
 *
 * @throws {PolarisError} DATA_KEY_UNAVAILABLE if it has none, STACK_NOT_FOUND if there is no such stack
 */
export async function connectStackKeyApi(
  context: CommandContext,
  choice: StackChoice,
): Promise<{ readonly key: OpeningKey; readonly location: LocatedStack }> {
  const { locateStack, requireStack } = await import("@polaris-cvm/stacks/project.ts");
  const { loadTarget } = await import("@polaris-cvm/stacks/targets.ts");
  const location = await locateStack(context.cwd, choice);
  const target = await loadTarget(location.target);
  const socketPath = await target.findKeyApi(location);
  if (socketPath === undefined) {
    await requireStack(context.cwd, choice, loadTarget);
    throw new PolarisError(
      "DATA_KEY_UNAVAILABLE",
      `nothing on this machine opens what is sealed to the key of stack "${location.stack}"`,
      {
        hint: "on a cloud only the attested workload opens it; a local stack does with proxy.workloadKeyApi: true, once it is deployed; for a key of your own use --private-key",
      },
    );
  }
  return { key: await connectKeyApi(socketPath, context.signal), location };
}
