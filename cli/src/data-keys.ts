import { open, readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { DataKeyUnwrap, RecipientKey } from "@polaris-cvm/sdk";
import { PolarisError } from "@polaris-cvm/sdk/errors";
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

/** The key that a person handed out: SPKI in PEM. */
export async function loadRecipient(file: string): Promise<RecipientKey> {
  const { importPublicKey } = await import("@polaris-cvm/sdk");
  const path = resolve(file);
  const pem = await readFile(path, "utf8").catch((cause: unknown) => {
    throw unreadable(path, cause);
  });
  return await importPublicKey(pem);
}

/**
 * The permanent key of a stack, after its endpoint has shown with fresh evidence that it is the one of polaris.lock.
 *
 * @throws {PolarisError} KEY_NOT_PERMANENT, EXPECTATIONS_MISSING, VERIFICATION_FAILED and whatever keeps the endpoint from
 *   showing its evidence
 */
export async function verifyStackRecipient(
  context: CommandContext,
  choice: StackChoice,
): Promise<{ readonly recipient: RecipientKey; readonly location: LocatedStack }> {
  const { locateStack, loadExpectationLock } = await import("@polaris-cvm/stacks/project.ts");
  const { isKnownToBeSimulated, requireExpectations, verifyStack } =
    await import("@polaris-cvm/stacks/verify.ts");
  const location = await locateStack(context.cwd, choice);
  const lockFile = await loadExpectationLock(location, choice.lock);
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
export async function loadPrivateKey(file: string): Promise<DataKeyUnwrap> {
  const { importDataPrivateKey } = await import("@polaris-cvm/sdk");
  return await importDataPrivateKey(await readPrivateFile(resolve(file)));
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
export async function connectKeyApi(socketPath: string, signal: AbortSignal): Promise<DataKeyUnwrap> {
  const { createDataKeyUnwrap } = await import("@polaris-cvm/sdk/node");
  const unwrap = createDataKeyUnwrap({ socketPath });
  return async (request) => await unwrap({ ...request, signal });
}

/**
 * The key API of a stack of this machine.
 *
 * @throws {PolarisError} DATA_KEY_UNAVAILABLE if there is none
 */
export async function connectStackKeyApi(
  context: CommandContext,
  choice: StackChoice,
): Promise<{ readonly unwrap: DataKeyUnwrap; readonly location: LocatedStack }> {
  const { locateStack } = await import("@polaris-cvm/stacks/project.ts");
  const { loadTarget } = await import("@polaris-cvm/stacks/targets.ts");
  const location = await locateStack(context.cwd, choice);
  const target = await loadTarget(location.target);
  const socketPath = await target.findKeyApi(location);
  if (socketPath === undefined) {
    throw new PolarisError(
      "DATA_KEY_UNAVAILABLE",
      `nothing on this machine opens what is sealed to the key of stack "${location.stack}"`,
      {
        hint: "on a cloud only the attested workload opens it; a local stack does with proxy.workloadKeyApi: true, once it is deployed; for a key of your own use --private-key",
      },
    );
  }
  return { unwrap: await connectKeyApi(socketPath, context.signal), location };
}
