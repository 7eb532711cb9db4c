import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CovoteError } from "../../lib/core/errors.js";
import type { Decision } from "../../lib/scaling/decision.js";
import { type Observation, type PerPool, perPool, poolNames } from "../../lib/scaling/observation.js";
import { createPlanner, type Planner, type PlannerState } from "../../lib/scaling/planner.js";
import type { PlannerOptions } from "../../lib/scaling/settings.js";
import { gpusOf } from "../../lib/scaling/split.js";
import { observe, paper, paperSettings } from "../support/scaling.js";

const minute = 60_000;
const even = { policy: 16, grm: 15, metaRm: 1 };
/** What 32 GPUs should be for the pipeline on paper: 30, 50 and 2 replica-seconds a step. */
const ideal = { policy: 12, grm: 19, metaRm: 1 };

/** A planner that has seen enough to act, and not acted yet: three observations of `seen` before time 0. */
function warmed(options: PlannerOptions, seen: (nowMs: number) => Observation): Planner {
  const planner = createPlanner(options);
  for (const atMs of [-90_000, -60_000, -30_000]) {
    expect(planner.decide(seen(atMs))).toMatchObject({
      reason: "held",
      blockedBy: "warming_up",
      moved: false,
    });
  }
  return planner;
}

/** Follows the planner's word at once, every half minute. */
function follow(
  options: PlannerOptions,
  times: number,
  observation: (nowMs: number, replicas: PerPool<number>) => Observation,
  start: PerPool<number> = even,
): Decision[] {
  const planner = warmed(options, (atMs) => observation(atMs, start));
  const decisions: Decision[] = [];
  let replicas = start;
  for (let i = 0; i < times; i++) {
    const decision = planner.decide(observation(i * 30_000, replicas));
    decisions.push(decision);
    replicas = decision.targets;
  }
  return decisions;
}

describe("a planner with perfect measurements", () => {
  test("finds the best split and stays there", () => {
    const decisions = follow(paperSettings(), 40, observe);
    expect(decisions.at(-1)?.targets).toEqual(ideal);
    expect(decisions.slice(-20).some(({ moved }) => moved)).toBe(false);
    expect(decisions.at(-1)).toMatchObject({ reason: "balanced", estimate: { now: { limit: "grm" } } });
  });

  test("moves at most the share of the budget that is allowed", () => {
    const start = { policy: 30, grm: 1, metaRm: 1 };
    const decisions = follow(paperSettings({ maxChange: 0.125 }), 60, observe, start);
    let before: PerPool<number> = start;
    for (const { targets } of decisions) {
      const grown = poolNames.reduce((sum, pool) => sum + Math.max(0, targets[pool] - before[pool]), 0);
      expect(grown).toBeLessThanOrEqual(4);
      before = targets;
    }
    expect(before).toEqual(ideal);
  });

  test("leaves a split alone whose gain is within the hysteresis", () => {
    // The best split does 19/50 a second; this one does 10/30, twelve percent less.
    const near = { policy: 10, grm: 20, metaRm: 2 };
    const eager = follow(paperSettings({ hysteresis: 0.05 }), 10, observe, near);
    expect(eager.at(-1)?.targets).toEqual(ideal);
    const calm = follow(paperSettings({ hysteresis: 0.15 }), 10, observe, near);
    expect(calm.every(({ moved }) => !moved)).toBe(true);
    expect(calm.at(-1)).toMatchObject({ reason: "balanced", blockedBy: "hysteresis" });
    expect(calm.at(-1)?.estimate?.gain).toBeCloseTo(0.14, 6);
  });

  test("does not move what would not pay for the switch within the horizon", () => {
    const slow = follow(paperSettings({ switchMs: 20 * minute, horizonMs: 20 * minute }), 5, observe);
    expect(slow.at(-1)).toMatchObject({ moved: false, reason: "blocked", blockedBy: "switch_cost" });
  });

  test("learns what a switch takes from the starts it sees", () => {
    const planner = createPlanner(paperSettings({ switchMs: minute }));
    const starting = observe(0, even);
    starting.pools.grm.startsMs = [10 * minute, 20 * minute, Number.NaN];
    expect(planner.decide(starting).inputs.switchMs).toBe(15 * minute);
  });

  test("waits for the cool-down between two changes of a pool", () => {
    const options = paperSettings({
      cooldownUpMs: 10 * minute,
      cooldownDownMs: 10 * minute,
      maxChange: 0.05,
    });
    const decisions = follow(options, 60, observe);
    const moves = decisions.filter(({ moved }) => moved).map(({ atMs }) => atMs);
    expect(moves.length).toBeGreaterThan(1);
    moves
      .slice(1)
      .forEach((at, i) => void expect(at - (moves[i] as number)).toBeGreaterThanOrEqual(10 * minute));
    expect(decisions[1]).toMatchObject({ reason: "blocked", blockedBy: "cooldown" });
  });

  test("does not take back what still gets ready, but waits not for ever", () => {
    const options = paperSettings({ cooldownUpMs: 0, cooldownDownMs: 0 });
    const planner = warmed(options, (at) => observe(at, even));
    const first = planner.decide(observe(0, even));
    expect(first.reason).toBe("rebalanced");
    // The work turns round while the GRM's new replicas still start: they are not taken away again.
    const pending = (nowMs: number): Observation => {
      const seen = observe(nowMs, first.targets, { ...paper, work: { policy: 60, grm: 28, metaRm: 2 } });
      seen.pools.grm.ready = even.grm;
      return seen;
    };
    for (let at = 10 * minute; at <= 15 * minute; at += 30_000) {
      expect(planner.decide(pending(at))).toMatchObject({
        reason: "blocked",
        blockedBy: "transition",
        detail: "grm",
      });
    }
    expect(planner.decide(pending(15 * minute + 30_000)).reason).toBe("rebalanced");
  });

  test("says that the learner is the limit instead of moving replicas", () => {
    const slow = { ...paper, learnerStepMs: 60_000 };
    const decisions = follow(paperSettings(), 5, (at, replicas) => observe(at, replicas, slow));
    expect(decisions.at(-1)).toMatchObject({ moved: false, reason: "learner_bound" });
  });

  test("follows work that shifts", () => {
    const later = { ...paper, work: { policy: 60, grm: 28, metaRm: 2 } };
    const decisions = follow(paperSettings(), 80, (at, replicas) =>
      observe(at, replicas, at < 15 * minute ? paper : later),
    );
    expect(decisions[29]?.targets).toEqual(ideal);
    expect(decisions.at(-1)?.targets).toEqual({ policy: 21, grm: 10, metaRm: 1 });
  });

  test("uses GPUs that come back, and gives up those that go", () => {
    const lost = (at: number): number => (at >= 20 * minute && at < 40 * minute ? 24 : 32);
    const decisions = follow(paperSettings(), 120, (at, replicas) =>
      observe(at, replicas, { ...paper, budgetGpus: lost(at) }),
    );
    expect(decisions[39]?.targets).toEqual(ideal);
    expect(decisions[40]).toMatchObject({ reason: "fitted", moved: true });
    for (const { targets, atMs } of decisions) {
      expect(gpusOf(targets, paperSettings().pools)).toBeLessThanOrEqual(lost(atMs));
    }
    expect(decisions.at(-1)?.targets).toEqual(ideal);
  });
});

describe("a planner that cannot see", () => {
  const blinded: [string, string, (seen: Observation) => unknown][] = [
    ["a speed is missing", "metrics_stale", (seen) => Object.assign(seen.pools.grm, { tokensPerS: null })],
    [
      "a speed is NaN",
      "metrics_stale",
      (seen) => Object.assign(seen.pools.policy, { tokensPerS: Number.NaN }),
    ],
    [
      "a counter was reset",
      "metrics_stale",
      (seen) => Object.assign(seen.pools.policy, { tokensPerS: -4000 }),
    ],
    ["measurements are old", "metrics_stale", (seen) => Object.assign(seen.work, { ageMs: 10 * minute })],
    ["lengths are gone", "metrics_stale", (seen) => Object.assign(seen.work, { tokensPerVote: null })],
    [
      "everything is null",
      "metrics_stale",
      (seen) => {
        for (const pool of poolNames)
          Object.assign(seen.pools[pool], { tokensPerS: null, utilisation: null, ageMs: null });
        for (const field of Object.keys(seen.work))
          (seen.work as unknown as Record<string, null>)[field] = null;
      },
    ],
  ];

  test.each(blinded)("holds the last safe state when %s", (_, block, spoil) => {
    const planner = warmed(paperSettings(), (at) => observe(at, even));
    const before = planner.decide(observe(0, even)).targets;
    for (let at = minute; at <= 30 * minute; at += minute) {
      // The world changes, but nobody can see it.
      const seen = observe(at, before, { ...paper, work: { policy: 100, grm: 10, metaRm: 2 } });
      spoil(seen);
      const decision = planner.decide(seen);
      if (at > 5 * minute) {
        expect(decision).toMatchObject({ moved: false, reason: "held", blockedBy: block, targets: before });
      }
    }
  });

  test("holds when nothing was ever measured, and names what is missing", () => {
    const blind = observe(0, even);
    blind.pools.grm.tokensPerS = null;
    const decision = createPlanner(paperSettings()).decide(blind);
    expect(decision).toMatchObject({ targets: even, reason: "held", blockedBy: "metrics_missing" });
    expect(decision.detail).toBe("grm.tokensPerS");
  });

  test("does not believe a leap until it stays", () => {
    const planner = warmed(paperSettings(), (at) => observe(at, ideal));
    planner.decide(observe(0, ideal));
    const leap = (at: number): Observation =>
      observe(at, ideal, { ...paper, work: { ...paper.work, policy: 600 } });
    expect(planner.decide(leap(30_000))).toMatchObject({
      reason: "held",
      blockedBy: "metrics_jumped",
      moved: false,
    });
    expect(planner.decide(observe(60_000, ideal))).toMatchObject({ reason: "balanced", moved: false });
    for (const at of [90_000, 120_000]) expect(planner.decide(leap(at)).blockedBy).toBe("metrics_jumped");
    expect(planner.decide(leap(150_000))).toMatchObject({ blockedBy: "warming_up", moved: false });
    expect(planner.decide(leap(180_000))).toMatchObject({ reason: "rebalanced", moved: true });
  });

  test("shrinks to a smaller budget all the same", () => {
    const planner = createPlanner(paperSettings());
    const blind = observe(0, even, { ...paper, budgetGpus: 10 });
    blind.pools.grm.tokensPerS = null;
    const decision = planner.decide(blind);
    expect(decision.reason).toBe("fitted");
    expect(gpusOf(decision.targets, paperSettings().pools)).toBe(10);
  });

  test("keeps the last budget when it cannot be read, and moves nothing before it was", () => {
    const planner = warmed(paperSettings(), (at) => ({ ...observe(at, even), budgetGpus: null }));
    expect(planner.decide({ ...observe(0, even), budgetGpus: null })).toMatchObject({
      reason: "held",
      detail: "budgetGpus",
    });
    planner.decide(observe(minute, even));
    const decision = planner.decide({ ...observe(2 * minute, ideal), budgetGpus: Number.NaN });
    expect(decision.inputs.budgetGpus).toBe(32);
  });

  test("refuses a budget that does not hold the minimums, by name and with the fix", () => {
    const options = paperSettings({
      pools: perPool((pool) => ({ min: pool === "grm" ? 4 : 1, max: 8, gpusPerReplica: 2 })),
    });
    const planner = createPlanner(options);
    const attempt = (): Decision =>
      planner.decide({ ...observe(0, { policy: 1, grm: 4, metaRm: 1 }), budgetGpus: 10 });
    expect(attempt).toThrow(CovoteError);
    expect(attempt).toThrow(
      "budgetGpus: 10 GPUs are fewer than the minimums take (policy 1 × 2 + grm 4 × 2 + metaRm 1 × 2 = 12); raise the budget or lower pools.*.min",
    );
  });
});

describe("settings", () => {
  test.each([
    [{ k: { min: 8, max: 4, preferred: 8 } }, "k.max: must be a whole number from 8 to 1024, got 4"],
    [{ k: { min: 1, max: 4, preferred: 8 } }, "k.preferred: must be a whole number from 1 to 4, got 8"],
    [{ hysteresis: Number.NaN }, "hysteresis: must be a number from 0 to 1, got NaN"],
    [{ cooldownUpMs: -1 }, "cooldownUpMs: must be a number from 0 to 86400000, got -1"],
    [
      { pools: perPool(() => ({ min: 0, max: 4, gpusPerReplica: 1 })) },
      "pools.policy.min: must be at least 1, or max 0 for a pool that is not there",
    ],
    [
      { pools: perPool(() => ({ min: 0, max: 0, gpusPerReplica: 1 })) },
      "pools.policy.min: must be at least 1: nothing runs without it",
    ],
  ])("%j is refused by name", (more, message) => {
    expect(() => createPlanner(paperSettings(more as Partial<PlannerOptions>))).toThrow(message);
  });

  test("a cluster without a meta RM is planned for two pools", () => {
    const pools = perPool((pool) => ({
      min: pool === "metaRm" ? 0 : 1,
      max: pool === "metaRm" ? 0 : 64,
      gpusPerReplica: 1,
    }));
    const two = (at: number, replicas: PerPool<number>): Observation => {
      const seen = observe(at, replicas);
      seen.work.metaScoresPerVote = null;
      seen.work.tokensPerMetaScore = null;
      Object.assign(seen.pools.metaRm, { tokensPerS: null, utilisation: null });
      return seen;
    };
    const decisions = follow({ ...paperSettings(), pools }, 20, two, { policy: 16, grm: 16, metaRm: 0 });
    expect(decisions.at(-1)?.targets).toEqual({ policy: 12, grm: 20, metaRm: 0 });
  });
});

describe("votes per panel", () => {
  const k = { min: 4, max: 16, preferred: 8 };

  test("become fewer while judging is what everything waits for, and more while the GRM idles", () => {
    // A switch that never pays holds the replicas still, so k is all that can move.
    const still = paperSettings({ k, hysteresis: 1 });
    let now = 8;
    const settle = (grm: number): Decision => {
      const planner = createPlanner(still);
      for (const at of [-90_000, -60_000, -30_000])
        planner.decide(observe(at, { policy: 12, grm, metaRm: 4 }));
      let last: Decision | undefined;
      now = 8;
      for (let at = 0; at < 20; at++) {
        const replicas = { policy: 12, grm, metaRm: 4 };
        last = planner.decide(observe(at * 30_000, replicas, { ...paper, k: now }));
        now = last.k;
      }
      return last as Decision;
    };
    // Policy does 12/30 a second; judging 1/50 per replica at 8 votes, so 20 replicas are even.
    expect(settle(20)).toMatchObject({ k: 8, voteReason: "preferred" });
    expect(settle(15)).toMatchObject({ k: 6, voteReason: "judging_limits" });
    expect(settle(5)).toMatchObject({ k: 4, voteReason: "judging_limits" });
    expect(settle(26).voteReason).toBe("grm_idle");
    expect(now).toBe(10);
  });

  test("stay when nothing is known", () => {
    const blind = observe(0, even, { ...paper, k: 6 });
    blind.work.tokensPerVote = null;
    expect(createPlanner(paperSettings({ k })).decide(blind)).toMatchObject({ k: 6, voteReason: "held" });
  });
});

describe("whatever it is told, a planner", () => {
  const figure = fc.oneof(
    { weight: 6, arbitrary: fc.double({ min: 0.01, max: 1e6, noNaN: true }) },
    { weight: 1, arbitrary: fc.constantFrom(null, 0, -1, Number.NaN, Number.POSITIVE_INFINITY, 1e300) },
  );
  const counts = fc.integer({ min: 0, max: 70 });
  const pool = fc.record({
    replicas: fc.oneof({ weight: 9, arbitrary: counts }, { weight: 1, arbitrary: fc.constant(Number.NaN) }),
    ready: counts,
    tokensPerS: figure,
    utilisation: fc.oneof(fc.double({ min: 0, max: 1, noNaN: true }), figure),
    backlog: fc.option(fc.record({ items: counts, tokens: counts })),
    ageMs: fc.oneof(fc.integer({ min: 0, max: 100_000 }), figure),
    startsMs: fc.array(fc.double(), { maxLength: 2 }),
  });
  const observation = fc.record({
    stepMs: fc.integer({ min: 1, max: 120_000 }),
    budgetGpus: fc.oneof(fc.integer({ min: 5, max: 64 }), fc.constant(null)),
    k: fc.integer({ min: 1, max: 32 }),
    pools: fc.record({ policy: pool, grm: pool, metaRm: pool }),
    work: fc.record({
      responsesPerStep: figure,
      tokensPerResponse: figure,
      votesPerResponse: figure,
      tokensPerVote: figure,
      metaScoresPerVote: figure,
      tokensPerMetaScore: figure,
      ageMs: fc.oneof(fc.constant(0), figure),
    }),
    learner: fc.record({ stepMs: figure, waiting: figure }),
  });
  const options: PlannerOptions = {
    pools: {
      policy: { min: 1, max: 30, gpusPerReplica: 2 },
      grm: { min: 1, max: 30, gpusPerReplica: 2 },
      metaRm: { min: 1, max: 10, gpusPerReplica: 1 },
    },
    k: { min: 2, max: 16, preferred: 8 },
  };
  const histories = fc.array(observation, { minLength: 1, maxLength: 25 });

  const replay = (history: readonly { stepMs: number }[], restartAt = -1): Decision[] => {
    let planner = createPlanner(options);
    let nowMs = 0;
    return history.map(({ stepMs, ...seen }, i) => {
      nowMs += stepMs;
      if (i === restartAt) {
        const saved = JSON.parse(JSON.stringify(planner.state())) as PlannerState;
        planner = createPlanner(options, saved);
      }
      return planner.decide({ nowMs, ...seen } as unknown as Observation);
    });
  };

  test("stays within minimums, maximums, budget and bounds of k", () => {
    fc.assert(
      fc.property(histories, (history) => {
        let budget: number | null = null;
        for (const [i, decision] of replay(history).entries()) {
          budget = history[i]?.budgetGpus ?? budget;
          for (const name of poolNames) {
            expect(decision.targets[name]).toBeGreaterThanOrEqual(options.pools[name].min);
            expect(decision.targets[name]).toBeLessThanOrEqual(options.pools[name].max);
            expect(Number.isInteger(decision.targets[name])).toBe(true);
          }
          if (budget !== null) expect(gpusOf(decision.targets, options.pools)).toBeLessThanOrEqual(budget);
          expect(decision.k).toBeGreaterThanOrEqual(2);
          expect(decision.k).toBeLessThanOrEqual(16);
          expect(decision.blockedBy !== null).toBe(
            ["blocked", "held"].includes(decision.reason) || decision.blockedBy === "hysteresis",
          );
        }
      }),
      { numRuns: 300 },
    );
  });

  test("decides the same again, also when a successor takes over in between", () => {
    fc.assert(
      fc.property(histories, fc.nat(24), (history, restartAt) => {
        const first = replay(history);
        expect(replay(history)).toEqual(first);
        expect(replay(history, restartAt)).toEqual(first);
      }),
    );
  });
});
