/** How long requests take lately: quantiles over the last ones. Pure. */
export interface Latencies {
  record(ms: number): void;
  /** Milliseconds; null before there are enough to say. */
  quantile(q: number): number | null;
}

const kept = 512;
const enough = 20;
/** Sorting anew for every request would cost more than the answer is worth. */
const freshFor = 16;

export function createLatencies(): Latencies {
  const ring: number[] = [];
  let next = 0;
  let sorted: number[] = [];
  let unsorted = freshFor;
  return {
    record: (ms) => {
      ring[next] = ms;
      next = (next + 1) % kept;
      unsorted++;
    },
    quantile: (q) => {
      if (ring.length < enough) return null;
      if (unsorted >= freshFor) {
        sorted = [...ring].sort((a, b) => a - b);
        unsorted = 0;
      }
      return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] as number;
    },
  };
}
