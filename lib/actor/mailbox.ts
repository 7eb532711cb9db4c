/**
 * Mailbox: the bounded queue in front of one actor.
 *
 * - At most one message is being handled at any time, in the order of arrival.
 * - Every accepted message ends exactly once: handled, or given to `dead` with the reason.
 * - `close("drain")` handles what is queued; `close("now")` makes it dead letters. The message in hand is
 *   finished in both cases. A later `close("now")` overrules a drain.
 * - Handling never starts inside `offer`: the caller is never re-entered.
 */
import { type BoundedQueue, createBoundedQueue } from "../core/bounded-queue.js";
import { deferred } from "../core/deferred.js";

export interface Mailbox<M> {
  /** False when full. A closed mailbox takes the message and makes it a dead letter. */
  offer(message: M): boolean;
  /** Starts no further message until `resume`; the one in hand is finished. A mailbox is born paused. */
  pause(): void;
  resume(): void;
  close(mode: "drain" | "now"): void;
  /** Resolves when closed, and nothing is queued or in hand. */
  readonly closed: Promise<void>;
  readonly size: number;
}

export interface MailboxOptions<M> {
  capacity: number;
  handle(message: M): void | Promise<void>;
  /** Handling threw; the message has become a dead letter. May pause or close. */
  failed(cause: unknown): void;
  dead(message: M, reason: "stopped" | "failed"): void;
}

// Messages handled in one go before other work of the process gets its turn.
const batch = 256;

export function createMailbox<M>(opts: MailboxOptions<M>): Mailbox<M> {
  return new QueueingMailbox(opts);
}

class QueueingMailbox<M> implements Mailbox<M> {
  readonly #opts: MailboxOptions<M>;
  readonly #queue: BoundedQueue<M>;
  readonly #ended = deferred<void>();
  #state: "open" | "draining" | "closed" = "open";
  #paused = true;
  #inHand = false;
  #scheduled = false;

  constructor(opts: MailboxOptions<M>) {
    this.#opts = opts;
    this.#queue = createBoundedQueue(opts.capacity);
  }

  get closed(): Promise<void> {
    return this.#ended.promise;
  }

  get size(): number {
    return this.#queue.size;
  }

  offer(message: M): boolean {
    if (this.#state !== "open") {
      this.#opts.dead(message, "stopped");
      return true;
    }
    if (!this.#queue.push(message)) return false;
    this.#schedule(queueMicrotask);
    return true;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#schedule(queueMicrotask);
  }

  close(mode: "drain" | "now"): void {
    if (this.#state === "closed") return;
    this.#state = "draining";
    if (mode === "now") for (const message of this.#queue.clear()) this.#opts.dead(message, "stopped");
    this.#endIfDone();
  }

  #schedule(later: (call: () => void) => void): void {
    if (this.#scheduled || this.#inHand || this.#paused || this.#queue.size === 0) return;
    this.#scheduled = true;
    later(this.#run);
  }

  readonly #run = (): void => {
    this.#scheduled = false;
    for (let handled = 0; !this.#paused && !this.#inHand && this.#queue.size > 0; handled++) {
      if (handled === batch) {
        this.#schedule(setImmediate);
        return;
      }
      const message = this.#queue.shift() as M;
      this.#inHand = true;
      try {
        const outcome = this.#opts.handle(message);
        if (outcome !== undefined) {
          outcome.then(
            () => this.#finish(),
            (cause: unknown) => {
              this.#fail(message, cause);
              this.#finish();
            },
          );
          return;
        }
      } catch (cause) {
        this.#fail(message, cause);
      }
      this.#inHand = false;
    }
    this.#endIfDone();
  };

  #finish(): void {
    this.#inHand = false;
    this.#schedule(queueMicrotask);
    this.#endIfDone();
  }

  #fail(message: M, cause: unknown): void {
    this.#opts.dead(message, "failed");
    this.#opts.failed(cause);
  }

  #endIfDone(): void {
    if (this.#state === "open" || this.#inHand || this.#queue.size > 0) return;
    this.#state = "closed";
    this.#ended.resolve();
  }
}
