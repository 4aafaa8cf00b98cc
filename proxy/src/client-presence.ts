/**
 * Whether the client of one request is still there. Most requests only ever need one callback, so that the AbortSignal,
 * which costs as much as the rest of a short request, is made when somebody asks for it.
 */
export class ClientPresence {
  #hasLeft = false;
  #controller: AbortController | undefined;
  #onLeave: (() => void) | undefined;

  get hasLeft(): boolean {
    return this.#hasLeft;
  }

  /** Aborts when the client leaves. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#hasLeft) this.#controller.abort(departure());
    return this.#controller.signal;
  }

  /** Says what to do when the client leaves, instead of what was said before; at once if it has. */
  onLeave(callback: () => void): void {
    this.#onLeave = callback;
    if (this.#hasLeft) callback();
  }

  leave(): void {
    if (this.#hasLeft) return;
    this.#hasLeft = true;
    this.#controller?.abort(departure());
    this.#onLeave?.();
  }
}

/** The reason that whatever was done for the client ends with. */
export function departure(): Error {
  return new Error("the client went away");
}
