import { resolve } from "node:path";
import { Command, Option } from "commander";
import type { DataKeyUnwrap } from "@polaris-cvm/sdk";
import { isPolarisError, PolarisError } from "@polaris-cvm/sdk/errors";
import type { OpeningKey } from "../data-keys.ts";
import type { CommandContext, CommandOutcome, GlobalFlags } from "../run-command.ts";
import { addGlobalFlags, runCommand } from "../run-command.ts";

interface DataFlags extends GlobalFlags {
  readonly output?: string;
  readonly force?: boolean;
  readonly context?: string;
}

interface SealFlags extends DataFlags {
  readonly publicKey?: string;
  readonly lock?: string;
  readonly allowSimulated?: boolean;
}

interface OpenFlags extends DataFlags {
  readonly privateKey?: string;
  readonly keyApi?: string;
}

export function dataCommand(): Command {
  const command = new Command("data").description(
    "seal data to a permanent key, to be kept and opened later",
  );
  command.addCommand(sealCommand());
  command.addCommand(openCommand());
  return command;
}

function sealCommand(): Command {
  return addDataFlags(
    new Command("seal")
      .description("seal a file to a stack's key, after checking whose key it is, or to a person's")
      .argument("<file>", "file to seal (-: standard input)")
      .addOption(
        new Option("--public-key <file>", "seal to the RSA public key in this PEM file instead").conflicts([
          "lock",
          "allowSimulated",
        ]),
      )
      .option("--lock <file>", "polaris.lock with the expectations (default: the project's)")
      .option("--allow-simulated", "accept evidence that no hardware stands behind, for a lock of others")
      .addHelpText(
        "after",
        `
Examples:
  polaris data seal records.csv -o records.csv.sealed
  polaris data seal photos.tar --context photos/2026 -o photos.sealed
  polaris data seal report.pdf --public-key alice.pem -o report.sealed

The workload opens it with the key API of its proxy (docs/data.md).`,
      ),
  ).action((file: string, flags: SealFlags) =>
    runCommand("data seal", flags, (context) => seal(context, flags, file)),
  );
}

function openCommand(): Command {
  return addDataFlags(
    new Command("open")
      .description("open sealed data with a private key, or on the machine of a local stack with the stack's")
      .argument("<file>", "file to open (-: standard input)")
      .addOption(
        new Option("--private-key <file>", "open with the RSA private key in this PEM file").conflicts(
          "keyApi",
        ),
      )
      .option("--key-api <socket>", "open by the key API of a proxy, at this Unix socket")
      .addHelpText(
        "after",
        `
Examples:
  polaris data open report.sealed --private-key alice.key -o report.pdf
  polaris data open photos.sealed --context photos/2026 | tar x

On standard output data comes as it is opened: it is whole only if the exit code is 0. A file is whole or not there.`,
      ),
  ).action((file: string, flags: OpenFlags) =>
    runCommand("data open", flags, (context) => open(context, flags, file)),
  );
}

function addDataFlags(command: Command): Command {
  return addGlobalFlags(
    command
      .option("-o, --output <file>", "write to a file (-: standard output)")
      .option("--force", "replace the file if it is there")
      .option("--context <text>", "what the data is for: it opens with the same text only"),
  );
}

/** Sealed data is nobody's secret; opened data is the user's alone. */
const SEALED_MODE = 0o666;
const OPENED_MODE = 0o600;

async function seal(context: CommandContext, flags: SealFlags, file: string): Promise<CommandOutcome> {
  const { sealData } = await import("@polaris-cvm/sdk");
  const { countBytes, formatBytes, planOutput, readInput, writeOutput } = await import("../data-streams.ts");
  const { hasKeyApi, loadRecipient, verifyStackRecipient } = await import("../data-keys.ts");

  const output = await planOutput(flags);
  const { recipient, location } =
    flags.publicKey === undefined
      ? await verifyStackRecipient(context, flags)
      : { recipient: await loadRecipient(flags.publicKey), location: undefined };
  if (location !== undefined && flags.lock === undefined && !(await hasKeyApi(location))) {
    context.warn(
      "no-key-api",
      `nothing can open it until stack "${location.stack}" is deployed with proxy.workloadKeyApi: true`,
    );
  }
  const read = countBytes(context, "sealed");
  const plaintext = ReadableStream.from(read.through(readInput(file, context.signal)));
  await writeOutput(output, sealData(plaintext, recipient, pickContext(flags)), SEALED_MODE, context.signal);
  context.note(`${formatBytes(read.total())} sealed to ${recipient.keyId}`);
  return {
    ...(location === undefined ? {} : { stack: location.stack, target: location.target }),
    data: {
      output: output.kind === "file" ? output.path : null,
      plaintextBytes: read.total(),
      keyId: recipient.keyId,
    },
  };
}

async function open(context: CommandContext, flags: OpenFlags, file: string): Promise<CommandOutcome> {
  const { openData } = await import("@polaris-cvm/sdk");
  const { countBytes, formatBytes, planOutput, readInput, writeOutput } = await import("../data-streams.ts");
  const { connectKeyApi, connectStackKeyApi, loadPrivateKey } = await import("../data-keys.ts");

  const output = await planOutput(flags);
  const { key, location } =
    flags.privateKey !== undefined
      ? { key: await loadPrivateKey(flags.privateKey), location: undefined }
      : flags.keyApi !== undefined
        ? { key: await connectKeyApi(resolve(flags.keyApi), context.signal), location: undefined }
        : await connectStackKeyApi(context, flags);
  let sealedTo: string | undefined;
  const unwrap: DataKeyUnwrap = async (request) => {
    sealedTo = request.keyId;
    return await key.unwrap(request);
  };
  const sealed = ReadableStream.from(readInput(file, context.signal));
  const opened = countBytes(context, "opened");
  const plaintext = opened.through(openData(sealed, unwrap, pickContext(flags)));
  await writeOutput(output, plaintext, OPENED_MODE, context.signal).catch((error: unknown) => {
    throw withHint(error, key, sealedTo);
  });
  context.note(`${formatBytes(opened.total())} opened`);
  return {
    ...(location === undefined ? {} : { stack: location.stack, target: location.target }),
    data: { output: output.kind === "file" ? output.path : null, plaintextBytes: opened.total() },
  };
}

/**
 * What a person can do about data that does not open; for a program the code says enough. The key id in the header is no
 * secret: everybody who has the data can read it.
 */
function withHint(error: unknown, key: OpeningKey, sealedTo: string | undefined): unknown {
  if (!isPolarisError(error) || error.hint !== undefined) return error;
  if (error.code === "DATA_MALFORMED") {
    const hint = "only what polaris data seal or the SDK has sealed can be opened";
    return new PolarisError(error.code, error.message, { hint, cause: error });
  }
  if (error.code !== "DATA_OPEN_FAILED") return error;
  const isOtherKey = sealedTo !== undefined && key.keyId !== undefined && key.keyId !== sealedTo;
  const hint = isOtherKey
    ? `it is sealed to ${sealedTo}, this key is ${key.keyId}`
    : "another key, another --context, or bytes that were changed or cut off";
  return new PolarisError(error.code, error.message, { hint, cause: error });
}

function pickContext({ context }: DataFlags): { context?: string } {
  return context === undefined ? {} : { context };
}
