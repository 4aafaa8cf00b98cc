import { setTimeout as sleep } from "node:timers/promises";
import { fieldsOf, textOf } from "./fields.ts";
import type { Fields } from "./fields.ts";
import { callUrl } from "./google-apis.ts";
import type { GoogleApi } from "./google-apis.ts";
import { GoogleRequestError } from "./google-error.ts";
import type { ProviderConfig } from "./provider-config.ts";

const USER_AGENT =
  "Pulumi/3.0 (GPN:Pulumi; https://www.pulumi.com) pulumi-gcp/9.35.0 (test provider of Polaris)";

/** How long one call may take, in milliseconds. */
const CALL_MS = 60_000;

/** The real provider's waits between tries, in half seconds; ours are shorter by `retryUnitMs`. */
const RETRY_WAITS = [1, 2, 3, 5, 8, 13, 21, 34, 55];

export interface CallOptions {
  readonly query?: Readonly<Record<string, string>>;
  /** JSON; without one nothing is sent. */
  readonly body?: Fields;
}

/** Sends what the real provider sends, and tries again what it tries again. */
export class GoogleClient {
  readonly #config: ProviderConfig;
  readonly #retryUnitMs: number;
  readonly #cancelled: AbortSignal;

  constructor(config: ProviderConfig, retryUnitMs: number, cancelled: AbortSignal) {
    this.#config = config;
    this.#retryUnitMs = retryUnitMs;
    this.#cancelled = cancelled;
  }

  /**
   * @returns the answer's JSON, an empty object for an empty answer
   * @throws {GoogleRequestError} for an answer that is not a success, after the tries that its status deserves
   * @throws {Error} when no answer came: this is not tried again
   */
  async call(api: GoogleApi, method: string, path: string, options: CallOptions = {}): Promise<Fields> {
    const endpoint = this.#config.endpoints[api.endpoint];
    if (endpoint === undefined) {
      // Falling back to Google's own host would send a test's requests to the internet.
      throw new Error(`the test provider needs the argument ${api.endpoint}: it calls simulated clouds only`);
    }
    const url = callUrl(api, endpoint, path, options.query ?? {});
    for (const wait of RETRY_WAITS) {
      const answer = await this.#send(method, url, options.body);
      if (answer.status < 300) return parseAnswer(answer.text);
      if (!deservesRetry(answer.status, answer.text))
        throw new GoogleRequestError(answer.status, answer.text);
      await sleep(wait * this.#retryUnitMs, undefined, { signal: this.#cancelled });
    }
    // The real provider loses the last answer's text here too.
    throw new Error("timeout while waiting for state to become 'success' (timeout: 20m0s)");
  }

  async #send(
    method: string,
    url: string,
    body: Fields | undefined,
  ): Promise<{ status: number; text: string }> {
    try {
      const response = await fetch(url, {
        method,
        headers: {
          authorization: `Bearer ${this.#config.accessToken}`,
          "content-type": "application/json",
          "user-agent": USER_AGENT,
          ...this.#config.headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.any([AbortSignal.timeout(CALL_MS), this.#cancelled]),
      });
      return { status: response.status, text: await response.text() };
    } catch (error) {
      const verb = `${method.slice(0, 1)}${method.slice(1).toLowerCase()}`;
      throw new Error(`${verb} "${url}": ${describeLoss(error)}`, { cause: error });
    }
  }
}

function parseAnswer(text: string): Fields {
  return text === "" ? {} : fieldsOf(JSON.parse(text));
}

function deservesRetry(status: number, text: string): boolean {
  if (status === 429 || status === 500 || status === 502 || status === 503) return true;
  return (
    status === 403 &&
    text.includes("Quota exceeded for quota metric") &&
    text.includes("per minute' of service")
  );
}

function describeLoss(error: unknown): string {
  const cause = fieldsOf(error instanceof Error ? error.cause : undefined);
  const code = textOf(cause["code"]);
  if (code === "UND_ERR_SOCKET" || code === "ECONNRESET") return "EOF";
  if (code === "ECONNREFUSED") return "connect: connection refused";
  return error instanceof Error ? error.message : "unknown error";
}
