/**
 * The slots of a simulated engine: so many requests side by side, so many waiting, and a clock.
 *
 * - A request holds a slot for its service time; those behind it wait in the order of their arrival.
 * - Every accepted request ends exactly once: `done`, `cancelled` (its signal), or `dead` (`kill`).
 * - A full line refuses at once; no service time and a free slot cost no timer.
 * - A service time of Infinity holds the slot until the request is cancelled: a hanging engine.
 */
import type { Clock, Timer } from "../core/clock.js";
import { CovoteError } from "../core/errors.js";

export interface Stay {
  end: "done" | "cancelled" | "dead";
  /** Time in the line and time in a slot. */
  waitedMs: number;
  servedMs: number;
}

export interface SlotStats {
  running: number;
  waiting: number;
  /** Time with at least one slot taken. */
  busyMs: number;
  /** Slot time taken, summed over slots: at most `slots` times the time that passed. */
  slotMs: number;
}

export interface Slots {
  /** Throws `overloaded` when the line is full and `unavailable` when dead; otherwise ends as a Stay says. */
  occupy(serviceMs: number, signal?: AbortSignal): Promise<Stay>;
  /** Ends every accepted request as `dead` and refuses new ones until `revive`. */
  kill(): void;
  revive(): void;
  readonly dead: boolean;
  stats(): SlotStats;
}

interface Place {
  serviceMs: number;
  arrivedMs: number;
  startedMs: number;
  timer: Timer | null;
  leave: (end: Stay["end"]) => void;
}

export function createSlots(options: {
  slots: number;
  /** Most requests waiting for a slot. */
  queueLimit: number;
  clock: Clock;
}): Slots {
  const { slots, queueLimit, clock } = options;
  const running = new Set<Place>();
  const waiting = new Set<Place>();
  let dead = false;
  let busyMs = 0;
  let slotMs = 0;
  let accountedMs = clock.monotonic();

  /** Brings the sums up to now; called before `running` changes. */
  function account(): number {
    const now = clock.monotonic();
    const passed = now - accountedMs;
    accountedMs = now;
    if (running.size > 0) busyMs += passed;
    slotMs += passed * running.size;
    return now;
  }

  function start(place: Place): void {
    place.startedMs = account();
    running.add(place);
    if (place.serviceMs < Infinity) {
      place.timer = clock.after(place.serviceMs, () => place.leave("done"));
    }
  }

  function startNext(): void {
    for (const place of waiting) {
      if (running.size >= slots) return;
      waiting.delete(place);
      start(place);
    }
  }

  function occupy(serviceMs: number, signal?: AbortSignal): Promise<Stay> {
    if (dead) throw new CovoteError("unavailable", "the simulated engine is dead", { retryAfterMs: 1000 });
    if (signal?.aborted === true) return Promise.resolve({ end: "cancelled", waitedMs: 0, servedMs: 0 });
    const free = running.size < slots;
    if (free && serviceMs <= 0) return Promise.resolve({ end: "done", waitedMs: 0, servedMs: 0 });
    if (!free && waiting.size >= queueLimit) {
      throw new CovoteError("overloaded", `the simulated engine's queue is full (${queueLimit} waiting)`, {
        retryAfterMs: 100,
      });
    }
    return new Promise((resolve) => {
      const arrivedMs = clock.monotonic();
      const onAbort = (): void => place.leave("cancelled");
      const place: Place = {
        serviceMs,
        arrivedMs,
        startedMs: Number.NaN,
        timer: null,
        leave: (end) => {
          const now = account();
          const started = running.delete(place);
          if (!started && !waiting.delete(place)) return;
          place.timer?.cancel();
          signal?.removeEventListener("abort", onAbort);
          const sinceMs = started ? place.startedMs : now;
          resolve({ end, waitedMs: sinceMs - arrivedMs, servedMs: now - sinceMs });
          if (!dead) startNext();
        },
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      if (free) start(place);
      else waiting.add(place);
    });
  }

  return {
    occupy,
    kill: () => {
      dead = true;
      for (const place of [...running, ...waiting]) place.leave("dead");
    },
    revive: () => {
      dead = false;
    },
    get dead() {
      return dead;
    },
    stats: () => {
      account();
      return { running: running.size, waiting: waiting.size, busyMs, slotMs };
    },
  };
}
