import { Command, InvalidArgumentError, Option } from "commander";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import type { CommandContext, CommandOutcome, GlobalFlags } from "../run-command.ts";
import { addGlobalFlags, runCommand } from "../run-command.ts";

interface RequestFlags extends GlobalFlags {
  readonly header: readonly (readonly [string, string])[];
  readonly data?: string;
  readonly output?: string;
  readonly include?: boolean;
  readonly lock?: string;
  readonly allowSimulated?: boolean;
  readonly insecureNoVerify?: boolean;
  readonly fail?: boolean;
}

export function requestCommand(): Command {
  return addGlobalFlags(
    new Command("request")
      .description("send one encrypted request, after checking whose key it is sealed to")
      .argument("<method>", "GET, POST, …", parseMethod)
      .argument("<path>", "path on the stack's endpoint, or a whole URL")
      .option("-H, --header <name: value>", "a header; may be given more than once", collectHeader, [])
      .option("-d, --data <text>", "request body; @file reads a file, @- standard input")
      .option("-o, --output <file>", "write the response body to a file")
      .option("-i, --include", "show status and headers before the body")
      .option("-f, --fail", "exit with 1 if the status is 400 or higher")
      .option("--lock <file>", "polaris.lock with the expectations (default: the project's)")
      .option("--allow-simulated", "accept evidence that no hardware stands behind, for a whole URL")
      .addOption(new Option("--insecure-no-verify", "send to a key that nobody vouches for: INSECURE"))
      .addHelpText(
        "after",
        `
Examples:
  polaris request GET /hello
  polaris request POST /echo --data @file -H "content-type: application/json" -o answer.json`,
      ),
  ).action((method: string, path: string, flags: RequestFlags) =>
    runCommand("request", flags, (context) => request(context, flags, method, path)),
  );
}

async function request(
  context: CommandContext,
  flags: RequestFlags,
  method: string,
  path: string,
): Promise<CommandOutcome> {
  const { locateStack, loadExpectationLock } = await import("@polaris-cvm/stacks/project.ts");
  const { createStackClient } = await import("@polaris-cvm/stacks/stack-client.ts");
  const { readRequestBody, writeResponseBody } = await import("../request-body.ts");
  const { printResult, printResultBytes } = await import("../print.ts");

  const location = await locateStack(context.cwd, flags);
  const isUrl = /^https?:\/\//i.test(path);
  if (!isUrl && !path.startsWith("/")) {
    throw new PolarisError("USAGE_INVALID", `"${path}" is no path`, {
      hint: `start it with a slash: /${path}`,
    });
  }
  const body = await readRequestBody(flags.data);
  if (flags.insecureNoVerify === true)
    context.warn("insecure", "INSECURE: the key was not verified (--insecure-no-verify)");
  const client = createStackClient({
    lockFile: await loadExpectationLock(location, flags.lock),
    stack: location.stack,
    ...(isUrl ? { url: new URL(path).origin } : {}),
    acceptSimulated: flags.allowSimulated === true || (!isUrl && location.target === "local"),
    insecureSkipVerification: flags.insecureNoVerify === true,
  });
  const response = await client.fetch(isUrl ? path : `${client.endpoint}${path}`, {
    method,
    headers: flags.header.map(([name, value]) => [name, value]),
    signal: context.signal,
    ...(body === undefined ? {} : { body }),
  });
  const bytes = new Uint8Array(await response.arrayBuffer());
  const headers = [...response.headers];
  const machine = flags.json === true || flags.jsonStream === true;
  if (!machine) {
    if (flags.include === true) {
      printResult(
        [
          `HTTP ${response.status} ${response.statusText}`.trimEnd(),
          ...headers.map(([n, v]) => `${n}: ${v}`),
          "",
          "",
        ].join("\n"),
      );
    }
    if (flags.output === undefined) printResultBytes(bytes);
  }
  if (flags.output !== undefined) {
    await writeResponseBody(flags.output, bytes);
    context.note(`${bytes.length} bytes written to ${flags.output}`);
  }
  const refusal = response.headers.get("polaris-error");
  return {
    stack: location.stack,
    target: location.target,
    data: { status: response.status, headers, bodyBase64: Buffer.from(bytes).toString("base64") },
    ...(refusal !== null
      ? {
          error: new PolarisError(
            "ENDPOINT_UNREACHABLE",
            `the proxy refused the request: ${response.status} ${refusal}`,
          ),
        }
      : flags.fail === true && response.status >= 400
        ? { error: new PolarisError("ENDPOINT_UNREACHABLE", `the workload answered ${response.status}`) }
        : {}),
  };
}

function parseMethod(text: string): string {
  if (!/^[A-Za-z]{1,20}$/.test(text)) throw new InvalidArgumentError("an HTTP method: GET, POST, …");
  return text.toUpperCase();
}

function collectHeader(
  text: string,
  earlier: readonly (readonly [string, string])[],
): (readonly [string, string])[] {
  const colon = text.indexOf(":");
  if (colon <= 0) throw new InvalidArgumentError('a header like "name: value".');
  return [...earlier, [text.slice(0, colon).trim(), text.slice(colon + 1).trim()]];
}
