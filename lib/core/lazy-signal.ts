/** An abort signal that is made when somebody first asks for it: most are never looked at, and each has its price. */
export interface LazySignal {
  readonly signal: AbortSignal;
  /** Only the first counts. The reason is made only if somebody sees it. */
  abort(reason: () => unknown): void;
}

export function createLazySignal(): LazySignal {
  return new SignalOnDemand();
}

class SignalOnDemand implements LazySignal {
  #controller: AbortController | undefined;
  #aborted: (() => unknown) | undefined;

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted());
    }
    return this.#controller.signal;
  }

  abort(reason: () => unknown): void {
    if (this.#aborted !== undefined) return;
    this.#aborted = reason;
    this.#controller?.abort(reason());
  }
}
