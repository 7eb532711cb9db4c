/**
 * Deadlines: a point in time that the caller sets, travels with the call and only ever shrinks.
 *
 * `withDeadline` bounds work: at the deadline the work's signal is aborted and the caller gets
 * `deadline_exceeded`, whether or not the work heeds the signal.
 */
import type { Clock } from "./clock.js";
import { CovoteError } from "./errors.js";
import { createLazySignal, type LazySignal } from "./lazy-signal.js";

export interface Deadline {
  /** Milliseconds since the Unix epoch; `Infinity` for none. */
  readonly atMs: number;
  /** Never negative. */
  remainingMs(): number;
  exceeded(): boolean;
  /** This one, or `atMs` if that comes first. */
  capped(atMs: number): Deadline;
  /** For the next hop: earlier by `ms`, so that there is time left to answer. */
  reserving(ms: number): Deadline;
}

export function deadlineAt(clock: Clock, atMs: number): Deadline {
  return new PointInTime(clock, atMs);
}

class PointInTime implements Deadline {
  readonly atMs: number;
  readonly #clock: Clock;

  constructor(clock: Clock, atMs: number) {
    this.#clock = clock;
    this.atMs = atMs;
  }

  remainingMs(): number {
    return Math.max(0, this.atMs - this.#clock.now());
  }

  exceeded(): boolean {
    return this.#clock.now() >= this.atMs;
  }

  capped(atMs: number): Deadline {
    return deadlineAt(this.#clock, Math.min(this.atMs, atMs));
  }

  reserving(ms: number): Deadline {
    return deadlineAt(this.#clock, this.atMs - ms);
  }
}

export function deadlineIn(clock: Clock, ms: number): Deadline {
  return deadlineAt(clock, clock.now() + ms);
}

export interface WithDeadlineOptions {
  /** Names the work in the error: `deadline exceeded: meta scores`. */
  what: string;
  clock: Clock;
  signal?: AbortSignal;
}

/** `work` gets a signal of its own, which is made only if it is looked at: `({ signal }) => …`. */
export function withDeadline<T>(
  deadline: Deadline,
  opts: WithDeadlineOptions,
  work: (own: Pick<LazySignal, "signal">) => Promise<T>,
): Promise<T> {
  const { what, clock, signal } = opts;
  return new Promise((resolve, reject) => {
    const exceeded = (): CovoteError => new CovoteError("deadline_exceeded", `deadline exceeded: ${what}`);
    const cancelled = (): CovoteError =>
      new CovoteError("cancelled", `cancelled: ${what}`, { cause: signal?.reason });
    if (signal?.aborted) return reject(cancelled());
    if (deadline.exceeded()) return reject(exceeded());

    const own = createLazySignal();
    const release = (): void => {
      timer?.cancel();
      signal?.removeEventListener("abort", onAbort);
    };
    const fail = (cause: unknown): void => {
      release();
      reject(cause);
    };
    const end = (error: CovoteError): void => {
      own.abort(() => error);
      fail(error);
    };
    const onAbort = (): void => end(cancelled());
    const timer = Number.isFinite(deadline.atMs)
      ? clock.after(deadline.remainingMs(), () => end(exceeded()))
      : undefined;
    signal?.addEventListener("abort", onAbort, { once: true });
    const done = (value: T): void => {
      release();
      resolve(value);
    };
    try {
      work(own).then(done, fail);
    } catch (thrown) {
      fail(thrown);
    }
  });
}
