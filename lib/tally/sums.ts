/**
 * Sums that do not depend on the order of their terms.
 *
 * Plain floating-point addition rounds at each step, so two responses with the same recorded scores from
 * different votes could differ in the last bit and a tie would look like a win.
 */

/** The sum of finite numbers, rounded once (Shewchuk's partial sums); infinite when it leaves the range. */
export function exactSum(values: readonly number[]): number {
  // Small whole numbers, which is what judges give, never round.
  if (values.length <= 1e6 && values.every((value) => Number.isInteger(value) && Math.abs(value) <= 1e9)) {
    return values.reduce((a, b) => a + b, 0);
  }
  let partials: number[] = [];
  for (const value of values) {
    let x = value;
    const next: number[] = [];
    for (const partial of partials) {
      const [large, small] = Math.abs(x) < Math.abs(partial) ? [partial, x] : [x, partial];
      const high = large + small;
      const low = small - (high - large);
      if (low !== 0) next.push(low);
      x = high;
    }
    if (!Number.isFinite(x)) return values.reduce((a, b) => a + b, 0);
    next.push(x);
    partials = next;
  }
  return roundedTotal(partials);
}

/** Adds non-overlapping partials, smallest first, so that the result is the exact sum rounded half to even. */
function roundedTotal(partials: number[]): number {
  let index = partials.length - 1;
  if (index < 0) return 0;
  let high = partials[index] as number;
  let low = 0;
  while (index > 0) {
    const x = high;
    const y = partials[--index] as number;
    high = x + y;
    low = y - (high - x);
    if (low !== 0) break;
  }
  // The remaining partials decide a half-way case.
  if (index > 0 && Math.sign(low) === Math.sign(partials[index - 1] as number)) {
    const doubled = low * 2;
    const candidate = high + doubled;
    if (doubled === candidate - high) high = candidate;
  }
  return high;
}

/** The mean of at least one finite number; finite even where the sum is not. */
export function mean(values: readonly number[]): number {
  const sum = exactSum(values);
  return Number.isFinite(sum) ? sum / values.length : exactSum(values.map((value) => value / values.length));
}

/** The standard deviation of the population of at least one finite number. */
export function standardDeviation(values: readonly number[]): number {
  const centre = mean(values);
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value - centre)), 0);
  if (largest === 0) return 0;
  if (!Number.isFinite(largest)) return 4 * standardDeviation(values.map((value) => value / 4));
  // Scaled by the largest deviation, so that squares neither overflow nor vanish.
  const squares = values.map((value) => ((value - centre) / largest) ** 2);
  return largest * Math.sqrt(exactSum(squares) / values.length);
}
