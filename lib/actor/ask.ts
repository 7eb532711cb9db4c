/** Ask: one message out, one answer back, ended at the latest by deadline, signal or dead letter. */
import type { Clock } from "../core/clock.js";
import { CovoteError } from "../core/errors.js";
import type { AskOptions, Reply } from "./actor.js";

/** Finds the asker of a message that became a dead letter, wherever in the message the reply sits. */
export interface PendingAsks {
  ask<M, R>(
    path: string,
    offer: (message: M) => boolean,
    make: (reply: Reply<R>) => M,
    opts: AskOptions,
  ): Promise<R>;
  /** The message ended without an answer: its asker need not wait for the deadline. */
  abandon(message: unknown, cause: unknown): void;
}

export function createPendingAsks(clock: Clock): PendingAsks {
  const waiting = new WeakMap<object, (cause: unknown) => void>();
  return {
    ask: (path, offer, make, { deadlineAtMs, signal }) =>
      new Promise((resolve, reject) => {
        const release = (): void => {
          timer?.cancel();
          signal?.removeEventListener("abort", cancel);
        };
        const fail = (cause: unknown): void => {
          release();
          reject(cause);
        };
        const cancel = (): void =>
          fail(new CovoteError("cancelled", `ask of ${path} was cancelled`, { cause: signal?.reason }));
        const late = (): void =>
          fail(new CovoteError("deadline_exceeded", `ask of ${path}: no answer in time`));
        const remainingMs = deadlineAtMs - clock.now();
        const timer = Number.isFinite(deadlineAtMs) ? clock.after(Math.max(0, remainingMs), late) : undefined;
        if (signal?.aborted) return cancel();
        if (remainingMs <= 0) return late();
        signal?.addEventListener("abort", cancel, { once: true });
        const message = make({
          send: (answer) => {
            release();
            resolve(answer);
          },
          fail,
        });
        if (typeof message === "object" && message !== null) waiting.set(message, fail);
        if (!offer(message)) fail(full(path));
      }),
    abandon: (message, cause) => {
      if (typeof message !== "object" || message === null) return;
      waiting.get(message)?.(cause);
    },
  };
}

export function full(path: string): CovoteError {
  return new CovoteError("overloaded", `the mailbox of ${path} is full`);
}
