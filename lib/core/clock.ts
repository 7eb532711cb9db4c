/**
 * Time as an argument. `systemClock()` is the real one; tests use `createManualClock`, which moves only when
 * told to, so that nothing in a test depends on how fast the machine is.
 */
import { CovoteError } from "./errors.js";

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since the Unix epoch; may jump. For deadlines and stamps that travel. */
  now(): number;
  /** Milliseconds from an arbitrary start; never goes back. For durations. */
  monotonic(): number;
  /** Resolves after `ms`; rejects with `cancelled` when the signal is aborted. */
  sleep(ms: number, opts?: { signal?: AbortSignal }): Promise<void>;
  /** Calls once after `ms`. `background`: does not keep the process alive. */
  after(ms: number, call: () => void, opts?: { background?: boolean }): Timer;
  /** Calls every `ms` until cancelled. */
  every(ms: number, call: () => void, opts?: { background?: boolean }): Timer;
}

// Node turns longer delays into 1 ms.
const longestDelayMs = 2 ** 31 - 1;

export function systemClock(): Clock {
  const after: Clock["after"] = (ms, call, opts) => {
    const timer = setTimeout(call, Math.min(Math.max(ms, 0), longestDelayMs));
    if (opts?.background) timer.unref();
    return { cancel: () => clearTimeout(timer) };
  };
  return {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    after,
    every: (ms, call, opts) => {
      const timer = setInterval(call, Math.min(Math.max(ms, 1), longestDelayMs));
      if (opts?.background) timer.unref();
      return { cancel: () => clearInterval(timer) };
    },
    sleep: (ms, opts) => sleepWith(after, ms, opts?.signal),
  };
}

export interface ManualClock extends Clock {
  /** Moves time forward and calls what is due, in order of time; promises settle in between. */
  advance(ms: number): Promise<void>;
  /** Timers that wait. */
  pending(): number;
}

interface Scheduled {
  atMs: number;
  order: number;
  call: () => void;
  everyMs: number;
}

export function createManualClock(startMs = 0): ManualClock {
  let nowMs = startMs;
  let order = 0;
  const scheduled = new Set<Scheduled>();

  const schedule = (ms: number, call: () => void, everyMs: number): Timer => {
    const entry: Scheduled = { atMs: nowMs + Math.max(ms, 0), order: order++, call, everyMs };
    scheduled.add(entry);
    return { cancel: () => void scheduled.delete(entry) };
  };
  const nextDue = (untilMs: number): Scheduled | undefined => {
    let next: Scheduled | undefined;
    for (const entry of scheduled) {
      if (entry.atMs > untilMs) continue;
      const earlier =
        next === undefined ||
        entry.atMs < next.atMs ||
        (entry.atMs === next.atMs && entry.order < next.order);
      if (earlier) next = entry;
    }
    return next;
  };
  const after: Clock["after"] = (ms, call) => schedule(ms, call, 0);
  return {
    now: () => nowMs,
    monotonic: () => nowMs - startMs,
    after,
    every: (ms, call) => schedule(ms, call, Math.max(ms, 1)),
    sleep: (ms, opts) => sleepWith(after, ms, opts?.signal),
    pending: () => scheduled.size,
    advance: async (ms) => {
      const untilMs = nowMs + ms;
      await settle();
      for (let due = nextDue(untilMs); due !== undefined; due = nextDue(untilMs)) {
        nowMs = Math.max(nowMs, due.atMs);
        if (due.everyMs > 0) {
          due.atMs += due.everyMs;
          due.order = order++;
        } else {
          scheduled.delete(due);
        }
        due.call();
        await settle();
      }
      nowMs = untilMs;
    },
  };
}

/** Lets every promise reaction that is ready, and those that follow from it, run. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function sleepWith(after: Clock["after"], ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancelled = (): CovoteError =>
      new CovoteError("cancelled", "the wait was cancelled", { cause: signal?.reason });
    if (signal?.aborted) {
      reject(cancelled());
      return;
    }
    const abort = (): void => {
      timer.cancel();
      reject(cancelled());
    };
    const timer = after(ms, () => {
      signal?.removeEventListener("abort", abort);
      resolve();
    });
    signal?.addEventListener("abort", abort, { once: true });
  });
}
