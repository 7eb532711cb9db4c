/**
 * The best split of a budget: whole replicas per pool so that the slowest stage is as fast as it can be.
 *
 * A step takes `work` replica-seconds of each pool, so n replicas do n / work steps a second, and the pipeline does what
 * its slowest stage does. The exact optimum is found, not a rounding of the continuous one: with eight GPUs the two
 * differ by a fifth.
 */
import { type PerPool, type PoolName, perPool, poolNames } from "./observation.js";
import type { PoolLimits } from "./settings.js";

export interface SplitProblem {
  budgetGpus: number;
  pools: PerPool<PoolLimits>;
  /** Replica-seconds per step; 0 for a pool that a step does not need. */
  work: PerPool<number>;
  /** Steps per second that the learner can do; Infinity when it is no limit. */
  learnerRate: number;
}

export interface Rate {
  /** Steps per second. */
  rate: number;
  limit: PoolName | "learner";
}

/** Steps per second of a split, and what limits it. */
export function rateOf(replicas: PerPool<number>, { work, learnerRate }: SplitProblem): Rate {
  let slowest: Rate = { rate: learnerRate, limit: "learner" };
  for (const pool of poolNames) {
    if (work[pool] <= 0) continue;
    const rate = replicas[pool] / work[pool];
    if (rate < slowest.rate) slowest = { rate, limit: pool };
  }
  return slowest;
}

/**
 * The split with the highest rate; among equals, the one that takes the fewest GPUs. The budget must hold the
 * minimums. What is left over is not given away: see `withSpare`.
 */
export function bestSplit(problem: SplitProblem): PerPool<number> {
  const { pools, work, learnerRate } = problem;
  // A rate is worth trying where some pool is exactly used: replicas / work. The number of replicas of one pool decides
  // the others', so walking each pool's counts by bisection finds the best.
  let best = perPool((pool) => pools[pool].min);
  let bestRate = rateOf(best, problem).rate;
  const fits = (rate: number): PerPool<number> | null => {
    const need = perPool((pool) => neededFor(rate, work[pool], pools[pool].min));
    const possible = poolNames.every((pool) => need[pool] <= pools[pool].max);
    return possible && gpusOf(need, pools) <= problem.budgetGpus ? need : null;
  };
  const keep = (split: PerPool<number> | null): boolean => {
    if (split === null) return false;
    const { rate } = rateOf(split, problem);
    if (rate > bestRate) [best, bestRate] = [split, rate];
    return true;
  };
  if (Number.isFinite(learnerRate) && keep(fits(learnerRate))) return best;
  for (const pool of poolNames) {
    if (work[pool] <= 0) continue;
    let low = pools[pool].min;
    let high = pools[pool].max;
    if (!keep(fits(low / work[pool]))) continue;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (keep(fits(middle / work[pool]))) low = middle;
      else high = middle - 1;
    }
  }
  return best;
}

/** Replicas that a rate takes; a little less than a whole one more is not taken for more. */
function neededFor(rate: number, work: number, min: number): number {
  return Math.max(min, Math.ceil(rate * work - 1e-9));
}

export function gpusOf(replicas: PerPool<number>, pools: PerPool<PoolLimits>): number {
  return poolNames.reduce((sum, pool) => sum + replicas[pool] * pools[pool].gpusPerReplica, 0);
}

/**
 * The split with what is left of the budget given out: to the stage that is slowest, then the next, while a replica
 * fits. It costs nothing but idle GPUs, and makes the split less wrong when the estimate was.
 */
export function withSpare(split: PerPool<number>, problem: SplitProblem): PerPool<number> {
  const { pools, work, budgetGpus } = problem;
  const filled = { ...split };
  let free = budgetGpus - gpusOf(filled, pools);
  for (;;) {
    const open = poolNames
      .filter((pool) => work[pool] > 0 && filled[pool] < pools[pool].max)
      .filter((pool) => pools[pool].gpusPerReplica <= free)
      .sort((a, b) => filled[a] / work[a] - filled[b] / work[b]);
    const slowest = open[0];
    if (slowest === undefined) return filled;
    filled[slowest]++;
    free -= pools[slowest].gpusPerReplica;
  }
}

/** The split within limits and budget that is nearest to `wanted`: what is too much is taken where it is least missed. */
export function fitted(wanted: PerPool<number>, problem: SplitProblem): PerPool<number> {
  const { pools, work, budgetGpus } = problem;
  const fit = perPool((pool) =>
    Math.min(pools[pool].max, Math.max(pools[pool].min, Math.round(wanted[pool]))),
  );
  while (gpusOf(fit, pools) > budgetGpus) {
    const spare = poolNames
      .filter((pool) => fit[pool] > pools[pool].min)
      // The pool that is fastest after the loss; without any figures, the one that is farthest above its minimum.
      .sort((a, b) => afterLoss(b) - afterLoss(a));
    const victim = spare[0];
    if (victim === undefined) return fit;
    fit[victim]--;
  }
  return fit;

  function afterLoss(pool: PoolName): number {
    const measure = work[pool] > 0 ? work[pool] : Math.max(1, wanted[pool]);
    return (fit[pool] - 1) / measure;
  }
}
