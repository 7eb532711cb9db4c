/**
 * Mailbox: the bounded queue in front of one actor.
 *
 * - At most one message is being handled at any time, in the order of arrival.
 * - Every accepted message ends exactly once: handled, or given to `dead` with the reason.
 * - `close("drain")` handles what is queued; `close("now")` makes it dead letters. The message in hand is
 *   finished in both cases. A later `close("now")` overrules a drain.
 * - Handling never starts inside `offer`: the caller is never re-entered.
 */
import { createBoundedQueue } from "../core/bounded-queue.js";
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
  const { handle, failed, dead } = opts;
  const queue = createBoundedQueue<M>(opts.capacity);
  const ended = deferred<void>();
  let state: "open" | "draining" | "closed" = "open";
  let paused = true;
  let inHand = false;
  let scheduled = false;

  const fail = (message: M, cause: unknown): void => {
    dead(message, "failed");
    failed(cause);
  };
  const endIfDone = (): void => {
    if (state !== "open" && !inHand && queue.size === 0) {
      state = "closed";
      ended.resolve();
    }
  };
  const schedule = (later: (call: () => void) => void): void => {
    if (scheduled || inHand || paused || queue.size === 0) return;
    scheduled = true;
    later(run);
  };
  const finish = (): void => {
    inHand = false;
    schedule(queueMicrotask);
    endIfDone();
  };

  const run = (): void => {
    scheduled = false;
    for (let handled = 0; !paused && !inHand && queue.size > 0; handled++) {
      if (handled === batch) {
        schedule(setImmediate);
        return;
      }
      const message = queue.shift() as M;
      inHand = true;
      try {
        const outcome = handle(message);
        if (outcome !== undefined) {
          outcome.then(finish, (cause: unknown) => {
            fail(message, cause);
            finish();
          });
          return;
        }
      } catch (cause) {
        fail(message, cause);
      }
      inHand = false;
    }
    endIfDone();
  };

  return {
    offer(message) {
      if (state !== "open") {
        dead(message, "stopped");
        return true;
      }
      if (!queue.push(message)) return false;
      schedule(queueMicrotask);
      return true;
    },
    pause() {
      paused = true;
    },
    resume() {
      paused = false;
      schedule(queueMicrotask);
    },
    close(mode) {
      if (state === "closed") return;
      state = "draining";
      if (mode === "now") for (const message of queue.clear()) dead(message, "stopped");
      endIfDone();
    },
    closed: ended.promise,
    get size() {
      return queue.size;
    },
  };
}
