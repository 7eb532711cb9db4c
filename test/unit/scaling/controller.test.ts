import { expect, test } from "vitest";
import type { Bus } from "../../../lib/bus/bus.js";
import { createManualClock } from "../../../lib/core/clock.js";
import { CovoteError } from "../../../lib/core/errors.js";
import { createMetrics } from "../../../lib/host/metrics.js";
import { createLoadBook } from "../../../lib/runtime/load-book.js";
import { perPool } from "../../../lib/scaling/observation.js";
import type { Actuator, Leadership, PoolState } from "../../../services/co-scaler/actuator.js";
import { createController } from "../../../services/co-scaler/controller.js";
import { type Memory, type MemoryStore, nothing } from "../../../services/co-scaler/memory.js";
import { coScalerMetrics } from "../../../services/co-scaler/metrics.js";
import { createStartWatch } from "../../../services/co-scaler/starts.js";
import { nextSteps } from "../../../services/co-scaler/steps.js";
import { idle, loadReport } from "../../support/load-reports.js";
import { recordingLogger } from "../../support/recording-logger.js";

const state = (wanted: number, present = wanted, ready = Math.min(wanted, present)): PoolState => ({
  ...{ wanted, present, ready },
});

test("pools shrink first, and grow by what is free by then", () => {
  const ones = perPool(() => 1);
  const states = { policy: state(4), grm: state(3), metaRm: state(1) };
  const goal = { policy: 2, grm: 5, metaRm: 1 };
  // Eight GPUs, all held: nothing may grow yet.
  const first = nextSteps(states, goal, ones, 8);
  expect(first.changes).toEqual([{ pool: "policy", from: 4, to: 2 }]);
  expect(first.waits).toEqual([{ pool: "grm", from: 3, to: 5 }]);
  // One of the two has gone, the other still drains.
  const second = nextSteps({ ...states, policy: state(2, 3) }, goal, ones, 8);
  expect(second.changes).toEqual([{ pool: "grm", from: 3, to: 4 }]);
  const third = nextSteps({ ...states, policy: state(2), grm: state(4, 4, 3) }, goal, ones, 8);
  expect(third).toEqual({ changes: [{ pool: "grm", from: 4, to: 5 }], waits: [] });
});

test("replicas of several GPUs wait until enough of them are free", () => {
  const gpus = { policy: 1, grm: 2, metaRm: 1 };
  const states = { policy: state(2, 3), grm: state(1), metaRm: state(1) };
  const goal = { policy: 2, grm: 2, metaRm: 1 };
  expect(nextSteps(states, goal, gpus, 7).changes).toEqual([]);
  expect(nextSteps({ ...states, policy: state(2) }, goal, gpus, 7).changes).toEqual([
    { pool: "grm", from: 1, to: 2 },
  ]);
});

test("starts are timed from what was asked for to what is ready", () => {
  const watch = createStartWatch();
  const at = (grm: PoolState, nowMs: number) =>
    watch.look({ policy: state(1), grm, metaRm: state(1) }, nowMs).grm;
  expect(at(state(1), 0)).toEqual([]);
  expect(at(state(3, 3, 1), 1000)).toEqual([]);
  expect(at(state(3, 3, 2), 61_000)).toEqual([60_000]);
  expect(at(state(3, 3, 3), 91_000)).toEqual([90_000]);
  // A restart is no start.
  expect(at(state(3, 3, 2), 100_000)).toEqual([]);
  expect(at(state(3, 3, 3), 110_000)).toEqual([]);
});

/** Pools that do at once what they are told; those that shrink drain until `gone`. */
function fakePools(sizes: { policy: number; grm: number; metaRm: number }) {
  const states = perPool((pool) => state(sizes[pool]));
  const applied: string[] = [];
  let most = 0;
  let failing: CovoteError | null = null;
  const count = (): void => {
    const held = Object.values(states).reduce(
      (sum, { present, wanted }) => sum + Math.max(present, wanted),
      0,
    );
    most = Math.max(most, held);
  };
  const actuator: Actuator = {
    name: "kubernetes",
    read: async () => {
      if (failing !== null) throw failing;
      return structuredClone(states);
    },
    apply: async ({ pool, from, to }) => {
      if (failing !== null) throw failing;
      applied.push(`${pool} ${from}→${to}`);
      const { present } = states[pool];
      states[pool] = { wanted: to, present: Math.max(present, to), ready: Math.min(states[pool].ready, to) };
      count();
    },
    close: () => Promise.resolve(),
  };
  return {
    actuator,
    applied,
    states,
    most: () => most,
    fail: (error: CovoteError | null): void => {
      failing = error;
    },
    /** What drains is gone, what starts is ready. */
    settle: (): void => {
      for (const [pool, { wanted }] of Object.entries(states)) states[pool as "grm"] = state(wanted);
    },
  };
}

/** Where co-scalers remember; `write` is what NATS would refuse. */
function sharedMemory() {
  let kept: Memory | null = null;
  let revision = 0;
  let away = false;
  const open = (): MemoryStore => {
    let seen = 0;
    const check = (): void => {
      if (away) throw new CovoteError("unavailable", "NATS is away");
    };
    return {
      recall: async () => {
        check();
        seen = revision;
        return structuredClone(kept ?? nothing);
      },
      keep: async (memory) => {
        check();
        if (seen !== revision) throw new CovoteError("failed_precondition", "another co-scaler decides, too");
        kept = JSON.parse(JSON.stringify(memory)) as Memory;
        seen = ++revision;
      },
    };
  };
  return {
    open,
    kept: () => kept,
    setAway: (is: boolean): void => {
      away = is;
    },
  };
}

function openScaler(parts: {
  pools: ReturnType<typeof fakePools>;
  memory: ReturnType<typeof sharedMemory>;
  leader?: { holds: boolean; problem?: string };
  dryRun?: boolean;
  clock?: ReturnType<typeof createManualClock>;
}) {
  const { pools, memory, clock = createManualClock(1_000_000) } = parts;
  const leader: { holds: boolean; problem?: string } = parts.leader ?? { holds: true };
  const book = createLoadBook();
  const log = recordingLogger();
  const told: unknown[] = [];
  const votes: number[] = [];
  const leadership: Leadership = {
    holds: () => leader.holds,
    problem: () => leader.problem ?? null,
    stop: async () => undefined,
  };
  const controller = createController(
    {
      bus: { queueStatus: async () => [] } as unknown as Bus,
      ...{ clock, log, book, leadership },
      actuator: pools.actuator,
      memory: memory.open(),
      telling: { tell: async (decision) => void told.push(decision) },
      metrics: coScalerMetrics(createMetrics({ service: "co-scaler" })),
      setVotes: async (count) => void votes.push(count),
    },
    {
      name: "co-scaler-1",
      planner: {
        pools: perPool(() => ({ min: 1, max: 16, gpusPerReplica: 1 })),
        k: { min: 4, max: 4, preferred: 4 },
        cooldownUpMs: 60_000,
        cooldownDownMs: 60_000,
        maxChange: 1,
      },
      observing: { responsesPerStep: 100, groupSize: 4, votesPerBallot: 2 },
      budgetGpus: 8,
      dryRun: parts.dryRun ?? false,
      votes: 4,
    },
  );
  let seconds = 0;
  /** A cluster in which judging takes `heavier` times what sampling does. */
  const report = async (heavier: number): Promise<void> => {
    for (let i = 0; i < 6; i++) {
      seconds += 5;
      await clock.advance(5000);
      const sequence = seconds / 5;
      const busy = {
        ...idle,
        running: 8,
        upMs: seconds * 1000,
        busyMs: seconds * 1000,
        slotMs: seconds * 8000,
      };
      const grows = { items: seconds * 10, generatedTokens: seconds * 1000 };
      for (const [role, tokens] of [
        ["policy", 100],
        ["grm", 100 * heavier],
        ["meta-rm", 10],
      ] as const) {
        const itemTokens = grows.items * tokens;
        const engine = { ...busy, ...grows, itemTokens, promptTokens: grows.items * 10 };
        book.take(loadReport({ role, reporter: role, sequence, engine }), clock.monotonic());
      }
      const judging = {
        ...{
          inFlight: 4,
          votesInForce: 4,
          judgments: seconds,
          responses: seconds * 4,
          askedVotes: seconds * 16,
        },
        ...{ votes: seconds * 4, metaScores: seconds * 4 },
      };
      book.take(loadReport({ role: "aggregator", reporter: "a", sequence, judging }), clock.monotonic());
    }
  };
  /** Observations until the planner acts on what it sees. */
  const warmUp = async (heavier: number): Promise<void> => {
    for (let i = 0; i < 3; i++) {
      await report(heavier);
      await controller.round();
    }
  };
  return { controller, report, warmUp, told, votes, log, leader, clock };
}

test("a split that lags behind is mended, pool by pool, within the budget at every moment", async () => {
  const pools = fakePools({ policy: 6, grm: 1, metaRm: 1 });
  const scaler = openScaler({ pools, memory: sharedMemory() });
  for (let i = 0; i < 12; i++) {
    await scaler.report(3);
    await scaler.controller.round();
    if (i % 2 === 1) pools.settle();
  }
  const { policy, grm, metaRm } = pools.states;
  expect(policy.wanted + grm.wanted + metaRm.wanted).toBeLessThanOrEqual(8);
  expect(grm.wanted).toBeGreaterThan(policy.wanted);
  expect(pools.most()).toBeLessThanOrEqual(8);
  // Once it stands, it stays.
  const before = pools.applied.length;
  for (let i = 0; i < 8; i++) {
    await scaler.report(3);
    await scaler.controller.round();
    pools.settle();
  }
  expect(pools.applied.length).toBe(before);
});

test("a dry run decides and tells, and changes nothing", async () => {
  const pools = fakePools({ policy: 6, grm: 1, metaRm: 1 });
  const scaler = openScaler({ pools, memory: sharedMemory(), dryRun: true });
  await scaler.warmUp(3);
  await scaler.report(3);
  const decision = await scaler.controller.round();
  expect(decision).toMatchObject({ dryRun: true, moved: true, problem: "" });
  expect(decision?.actions.map(({ outcome }) => outcome)).toContain("would_scale");
  expect(pools.applied).toEqual([]);
  expect(scaler.votes).toEqual([]);
});

test("a leader that was killed in the middle of a change is followed without a double change", async () => {
  const pools = fakePools({ policy: 6, grm: 1, metaRm: 1 });
  const memory = sharedMemory();
  const clock = createManualClock(1_000_000);
  const first = openScaler({ pools, memory, clock });
  await first.warmUp(3);
  await first.report(3);
  await first.controller.round();
  const shrunk = [...pools.applied];
  expect(shrunk).toHaveLength(1);
  expect(shrunk[0]).toMatch(/^policy 6→/);
  const goal = first.controller.goal();
  // Killed before the freed GPUs were given to judging. The follower has heard the same reports.
  pools.settle();
  const second = openScaler({ pools, memory, clock });
  await second.report(3);
  await second.controller.round();
  expect(pools.applied.slice(1)).toEqual([`grm 1→${goal?.grm}`, `metaRm 1→${goal?.metaRm}`]);
  expect(second.controller.goal()).toEqual(goal);
  pools.settle();
  await second.report(3);
  await second.controller.round();
  expect(pools.applied).toHaveLength(3);
  expect(pools.most()).toBeLessThanOrEqual(8);
});

test("of two that believe to lead, one acts", async () => {
  const pools = fakePools({ policy: 6, grm: 1, metaRm: 1 });
  const memory = sharedMemory();
  const clock = createManualClock(1_000_000);
  const [first, second] = [openScaler({ pools, memory, clock }), openScaler({ pools, memory, clock })];
  await first.controller.round();
  await second.controller.round();
  await first.report(3);
  const decision = await first.controller.round();
  expect(decision?.problem).toContain("another co-scaler");
  expect(pools.applied).toEqual([]);
});

test("a follower does nothing, and what is lost meanwhile stops the rest of a round", async () => {
  const pools = fakePools({ policy: 6, grm: 1, metaRm: 1 });
  const leader = { holds: false };
  const scaler = openScaler({ pools, memory: sharedMemory(), leader });
  await scaler.report(3);
  expect(await scaler.controller.round()).toBeNull();
  expect(pools.applied).toEqual([]);
  leader.holds = true;
  await scaler.warmUp(3);
  await scaler.report(3);
  const read = pools.actuator.read;
  pools.actuator.read = async () => {
    const states = await read();
    leader.holds = false;
    return states;
  };
  const decision = await scaler.controller.round();
  expect(decision?.actions[0]).toMatchObject({ outcome: "failed", detail: "the lease was lost meanwhile" });
  expect(pools.applied).toEqual([]);
});

test("what cannot be read or remembered holds what there is, says so once, and goes on afterwards", async () => {
  const pools = fakePools({ policy: 6, grm: 1, metaRm: 1 });
  const memory = sharedMemory();
  const scaler = openScaler({ pools, memory });
  await scaler.warmUp(3);
  await scaler.report(3);
  pools.fail(new CovoteError("unavailable", "the API server is not reached"));
  for (let i = 0; i < 3; i++) {
    const decision = await scaler.controller.round();
    expect(decision).toMatchObject({ reason: "held", problem: "the API server is not reached", actions: [] });
  }
  pools.fail(null);
  memory.setAway(true);
  expect((await scaler.controller.round())?.problem).toBe("NATS is away");
  expect(pools.applied).toEqual([]);
  expect(scaler.log.lines.filter(({ level }) => level === "warn")).toHaveLength(2);
  memory.setAway(false);
  await scaler.controller.round();
  expect(pools.applied).toHaveLength(1);
});

test("without figures nothing moves, and nothing is ever scaled to zero", async () => {
  const pools = fakePools({ policy: 3, grm: 3, metaRm: 2 });
  const scaler = openScaler({ pools, memory: sharedMemory() });
  for (let i = 0; i < 5; i++) {
    await scaler.clock.advance(60_000);
    const decision = await scaler.controller.round();
    expect(decision).toMatchObject({ reason: "held", blockedBy: "metrics_missing", moved: false });
  }
  expect(pools.applied).toEqual([]);
});

test("what somebody else has set is where the next decision begins", async () => {
  const pools = fakePools({ policy: 6, grm: 1, metaRm: 1 });
  const scaler = openScaler({ pools, memory: sharedMemory() });
  await scaler.warmUp(3);
  await scaler.report(3);
  await scaler.controller.round();
  expect(pools.applied).toHaveLength(1);
  pools.settle();
  pools.states.policy = state(5);
  pools.states.grm = state(2);
  await scaler.report(3);
  const decision = await scaler.controller.round();
  expect(decision?.pools.map(({ replicas }) => replicas)).toEqual([5, 2, 1]);
  // Within the cool-down it is not turned back.
  expect(pools.applied).toHaveLength(1);
});

test("one that cannot know whether it leads says why, and does nothing", async () => {
  const pools = fakePools({ policy: 6, grm: 1, metaRm: 1 });
  const scaler = openScaler({
    pools,
    memory: sharedMemory(),
    leader: { holds: false, problem: "not allowed (403)" },
  });
  await scaler.report(3);
  const decision = await scaler.controller.round();
  expect(decision).toMatchObject({ reason: "held", problem: "the lease: not allowed (403)", actions: [] });
  expect(pools.applied).toEqual([]);
});

test("what another version has remembered and nobody can read is forgotten, and the split holds", async () => {
  const pools = fakePools({ policy: 6, grm: 1, metaRm: 1 });
  const memory = sharedMemory();
  const store = memory.open();
  await store.recall();
  const planner = { estimates: {}, targets: null } as unknown as Memory["planner"];
  await store.keep({ ...nothing, planner });
  const scaler = openScaler({ pools, memory });
  expect(await scaler.controller.round()).toMatchObject({ problem: "", reason: "held", actions: [] });
  expect(scaler.log.lines.map(({ level }) => level)).toContain("error");
  await scaler.warmUp(3);
  await scaler.report(3);
  expect(await scaler.controller.round()).toMatchObject({ problem: "", moved: true });
});
