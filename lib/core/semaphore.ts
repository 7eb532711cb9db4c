/**
 * Semaphore: at most `permits` holders. Waiters are served in the order of arrival; an aborted waiter leaves
 * the line and takes nothing with it.
 */
import { CovoteError } from "./errors.js";

export interface Semaphore {
  /** Resolves with the release function (idempotent); rejects with `cancelled` at the signal. */
  acquire(opts?: { signal?: AbortSignal }): Promise<() => void>;
  /** A release function, or undefined when none is free or others wait. */
  tryAcquire(): (() => void) | undefined;
  /** Holds a permit while `work` runs. */
  run<T>(work: () => Promise<T>, opts?: { signal?: AbortSignal }): Promise<T>;
  readonly free: number;
  readonly waiting: number;
}

export function createSemaphore(permits: number): Semaphore {
  if (!(Number.isInteger(permits) && permits >= 1)) {
    throw new RangeError(`permits must be an integer of at least 1, got ${permits}`);
  }
  let free = permits;
  // A Set keeps the order of insertion and lets an aborted waiter leave in constant time.
  const line = new Set<(release: () => void) => void>();

  const grant = (): (() => void) => {
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      for (const next of line) {
        line.delete(next);
        next(grant());
        return;
      }
      free++;
    };
  };
  const tryAcquire = (): (() => void) | undefined => {
    if (free === 0) return undefined;
    free--;
    return grant();
  };
  const acquire: Semaphore["acquire"] = (opts) => {
    const signal = opts?.signal;
    const cancelled = (): CovoteError =>
      new CovoteError("cancelled", "the wait for a permit was cancelled", { cause: signal?.reason });
    if (signal?.aborted) return Promise.reject(cancelled());
    const release = tryAcquire();
    if (release !== undefined) return Promise.resolve(release);
    return new Promise((resolve, reject) => {
      const next = (granted: () => void): void => {
        signal?.removeEventListener("abort", leave);
        resolve(granted);
      };
      const leave = (): void => {
        line.delete(next);
        reject(cancelled());
      };
      line.add(next);
      signal?.addEventListener("abort", leave, { once: true });
    });
  };
  return {
    acquire,
    tryAcquire,
    run: async (work, opts) => {
      const release = await acquire(opts);
      try {
        return await work();
      } finally {
        release();
      }
    },
    get free() {
      return free;
    },
    get waiting() {
      return line.size;
    },
  };
}
