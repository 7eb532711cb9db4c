/**
 * Whether requests that were judged before are to be expected.
 *
 * - Most requests are new. While they are, a judgment begins at once and its record is looked for meanwhile, which takes
 *   the look out of the way of the answer.
 * - Where one repeat comes others follow: a trainer was started again and asks for what it had. For a minute after a
 *   record was found, records are looked for first, so that repeats put no ballots into the queue.
 */
import type { Clock } from "../../lib/core/clock.js";

export interface Repeats {
  likely(): boolean;
  /** A request had a record. */
  seen(): void;
}

const memoryMs = 60_000;

export function createRepeats(clock: Pick<Clock, "monotonic">): Repeats {
  let likelyUntilMs = Number.NEGATIVE_INFINITY;
  return {
    likely: () => clock.monotonic() < likelyUntilMs,
    seen: () => {
      likelyUntilMs = clock.monotonic() + memoryMs;
    },
  };
}
