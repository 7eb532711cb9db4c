import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRandom } from "../../lib/core/random.js";
import { type PerPool, perPool, poolNames } from "../../lib/scaling/observation.js";
import { createBatches } from "../../lib/scaling/simulation/batches.js";
import {
  clairvoyant,
  plannerController,
  plannerPools,
  staticSplit,
  trueSplit,
} from "../../lib/scaling/simulation/controllers.js";
import { rankStatic } from "../../lib/scaling/simulation/fluid.js";
import { logNormal } from "../../lib/scaling/simulation/lengths.js";
import { type PipelineModel, tokensPerS, workPerStep } from "../../lib/scaling/simulation/model.js";
import { pipelineOf, scenario } from "../../lib/scaling/simulation/scenarios.js";
import { type Controller, type SimulationResult, simulate } from "../../lib/scaling/simulation/simulate.js";
import { createTimeline, createTournament } from "../../lib/scaling/simulation/timeline.js";
import { gpusOf } from "../../lib/scaling/split.js";

const usual = { responseTokens: 2000, voteTokens: 1000, slowness: perPool(() => 1) };
const eight = (more: Partial<PipelineModel> = {}): PipelineModel => ({
  ...pipelineOf(8, () => usual),
  ...more,
});
const split = { policy: 4, grm: 3, metaRm: 1 };

function run(
  model: PipelineModel,
  hours: number,
  controller: Controller = staticSplit(),
  seed = 1,
): SimulationResult {
  const untilS = hours * 3600;
  return simulate({
    model,
    controller,
    start: split,
    seed,
    steps: Number.POSITIVE_INFINITY,
    untilS,
    sampleEveryS: 600,
  });
}

describe("batches", () => {
  test("share an engine's pace: worked out by hand", () => {
    // One request: 1 + 1·1 = 2 s a token. Two: 3 s a token.
    const batches = createBatches(1, 8, [{ t0S: 1, t1S: 1 }]);
    batches.begin(0, 0, 0);
    batches.add(0, 10, 0, 1, 0);
    batches.reschedule(0);
    expect(batches.nextS()).toBe(20);
    // After 10 s the first has 5 of its 10 tokens. It needs 5 · 3 s more; the second then has 5 left, at 2 s each.
    batches.add(0, 10, 1, 1, 10);
    batches.reschedule(0);
    const ends: [number, number][] = [];
    for (let i = 0; i < 2; i++) {
      const atS = batches.nextS();
      batches.endNext(atS, (job) => ends.push([job, atS]));
    }
    expect(ends).toEqual([
      [0, 25],
      [1, 35],
    ]);
    expect(batches.nextS()).toBe(Number.POSITIVE_INFINITY);
    expect(batches.served[0]).toBeCloseTo(20, 9);
    expect(batches.requestSeconds[0]).toBeCloseTo(25 + 25, 9);
  });

  test("that are cleared give back what is left", () => {
    const batches = createBatches(1, 8, [{ t0S: 1, t1S: 0 }]);
    batches.begin(0, 0, 0);
    batches.add(0, 10, 7, 2, 0);
    expect(batches.clear(0, 4)).toEqual([{ left: 6, job: 7, count: 2 }]);
    expect(batches.running(0)).toBe(0);
  });
});

test("events come in order of time, and of insertion at equal times", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 60 }), (times) => {
      const timeline = createTimeline();
      const ran: [number, number][] = [];
      times.forEach((at, i) => {
        timeline.at(at, () => ran.push([at, i]));
      });
      while (timeline.nextS() < Number.POSITIVE_INFINITY) timeline.runNext();
      expect(ran).toEqual(
        times.map((at, i): [number, number] => [at, i]).sort(([a, i], [b, j]) => a - b || i - j),
      );
    }),
  );
});

test("a tournament knows the earliest of its clocks", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 20 }),
      fc.array(fc.tuple(fc.nat(19), fc.double({ min: 0, noNaN: true })), { maxLength: 50 }),
      (n, sets) => {
        const tournament = createTournament(n);
        const times = new Array<number>(n).fill(Number.POSITIVE_INFINITY);
        for (const [index, at] of sets) {
          times[index % n] = at;
          tournament.set(index % n, at);
          expect(tournament.time(tournament.first())).toBe(Math.min(...times));
        }
      },
    ),
  );
});

test("log-normal factors have mean 1 and the spread that is asked for", () => {
  const random = createRandom(1);
  const factor = logNormal(0.5);
  const logs = Array.from({ length: 100_000 }, () => factor.draw(random));
  const mean = logs.reduce((sum, x) => sum + x, 0) / logs.length;
  const spread = Math.sqrt(logs.reduce((sum, x) => sum + Math.log(x) ** 2, 0) / logs.length - 0.125 ** 2);
  expect(mean).toBeCloseTo(1, 2);
  expect(spread).toBeCloseTo(0.5, 2);
});

describe("the simulated pipeline", () => {
  test("gives the same run for the same seed, and another for another", () => {
    const model = eight({ crashesPerHour: 0.5 });
    expect(run(model, 1)).toEqual(run(model, 1));
    expect(run(model, 1, staticSplit(), 2).events).not.toBe(run(model, 1).events);
  });

  test("loses and invents no group, whatever crashes, goes and is moved about", () => {
    const restless: Controller = {
      everyS: 45,
      tick: ({ nowS }) => ({
        targets: { policy: 2 + (Math.floor(nowS / 45) % 3), grm: 2 + (Math.floor(nowS / 90) % 2), metaRm: 1 },
      }),
    };
    const losses = [{ atS: 900, untilS: 1800, nodes: [1] }];
    for (const controller of [staticSplit(), restless, { ...restless, freeSwitching: true }]) {
      const model = eight({ crashesPerHour: 3, losses, drainS: 20 });
      const { totals, open, steps } = run(model, 1, controller);
      expect(totals.asked).toBe(totals.judged + open);
      expect(totals.trained).toBe(steps * model.groupsPerStep);
      expect(totals.judged).toBeGreaterThanOrEqual(totals.trained);
      // The staleness bound: asked for and not trained on.
      expect(totals.asked - totals.trained).toBeLessThanOrEqual(
        (model.maxStaleness + 1) * model.groupsPerStep,
      );
      // Every judged group had all its responses, votes and scores, once.
      expect(totals.responses % model.groupSize).toBe(0);
      expect(totals.metaScores).toBeGreaterThanOrEqual(totals.judged * 2 * model.k);
      expect(totals.votes).toBeGreaterThanOrEqual(totals.metaScores);
      expect(totals.responses / model.groupSize).toBeGreaterThanOrEqual(totals.judged);
      expect(totals.asked).toBeGreaterThanOrEqual(totals.responses / model.groupSize);
      expect(steps).toBeGreaterThan(3);
    }
  });

  test("never uses more GPUs than there are", () => {
    const greedy: Controller = { everyS: 30, tick: () => ({ targets: { policy: 8, grm: 8, metaRm: 8 } }) };
    const model = eight({ losses: [{ atS: 600, untilS: 1200, nodes: [0, 2] }] });
    const { samples } = run(model, 1, greedy);
    for (const { ready, atS } of samples) {
      const up = atS > 600 && atS < 1200 ? 4 : 8;
      expect(gpusOf(ready, plannerPools(model))).toBeLessThanOrEqual(up);
    }
  });

  test("makes what a saturated pool makes in closed form", () => {
    // Requests come one by one, so that no slot waits for company, and all are of one length. Judging is no limit.
    const engine = { t0S: 0.01, t1S: 0.001, slots: 8, gpusPerReplica: 1 };
    const fast = { t0S: 1e-6, t1S: 0, slots: 64, gpusPerReplica: 1 };
    const model = eight({
      engines: { policy: engine, grm: fast, metaRm: fast },
      groupSize: 1,
      panelSize: 1,
      groupsPerStep: 32,
      k: 1,
      sigma: { query: 0, response: 0, vote: 0 },
      promptTokens: 0,
      crashesPerHour: 0,
      learner: { baseS: 0.01, tokensPerS: 1e12 },
    });
    const perStepS = (32 * usual.responseTokens) / (split.policy * tokensPerS(engine, 8));
    expect(run(model, 2).stepsPerHour / (3600 / perStepS)).toBeCloseTo(1, 2);
  });

  test("obeys Little's law in its policy pool", () => {
    const model = eight({ sigma: { query: 0, response: 0, vote: 0 }, crashesPerHour: 0, promptTokens: 0 });
    const { totals, samples, seconds } = run(model, 4);
    const inBatches =
      (samples.reduce((sum, { utilisation }) => sum + utilisation.policy, 0) / samples.length) *
      64 *
      split.policy;
    // A response of n tokens is n steps of its batch long; the step follows from how many run beside it.
    const { t0S, t1S } = model.engines.policy;
    const timeS = usual.responseTokens * (t0S + (t1S * inBatches) / split.policy);
    expect(((totals.responses / seconds) * timeS) / inBatches).toBeCloseTo(1, 1);
  });

  test("serves the work that its formula says", () => {
    const model = eight({ crashesPerHour: 0 });
    const { totals, steps } = run(model, 4);
    const expected = workPerStep(model, usual, model.k);
    poolNames.forEach((pool, p) => {
      expect((totals.cost[p] as number) / steps / expected[pool].cost).toBeCloseTo(1, 1);
      expect((totals.counted[p] as number) / steps / expected[pool].counted).toBeCloseTo(1, 1);
    });
  });

  test("a learner that is slow is what everything waits for", () => {
    const model = eight({ learner: { baseS: 120, tokensPerS: 1e12 }, crashesPerHour: 0 });
    expect(run(model, 4).stepsPerHour).toBeCloseTo(30, 0);
  });
});

describe("the clairvoyant", () => {
  test("is as fast as the best static split where nothing drifts", () => {
    const { model, steps } = scenario("steady", { gpus: 8, seed: 1, hours: 3 });
    const best = rankStatic(model, steps, 3 * 3600)[0]?.split as PerPool<number>;
    const options = { model, seed: 1, steps, untilS: 1e6 };
    const still = simulate({ ...options, controller: staticSplit(), start: best });
    const free = simulate({ ...options, controller: clairvoyant(), start: best });
    expect(free.stepsPerHour / still.stepsPerHour).toBeGreaterThan(0.98);
    expect(free.changes.length).toBe(0);
  });

  test("follows what changes at once", () => {
    const { model, steps } = scenario("slow-grm", { gpus: 8, seed: 1, hours: 4 });
    const start = trueSplit(model, usual, 8, model.k);
    const { samples } = simulate({
      model,
      controller: clairvoyant(),
      start,
      seed: 1,
      steps,
      untilS: 1e6,
      sampleEveryS: 60,
    });
    expect(samples[58]?.ready).toEqual({ policy: 4, grm: 3, metaRm: 1 });
    expect(samples[62]?.ready).toEqual({ policy: 3, grm: 4, metaRm: 1 });
  });
});

describe("the planner in the simulator", () => {
  const ours = (
    name: "steady" | "slow-grm" | "growing",
    hours: number,
  ): { share: number; result: SimulationResult } => {
    const { model, steps } = scenario(name, { gpus: 8, seed: 7, hours });
    const k = { min: model.k, max: model.k, preferred: model.k };
    const options = { model, seed: 7, steps, untilS: 1e6 };
    const start = { policy: 3, grm: 3, metaRm: 1 };
    const planned = plannerController({ pools: plannerPools(model), k });
    const result = simulate({ ...options, controller: planned, start, sampleEveryS: 600 });
    const truth = model.drift({ atS: 0, step: 0 });
    const oracle = simulate({
      ...options,
      controller: clairvoyant(),
      start: trueSplit(model, truth, 8, model.k),
    });
    return { share: result.stepsPerHour / oracle.stepsPerHour, result };
  };

  test("comes near the clairvoyant when the GRM becomes slow, and when responses grow", () => {
    expect(ours("slow-grm", 8).share).toBeGreaterThan(0.93);
    const growing = ours("growing", 8);
    expect(growing.share).toBeGreaterThan(0.93);
    const last = growing.result.samples.at(-1)?.replicas as PerPool<number>;
    expect(last.policy).toBeGreaterThan(growing.result.samples[0]?.replicas.policy as number);
  });

  test("leaves a steady pipeline alone", () => {
    const { share, result } = ours("steady", 8);
    expect(share).toBeGreaterThan(0.95);
    const late = result.changes
      .filter(({ atS }) => atS > 3600)
      .reduce((sum, { replicas }) => sum + replicas, 0);
    expect((late * 600) / (result.seconds - 3600)).toBeLessThanOrEqual(1);
  });
});
