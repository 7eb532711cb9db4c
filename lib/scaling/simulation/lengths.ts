/** Log-normal factors with mean 1, drawn from a table of quantiles: a draw is one random number and one look-up. */
import type { Random } from "../../core/random.js";

/** The outermost quantiles are 1/8192 and 1 − 1/8192: tails end there, as they do at an engine's longest answer. */
const size = 4096;

export interface LogNormal {
  draw(random: Random): number;
  readonly largest: number;
}

export function logNormal(sigma: number): LogNormal {
  const table = Float64Array.from({ length: size }, (_, i) =>
    Math.exp(sigma * normalQuantile((i + 0.5) / size)),
  );
  const mean = table.reduce((sum, value) => sum + value, 0) / size;
  for (let i = 0; i < size; i++) table[i] = (table[i] as number) / mean;
  return { draw: (random) => table[random.below(size)] as number, largest: table[size - 1] as number };
}

/** Inverse of the standard normal distribution: bisection on the complementary error function's series is too slow only if used often. */
function normalQuantile(p: number): number {
  let low = -9;
  let high = 9;
  while (high - low > 1e-10) {
    const middle = (low + high) / 2;
    if (normalShare(middle) < p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** The normal distribution function (Abramowitz and Stegun 7.1.26; absolute error below 1.5e-7). */
function normalShare(x: number): number {
  const z = Math.abs(x) / Math.SQRT2;
  const t = 1 / (1 + 0.3275911 * z);
  const poly =
    t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const erf = 1 - poly * Math.exp(-z * z);
  return x < 0 ? (1 - erf) / 2 : (1 + erf) / 2;
}
