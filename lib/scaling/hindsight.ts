/**
 * Whether following is worth it: the planner replays the last hours of its own estimates.
 *
 * Work that changes back sooner than replicas can be moved is better met by one split that suits all of it. Nobody can
 * know how long the next spell lasts, but how following would have fared lately is known: over the remembered moments,
 * `followed` is what a planner makes that moves to the best split of a while ago (measuring and starting take time) and
 * pays for each switch; `stayed` is what the best single split makes. The better of the two is what to do.
 */
import { type PerPool, poolNames } from "./observation.js";
import { bestSplit, rateOf, type SplitProblem, withSpare } from "./split.js";

/** What was believed at a moment. */
export interface Remembered {
  atMs: number;
  work: PerPool<number>;
  learnerRate: number;
}

export interface HindsightRules {
  /** Moments are remembered this far apart, and for this long. */
  everyMs: number;
  forMs: number;
}

export const hindsightRules: HindsightRules = { everyMs: 120_000, forMs: 3 * 3_600_000 };
/** By how much staying has to have been better to give up following: noise alone makes it look a little better. */
const reluctance = 0.02;
/** Moments before hindsight says anything: with less, follow. */
const leastMoments = 20;

/** Adds the moment when it is due; true when it was. */
export function rememberMoment(memory: Remembered[], moment: Remembered, rules: HindsightRules): boolean {
  const last = memory.at(-1);
  if (last !== undefined && moment.atMs - last.atMs < rules.everyMs) return false;
  memory.push(moment);
  while (moment.atMs - (memory[0] as Remembered).atMs > rules.forMs) memory.shift();
  return true;
}

export interface Hindsight {
  follow: boolean;
  /** The best single split over the remembered moments. */
  stay: PerPool<number>;
}

export interface ReplayOptions {
  /** Limits and budget of now. */
  problem: SplitProblem;
  hysteresis: number;
  /** Between a change and its answer: measuring and switching. */
  lagMs: number;
  switchMs: number;
  everyMs: number;
  wasFollowing: boolean;
}

/** Null while too little is remembered. */
export function hindsight(memory: readonly Remembered[], options: ReplayOptions): Hindsight | null {
  if (memory.length < leastMoments) return null;
  const { problem, hysteresis, lagMs, switchMs, everyMs, wasFollowing } = options;
  const problems = memory.map(({ work, learnerRate }) => ({ ...problem, work, learnerRate }));
  const bests = problems.map((each) => withSpare(bestSplit(each), each));
  const sumOf = (split: PerPool<number>): number =>
    problems.reduce((sum, each) => sum + rateOf(split, each).rate, 0);
  let stay = bests[0] as PerPool<number>;
  let stayed = Number.NEGATIVE_INFINITY;
  for (const split of distinct(bests)) {
    const sum = sumOf(split);
    if (sum > stayed) [stay, stayed] = [split, sum];
  }
  const lag = Math.max(1, Math.round(lagMs / everyMs));
  let split = bests[0] as PerPool<number>;
  let followed = 0;
  for (const [i, each] of problems.entries()) {
    const seen = problems[Math.max(0, i - lag)] as SplitProblem;
    const best = bests[Math.max(0, i - lag)] as PerPool<number>;
    const rate = rateOf(split, each).rate;
    if (rateOf(best, seen).rate > (1 + hysteresis) * rateOf(split, seen).rate) {
      followed -= (rate * movedShare(split, best, problem) * switchMs) / everyMs;
      split = best;
    }
    followed += rateOf(split, each).rate;
  }
  const better = wasFollowing ? stayed > (1 + reluctance) * followed : stayed > followed;
  return { follow: !better, stay };
}

function movedShare(from: PerPool<number>, to: PerPool<number>, { pools, budgetGpus }: SplitProblem): number {
  const gpus = poolNames.reduce(
    (sum, pool) => sum + Math.max(0, to[pool] - from[pool]) * pools[pool].gpusPerReplica,
    0,
  );
  return gpus / budgetGpus;
}

function distinct(splits: readonly PerPool<number>[]): PerPool<number>[] {
  return [...new Map(splits.map((split) => [poolNames.map((pool) => split[pool]).join(), split])).values()];
}
