import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type PerPool, perPool, poolNames } from "../../lib/scaling/observation.js";
import { bestSplit, fitted, gpusOf, rateOf, type SplitProblem, withSpare } from "../../lib/scaling/split.js";

const problems = fc.record({
  spare: fc.integer({ min: 0, max: 14 }),
  gpus: fc.tuple(
    fc.integer({ min: 1, max: 3 }),
    fc.integer({ min: 1, max: 3 }),
    fc.integer({ min: 1, max: 2 }),
  ),
  work: fc.tuple(
    fc.integer({ min: 1, max: 60 }),
    fc.integer({ min: 1, max: 60 }),
    fc.integer({ min: 0, max: 9 }),
  ),
  max: fc.integer({ min: 1, max: 12 }),
  learner: fc.option(fc.double({ min: 0.01, max: 2, noNaN: true }), { nil: Number.POSITIVE_INFINITY }),
});

function problemOf({
  spare,
  gpus,
  work,
  max,
  learner,
}: typeof problems extends fc.Arbitrary<infer T> ? T : never) {
  const pools = perPool((pool) => ({ min: 1, max, gpusPerReplica: gpus[poolNames.indexOf(pool)] as number }));
  const problem: SplitProblem = {
    pools,
    work: perPool((pool) => work[poolNames.indexOf(pool)] as number),
    learnerRate: learner,
    budgetGpus: gpusOf({ policy: 1, grm: 1, metaRm: 1 }, pools) + spare,
  };
  return problem;
}

/** Every split within limits and budget. */
function* splits({ pools, budgetGpus }: SplitProblem): Generator<PerPool<number>> {
  for (let policy = pools.policy.min; policy <= pools.policy.max; policy++)
    for (let grm = pools.grm.min; grm <= pools.grm.max; grm++)
      for (let metaRm = pools.metaRm.min; metaRm <= pools.metaRm.max; metaRm++)
        if (gpusOf({ policy, grm, metaRm }, pools) <= budgetGpus) yield { policy, grm, metaRm };
}

describe("the best split", () => {
  test("is as fast as the fastest of all splits", () => {
    fc.assert(
      fc.property(problems.map(problemOf), (problem) => {
        const fastest = Math.max(...[...splits(problem)].map((split) => rateOf(split, problem).rate));
        const best = bestSplit(problem);
        expect(rateOf(best, problem).rate).toBeCloseTo(fastest, 9);
        expect(gpusOf(best, problem.pools)).toBeLessThanOrEqual(problem.budgetGpus);
      }),
      { numRuns: 300 },
    );
  });

  test("of eight GPUs is not the rounded continuous one", () => {
    // By shares of work policy would get 4.4 of 7 and grm 2.6: rounded 4 and 3, which is 4/22 a second; so is the best.
    const pools = perPool(() => ({ min: 1, max: 8, gpusPerReplica: 1 }));
    const problem = { budgetGpus: 8, pools, work: { policy: 22, grm: 13, metaRm: 1 }, learnerRate: Infinity };
    expect(bestSplit(problem)).toEqual({ policy: 4, grm: 3, metaRm: 1 });
    // 3.5 and 3.5: any rounding gives one pool 4 and the other 3.
    const even = { ...problem, work: { policy: 20, grm: 20, metaRm: 1 } };
    expect(rateOf(bestSplit(even), even).rate).toBeCloseTo(3 / 20, 12);
  });

  test("needs no more than the learner can take", () => {
    const pools = perPool(() => ({ min: 1, max: 64, gpusPerReplica: 1 }));
    const problem = { budgetGpus: 64, pools, work: { policy: 20, grm: 20, metaRm: 2 }, learnerRate: 0.5 };
    expect(bestSplit(problem)).toEqual({ policy: 10, grm: 10, metaRm: 1 });
  });
});

describe("a split with what is left over", () => {
  test("stays within budget and limits, and is never slower", () => {
    fc.assert(
      fc.property(problems.map(problemOf), (problem) => {
        const best = bestSplit(problem);
        const filled = withSpare(best, problem);
        expect(gpusOf(filled, problem.pools)).toBeLessThanOrEqual(problem.budgetGpus);
        for (const pool of poolNames) {
          expect(filled[pool]).toBeGreaterThanOrEqual(best[pool]);
          expect(filled[pool]).toBeLessThanOrEqual(problem.pools[pool].max);
        }
        expect(rateOf(filled, problem).rate).toBeGreaterThanOrEqual(rateOf(best, problem).rate);
      }),
    );
  });
});

describe("fitting", () => {
  test("keeps minimums, maximums and the budget, and leaves alone what fits", () => {
    const counts = fc.integer({ min: 0, max: 40 });
    fc.assert(
      fc.property(problems.map(problemOf), fc.tuple(counts, counts, counts), (problem, wanted) => {
        const asked = perPool((pool) => wanted[poolNames.indexOf(pool)] as number);
        const fit = fitted(asked, problem);
        expect(gpusOf(fit, problem.pools)).toBeLessThanOrEqual(problem.budgetGpus);
        for (const pool of poolNames) {
          expect(fit[pool]).toBeGreaterThanOrEqual(problem.pools[pool].min);
          expect(fit[pool]).toBeLessThanOrEqual(problem.pools[pool].max);
        }
        expect(fitted(fit, problem)).toEqual(fit);
      }),
    );
  });

  test("takes replicas from the pool that is fastest without them", () => {
    const pools = perPool(() => ({ min: 1, max: 64, gpusPerReplica: 1 }));
    const problem = {
      budgetGpus: 21,
      pools,
      work: { policy: 10, grm: 10, metaRm: 1 },
      learnerRate: Infinity,
    };
    expect(fitted({ policy: 20, grm: 10, metaRm: 1 }, problem)).toEqual({ policy: 10, grm: 10, metaRm: 1 });
  });
});
