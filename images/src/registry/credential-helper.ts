import { spawn } from "node:child_process";
import { PolarisError } from "@polaris-cvm/sdk/errors";
import * as z from "zod";

const MAX_OUTPUT_BYTES = 64 * 1024;
const DEFAULT_TIMEOUT_MS = 10_000;

/** What every helper says, by contract, if it has nothing for a registry (docker-credential-helpers). */
const NOT_FOUND = "credentials not found in native keychain";

const helperAnswer = z.object({ Username: z.string(), Secret: z.string().min(1) });

export interface StoredLogin {
  readonly username: string;
  readonly secret: string;
}

export interface HelperOptions {
  /** Where programs are found, and whatever else the helper needs; it does not get what is called `POLARIS_…`. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly timeoutMs?: number;
  readonly signal: AbortSignal;
}

/**
 * Asks Docker's credential helper `docker-credential-<name>` for a registry's login. It ends at the latest when this process
 * does, or its signal is aborted.
 *
 * @param key  how helpers call the registry
 * @returns undefined if the helper has none
 * @throws {PolarisError} CREDENTIAL_HELPER_FAILED, without anything that the helper has printed
 */
export async function askCredentialHelper(
  name: string,
  key: string,
  options: HelperOptions,
): Promise<StoredLogin | undefined> {
  if (!/^[\w][\w.-]{0,63}$/.test(name)) throw failed("a credential helper", "has a name that is not one");
  const program = `docker-credential-${name}`;
  const { output, exitCode } = await run(program, key, options);
  if (exitCode !== 0) {
    if (output.trim() === NOT_FOUND) return undefined;
    throw failed(program, `ended with exit code ${exitCode}`);
  }
  const answer = helperAnswer.safeParse(parseJson(output));
  // What it printed may be a secret in another form.
  if (!answer.success) throw failed(program, "did not print a login: expected JSON with Username and Secret");
  return { username: answer.data.Username, secret: answer.data.Secret };
}

interface HelperRun {
  readonly output: string;
  readonly exitCode: number;
}

function run(
  program: string,
  input: string,
  { environment, timeoutMs = DEFAULT_TIMEOUT_MS, signal }: HelperOptions,
): Promise<HelperRun> {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    // A group of its own, so that a helper ends together with what it has started.
    const child = spawn(program, ["get"], {
      stdio: ["pipe", "pipe", "ignore"],
      detached: true,
      env: withoutOurOwn(environment),
    });
    const chunks: Uint8Array[] = [];
    let byteCount = 0;

    const settle = (end: () => void): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      process.removeListener("exit", onExit);
      child.stdout.destroy();
      end();
    };
    const stop = (reason: unknown): void => {
      killGroup(child.pid);
      settle(() => reject(reason));
    };
    const onAbort = (): void => stop(signal.reason);
    // Nobody else ends a group of its own: neither the terminal's Ctrl-C nor our end reaches it.
    const onExit = (): void => killGroup(child.pid);
    const timer = setTimeout(
      () => stop(failed(program, `did not answer within ${timeoutMs / 1000} s`)),
      timeoutMs,
    );
    signal.addEventListener("abort", onAbort, { once: true });
    process.once("exit", onExit);

    child.once("error", (cause: NodeJS.ErrnoException) =>
      settle(() => reject(failed(program, `cannot be started (${cause.code ?? "unknown reason"})`))),
    );
    child.stdout.on("data", (chunk: Uint8Array) => {
      byteCount += chunk.byteLength;
      chunks.push(chunk);
      if (byteCount > MAX_OUTPUT_BYTES) stop(failed(program, `printed more than ${MAX_OUTPUT_BYTES} bytes`));
    });
    // A helper need not read its input.
    child.stdin.on("error", () => {});
    child.stdin.end(input);
    child.once("close", (exitCode) =>
      settle(() => resolve({ output: Buffer.concat(chunks).toString("utf8"), exitCode: exitCode ?? -1 })),
    );
  });
}

/**
 * Our passwords are none of its business. A list of what it may have would be safer, and would break helpers: those of the
 * clouds read many variables of their own.
 */
function withoutOurOwn(environment: HelperOptions["environment"]): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(environment).filter(([name]) => !name.toUpperCase().startsWith("POLARIS_")),
  );
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's own error quotes the text.
    return undefined;
  }
}

function failed(program: string, what: string): PolarisError {
  return new PolarisError("CREDENTIAL_HELPER_FAILED", `${program} ${what}`, {
    hint: "mend it, or take it out of credsStore and credHelpers in Docker's config.json",
    details: { program },
  });
}
