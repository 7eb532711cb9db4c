/**
 * Deadlines: a point in time that the caller sets, travels with the call and only ever shrinks.
 *
 * `withDeadline` bounds work: at the deadline the work's signal is aborted and the caller gets
 * `deadline_exceeded`, whether or not the work heeds the signal.
 */
import type { Clock } from "./clock.js";
import { CovoteError } from "./errors.js";

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
  return {
    atMs,
    remainingMs: () => Math.max(0, atMs - clock.now()),
    exceeded: () => clock.now() >= atMs,
    capped: (other) => (other < atMs ? deadlineAt(clock, other) : deadlineAt(clock, atMs)),
    reserving: (ms) => deadlineAt(clock, atMs - ms),
  };
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

export async function withDeadline<T>(
  deadline: Deadline,
  opts: WithDeadlineOptions,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { what, clock, signal } = opts;
  const exceeded = (): CovoteError => new CovoteError("deadline_exceeded", `deadline exceeded: ${what}`);
  const cancelled = (): CovoteError =>
    new CovoteError("cancelled", `cancelled: ${what}`, { cause: signal?.reason });
  if (signal?.aborted) throw cancelled();
  if (deadline.exceeded()) throw exceeded();

  const inner = new AbortController();
  let release = (): void => {};
  const cut = new Promise<never>((_, reject) => {
    const end = (error: CovoteError): void => {
      inner.abort(error);
      reject(error);
    };
    const onAbort = (): void => end(cancelled());
    signal?.addEventListener("abort", onAbort, { once: true });
    const timer = Number.isFinite(deadline.atMs)
      ? clock.after(deadline.remainingMs(), () => end(exceeded()))
      : undefined;
    release = () => {
      timer?.cancel();
      signal?.removeEventListener("abort", onAbort);
    };
  });
  try {
    return await Promise.race([work(inner.signal), cut]);
  } finally {
    release();
  }
}
