import { Authenticator } from "./authentication.ts";
import type { AuthorizationRequest } from "./authentication.ts";
import type { CredentialSource } from "./credentials.ts";
import { describeRefusal } from "./refusal.ts";
import { registryOrigin } from "./registry-host.ts";
import { sendWithRetries, streamWithRetries } from "./retry.ts";
import type { RegistryAnswer, RegistryRequest, Transport } from "./transport.ts";

export type UnauthorizedRequest = Omit<RegistryRequest, "authorization" | "signal">;

/**
 * Why there is no authorization. Whatever could help, the authenticator has tried it as often as is fit: to ask the registry
 * again would only begin all of that from the start.
 */
class LoginFailure extends Error {
  readonly reason: unknown;

  constructor(reason: unknown) {
    super("no authorization");
    this.reason = reason;
  }
}

/** Requests to registries, as whoever we are to each of them. */
export class AuthorizedRequests {
  readonly #transport: Transport;
  readonly #authenticator: Authenticator;
  readonly #retryDelaysMs: readonly number[];

  constructor(
    transport: Transport,
    credentials: CredentialSource | undefined,
    retryDelaysMs: readonly number[],
  ) {
    this.#transport = transport;
    this.#authenticator = new Authenticator(transport, credentials, retryDelaysMs);
    this.#retryDelaysMs = retryDelaysMs;
  }

  /**
   * Sends once, and once more if the registry wants to know who we are. Another origin than the registry's, where an upload
   * may lead, gets no authorization, and its challenges no answer.
   *
   * To be called by what is given to {@link retry} only, which has the right errors.
   *
   * @throws {PolarisError} REGISTRY_DENIED for a 401 that nothing of ours changes; what the transport throws
   * @throws {LoginFailure} with what the token server or the credential source has thrown
   */
  async sendOnce(request: UnauthorizedRequest, asked: AuthorizationRequest): Promise<RegistryAnswer> {
    const { signal } = asked;
    const { origin } = registryOrigin(asked.registry);
    if (request.url.origin !== origin) return await this.#transport.send({ ...request, signal });
    const authorization = this.#authenticator.currentAuthorization(asked);
    const answer = await this.#transport.send({ ...request, authorization, signal });
    if (answer.status !== 401 || answer.url.origin !== origin) return answer;
    const refusal = await describeRefusal(answer, asked);
    const renewed = await this.#authenticator
      .answerChallenge(asked, answer.headers["www-authenticate"], authorization)
      .catch((reason: unknown) => {
        throw new LoginFailure(reason);
      });
    if (renewed === undefined) throw refusal;
    return await this.#transport.send({ ...request, authorization: renewed, signal });
  }

  /** {@link sendOnce}, again and again while time may help. */
  async send(request: UnauthorizedRequest, asked: AuthorizationRequest): Promise<RegistryAnswer> {
    return await this.retry(() => this.sendOnce(request, asked), asked.signal);
  }

  /** For what takes several requests, and has to start with the first of them again. */
  async retry(send: () => Promise<RegistryAnswer>, signal: AbortSignal): Promise<RegistryAnswer> {
    try {
      return await sendWithRetries(send, { delaysMs: this.#retryDelaysMs, signal });
    } catch (error) {
      throw error instanceof LoginFailure ? error.reason : error;
    }
  }

  /** The body of a 200 or 206, continued where it breaks off: see {@link streamWithRetries}. */
  stream(
    open: (offset: number) => Promise<RegistryAnswer>,
    byteCount: number,
    signal: AbortSignal,
  ): AsyncIterable<Uint8Array> {
    return streamWithRetries(open, { byteCount, delaysMs: this.#retryDelaysMs, signal });
  }
}
