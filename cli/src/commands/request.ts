import { Command, InvalidArgumentError, Option } from "commander";
import { ERROR_CODES, isPolarisError, PolarisError } from "@polaris-cvm/sdk/errors";
import type { ErrorCode } from "@polaris-cvm/sdk/errors";
import { ERROR_HEADER, PROBLEM_MEDIA_TYPE } from "@polaris-cvm/sdk/headers";
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
      .option("-o, --output <file>", "write the response body to a file (-: standard output)")
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
  polaris request POST /echo --data @file -H "content-type: application/json" -o answer.json
  polaris request GET http://127.0.0.1:3000/ --insecure-no-verify     a proxy that runs alone`,
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
  const { locateStack, loadExpectationLock, loadLock } = await import("@polaris-cvm/stacks/project.ts");
  const { parseEndpoint } = await import("@polaris-cvm/sdk");
  const { isKnownToBeSimulated, requireExpectations } = await import("@polaris-cvm/stacks/verify.ts");
  const { createStackClient, createUnverifiedClient } = await import("@polaris-cvm/stacks/stack-client.ts");
  const { readRequestBody, writeResponseBody } = await import("../request-body.ts");
  const { escapeControls, printNote, printResult, printResultBytes, printWarning } =
    await import("../print.ts");

  const location = await locateStack(context.cwd, flags);
  const isUrl = /^https?:\/\//i.test(path);
  if (!isUrl && !path.startsWith("/")) {
    throw new PolarisError("USAGE_INVALID", `"${path}" is neither a path nor an http URL`, {
      hint: path.includes("://") ? "endpoints have http or https URLs" : `start it with a slash: /${path}`,
    });
  }
  if (flags.data !== undefined && (method === "GET" || method === "HEAD")) {
    throw new PolarisError("USAGE_INVALID", `a ${method} request has no body`, {
      hint: "use POST, or leave --data out",
    });
  }
  const body = await readRequestBody(flags.data);
  const machine = flags.json === true || flags.jsonStream === true;
  // Before anything is sent: as long as one can still press Ctrl-C.
  const warn = (code: string, message: string): void =>
    machine ? context.warn(code, message) : printWarning(message);
  const connect = async (): Promise<ReturnType<typeof createStackClient>> => {
    const lockFile = await loadExpectationLock(location, flags.lock);
    const { deployed } = requireExpectations(lockFile, location.stack);
    if (flags.insecureNoVerify === true) {
      warn("insecure", describeInsecurity(isUrl ? path : deployed.endpoint, deployed.tls === "attested"));
    }
    if (deployed.encryption.requests === "off") {
      warn("clear-requests", "sent in the clear: this stack's proxy.encryption.requests is off");
    }
    const named = [isUrl ? path : undefined, flags.lock];
    return createStackClient({
      lockFile,
      stack: location.stack,
      ...(isUrl ? { url: parseEndpoint(path).origin } : {}),
      acceptSimulated: flags.allowSimulated === true || isKnownToBeSimulated(lockFile, location.stack, named),
      insecureSkipVerification: flags.insecureNoVerify === true,
    });
  };
  // A proxy that runs alone is in no lock, and there is nothing to verify it against. Whoever names a lock means that one.
  const isAlone =
    flags.insecureNoVerify === true &&
    isUrl &&
    flags.lock === undefined &&
    (await loadLock(location))?.deployed[location.stack] === undefined;
  if (isAlone) warn("insecure", describeInsecurity(path, true));
  const client = isAlone ? createUnverifiedClient(path) : await connect();
  const response = await client
    .fetch(isUrl ? path : `${client.endpoint}${path}`, {
      method,
      headers: flags.header.map(([name, value]) => [name, value]),
      signal: context.signal,
      ...(body === undefined ? {} : { body }),
    })
    .catch(async (error: unknown) => {
      throw isUrl ? error : await adviseOnOwnStack(error, context.flags);
    });
  const bytes = new Uint8Array(await response.arrayBuffer());
  const headers = [...response.headers];
  const file = flags.output === "-" ? undefined : flags.output;
  if (!machine) {
    if (flags.include === true) {
      printResult(
        [
          `HTTP ${response.status} ${response.statusText}`.trimEnd(),
          ...headers.map(([name, value]) => escapeControls(`${name}: ${value}`)),
          "",
          "",
        ].join("\n"),
      );
    }
    if (file === undefined) printResultBytes(bytes);
  }
  if (file !== undefined) {
    await writeResponseBody(file, bytes);
    context.note(`${bytes.length} bytes written to ${file}`);
  }
  const error = describeRefusal(response, flags.fail === true);
  // The next prompt, or our own error, on a line of its own.
  if (error !== undefined && !machine && file === undefined && bytes.length > 0) printNote("");
  return {
    stack: location.stack,
    target: location.target,
    data: { status: response.status, headers, bodyBase64: Buffer.from(bytes).toString("base64") },
    ...(error === undefined ? {} : { error }),
  };
}

/** @param takesAnyTlsKey  also one that no authority vouches for, if there is TLS at all */
function describeInsecurity(url: string, takesAnyTlsKey: boolean): string {
  const certificate =
    takesAnyTlsKey && /^https:/i.test(url) ? ", and any certificate of the endpoint is taken" : "";
  return `INSECURE: the key is not verified${certificate} (--insecure-no-verify)`;
}

/** Of one's own stack there is more to say than to check its URL. */
async function adviseOnOwnStack(error: unknown, flags: GlobalFlags): Promise<unknown> {
  if (!isPolarisError(error) || error.code !== "ENDPOINT_UNREACHABLE") return error;
  const { nextCommand } = await import("../next-command.ts");
  const status = `${nextCommand(flags, "status")} shows how it is`;
  return new PolarisError(error.code, error.message, {
    hint: error.hint === undefined ? status : `${error.hint}; ${status}`,
    cause: error.cause,
  });
}

/** A refusal of the proxy, which it marks with its own code, or with --fail an answer of the workload from 400 on. */
function describeRefusal(response: Response, fail: boolean): PolarisError | undefined {
  if (response.status < 400) return undefined;
  const code = response.headers.get(ERROR_HEADER);
  if (code !== null && response.headers.get("content-type")?.startsWith(PROBLEM_MEDIA_TYPE) === true) {
    const known = Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : "REQUEST_FAILED";
    return new PolarisError(known, `the proxy refused the request: ${response.status} ${known}`);
  }
  return fail ? new PolarisError("REQUEST_FAILED", `the workload answered ${response.status}`) : undefined;
}

/** Methods that fetch refuses to send (WHATWG Fetch, "forbidden method"). */
const FORBIDDEN_METHODS: ReadonlySet<string> = new Set(["CONNECT", "TRACE", "TRACK"]);

function parseMethod(text: string): string {
  const method = text.toUpperCase();
  if (!/^[A-Z][A-Z-]{0,19}$/.test(method)) throw new InvalidArgumentError("an HTTP method: GET, POST, …");
  if (FORBIDDEN_METHODS.has(method)) throw new InvalidArgumentError(`${method} cannot be sent.`);
  return method;
}

function collectHeader(
  text: string,
  earlier: readonly (readonly [string, string])[],
): (readonly [string, string])[] {
  const colon = text.indexOf(":");
  const header = [text.slice(0, Math.max(colon, 0)).trim(), text.slice(colon + 1).trim()] as const;
  try {
    new Headers().append(...header);
  } catch {
    throw new InvalidArgumentError('a header like "name: value", in printable ASCII.');
  }
  return [...earlier, header];
}
