/**
 * Load on a cluster: as fast as it goes (closed loop), or at a given rate whatever the cluster does (open loop).
 *
 * The open loop has Poisson arrivals and waits for no answer, so a cluster that stalls cannot hide it by making
 * its clients wait. Each call is told when it was due.
 */
import { build as buildHistogram, type Histogram } from "hdr-histogram-js";
import type { Random } from "../lib/core/random.js";

/** Keeps `inFlight` calls going until `count` were made or `stop` aborts; resolves when all have ended. */
export async function closedLoop(
  options: { inFlight: number; count: number; stop?: AbortSignal },
  call: (index: number) => Promise<void>,
): Promise<{ seconds: number }> {
  let next = 0;
  const startedMs = performance.now();
  const keepCalling = async (): Promise<void> => {
    while (next < options.count && options.stop?.aborted !== true) {
      const index = next;
      next += 1;
      await call(index);
    }
  };
  await Promise.all(Array.from({ length: options.inFlight }, keepCalling));
  return { seconds: (performance.now() - startedMs) / 1000 };
}

/** Makes `count` calls at `perS` on average; `call` gets the time at which it was due (`performance.now`). */
export async function openLoop(
  options: { perS: number; count: number; random: Random },
  call: (index: number, dueMs: number) => Promise<void>,
): Promise<{ seconds: number }> {
  const { perS, count, random } = options;
  const startedMs = performance.now();
  const calls: Promise<void>[] = [];
  await new Promise<void>((resolve) => {
    let dueMs = startedMs;
    let index = 0;
    const advance = (): void => {
      while (index < count && dueMs <= performance.now()) {
        calls.push(call(index, dueMs));
        index += 1;
        dueMs += (-1000 * Math.log(1 - random.next())) / perS;
      }
      if (index >= count) resolve();
      else setTimeout(advance, Math.max(0, dueMs - performance.now()));
    };
    advance();
  });
  await Promise.all(calls);
  return { seconds: (performance.now() - startedMs) / 1000 };
}

/** Latencies with three significant digits, recorded in milliseconds. */
export interface Latencies {
  record(ms: number): void;
  percentile(percent: number): number;
  count(): number;
}

export function createLatencies(): Latencies {
  // Microseconds inside: the histogram holds whole numbers.
  const histogram: Histogram = buildHistogram({
    lowestDiscernibleValue: 1,
    highestTrackableValue: 60_000_000,
    numberOfSignificantValueDigits: 3,
  });
  return {
    record: (ms) => histogram.recordValue(Math.min(60_000_000, Math.max(0, Math.round(ms * 1000)))),
    percentile: (percent) => histogram.getValueAtPercentile(percent) / 1000,
    count: () => histogram.totalCount,
  };
}
