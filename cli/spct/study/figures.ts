/** Means over items with 95 % intervals of a paired bootstrap, overall and per subset. Pure. */
import { bootstrapIntervals } from "../../../lib/evaluation/bootstrap.js";

export interface Estimate {
  /** 0..1; of a difference −1..1. */
  value: number;
  /** 95 %. */
  low: number;
  high: number;
}

export interface Figure {
  overall: Estimate;
  subsets: Record<string, Estimate>;
}

const resamples = 2000;

/**
 * One figure for each column of values per item, all from the same draws. Items are drawn within their subset, so that
 * each keeps its size.
 */
export function estimate<Name extends string>(
  columns: Readonly<Record<Name, Float64Array | null>>,
  subsets: readonly string[],
  seed: number,
): Record<Name, Figure | null> {
  const parts = [null, ...subsetNames(subsets)].map((name) => ({
    name,
    items: Uint32Array.from(
      subsets.flatMap((subset, item) => (name === null || subset === name ? [item] : [])),
    ),
  }));
  const names = Object.keys(columns) as Name[];
  const known = names.flatMap((name) => {
    const values = columns[name];
    return values === null ? [] : parts.map(({ items }) => ({ values, items }));
  });
  const statistics = (weights: ArrayLike<number>): number[] =>
    known.map(({ values, items }) => {
      let sum = 0;
      for (const item of items) sum += (values[item] as number) * (weights[item] as number);
      return sum / items.length;
    });
  const point = statistics(new Uint8Array(subsets.length).fill(1));
  const intervals = bootstrapIntervals(statistics, { strata: subsets, resamples, seed });
  let at = 0;
  const next = (): Estimate => {
    const value = point[at] ?? Number.NaN;
    const { low, high } = intervals[at++] ?? { low: value, high: value };
    return { value, low, high };
  };
  return Object.fromEntries(
    names.map((name): [Name, Figure | null] => {
      if (columns[name] === null) return [name, null];
      const overall = next();
      return [
        name,
        { overall, subsets: Object.fromEntries(parts.slice(1).map((part) => [part.name, next()])) },
      ];
    }),
  ) as Record<Name, Figure | null>;
}

/** Each once, those of fewer items last. */
export function subsetNames(subsets: readonly string[]): string[] {
  const count = (name: string): number => subsets.filter((subset) => subset === name).length;
  return [...new Set(subsets)].toSorted((a, b) => count(b) - count(a));
}

/** Two-sided 95 % quantiles of Student's t, by degrees of freedom from 1. */
const students = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];

/** Mean over seeds with the interval of Student's t; without one where a single seed cannot tell. */
export function overSeeds(values: readonly number[]): {
  value: number;
  low: number | null;
  high: number | null;
} {
  const value = mean(values);
  const t = students[values.length - 2];
  if (t === undefined) return { value, low: null, high: null };
  const variance = values.reduce((sum, each) => sum + (each - value) ** 2, 0) / (values.length - 1);
  const half = t * Math.sqrt(variance / values.length);
  return { value, low: value - half, high: value + half };
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}
