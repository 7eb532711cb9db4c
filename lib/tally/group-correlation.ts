/**
 * How two figures of the responses of a group go together, over the last groups: Pearson's correlation of their
 * deviations from the group's means. Groups differ in their prompts, so only what happens within one tells anything.
 *
 * Older groups count less and less: each one `1 − 1/memory` times what it counted before.
 */
export interface GroupCorrelation {
  /** `x` and `y` of the responses of one group; a group of one, or one that is not finite, tells nothing. */
  add(x: readonly number[], y: readonly number[]): void;
  /** −1 to 1; null: nothing that varies was seen yet. */
  value(): number | null;
}

export function createGroupCorrelation({ memory }: { memory: number }): GroupCorrelation {
  const keep = 1 - 1 / memory;
  let xx = 0;
  let yy = 0;
  let xy = 0;
  return {
    add: (x, y) => {
      const own = deviations(x, y);
      if (!Number.isFinite(own.xx + own.yy + own.xy)) return;
      xx = xx * keep + own.xx;
      yy = yy * keep + own.yy;
      xy = xy * keep + own.xy;
    },
    value: () => {
      const scale = Math.sqrt(xx) * Math.sqrt(yy);
      return scale > 0 ? Math.max(-1, Math.min(1, xy / scale)) : null;
    },
  };
}

function deviations(x: readonly number[], y: readonly number[]): { xx: number; yy: number; xy: number } {
  const count = x.length;
  let sumX = 0;
  let sumY = 0;
  for (let i = 0; i < count; i++) {
    sumX += x[i] as number;
    sumY += y[i] as number;
  }
  const sums = { xx: 0, yy: 0, xy: 0 };
  for (let i = 0; i < count; i++) {
    const dx = (x[i] as number) - sumX / count;
    const dy = (y[i] as number) - sumY / count;
    sums.xx += dx * dx;
    sums.yy += dy * dy;
    sums.xy += dx * dy;
  }
  return sums;
}
