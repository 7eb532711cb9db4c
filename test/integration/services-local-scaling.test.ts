import { expect, test } from "vitest";
import { createLocalPool } from "../../cli/cluster/local-pool.js";
import { systemClock } from "../../lib/core/clock.js";
import { deadlineIn } from "../../lib/core/deadline.js";
import { silentLogger } from "../../lib/core/logger.js";
import { createMetrics } from "../../lib/host/metrics.js";
import type { ScalingDecision } from "../../lib/wire/gen/covote/v1/scaling.js";
import { type Actuator, soleLeader } from "../../services/co-scaler/actuator.js";
import { startCoScaler } from "../../services/co-scaler/service.js";
import { createCountingTrainer } from "../support/counting-trainer.js";
import { openLearningCluster, samplingEngine } from "../support/learning-cluster.js";
import { startNats } from "../support/nats.js";
import { votingEngine } from "../support/reward-cluster.js";

test("where judging is what a run waits for, the measured load grows the pool of GRM workers, and no group is lost", async () => {
  await using nats = await startNats();
  const clock = systemClock();
  // A vote takes a tenth of a second in one of four slots; sampling takes next to nothing.
  const slowJudge = () => votingEngine({ slots: 4, latency: { fixedMs: 100 } });
  await using cluster = await openLearningCluster({
    nats,
    engines: [slowJudge()],
    policy: samplingEngine(undefined, { latency: { fixedMs: 5 } }),
    loadIntervalMs: 100,
  });
  const { rewards } = cluster;
  const workers = createLocalPool({
    members: [{ ready: Promise.resolve(), stop: () => Promise.resolve() }],
    start: () => {
      const added = rewards.addWorker(slowJudge());
      return { ready: added, stop: async () => (await added).stop() };
    },
    log: silentLogger,
  });
  const one = { wanted: 1, ready: 1, present: 1 };
  const none = { wanted: 0, ready: 0, present: 0 };
  const actuator: Actuator = {
    name: "local",
    read: async () => ({ policy: one, grm: workers.state(), metaRm: none }),
    apply: async ({ to }) => workers.resize(to),
    close: () => Promise.resolve(),
  };
  const limits = { min: 1, gpusPerReplica: 1 };
  const coScaler = await startCoScaler(
    {
      ...{ bus: rewards.bus, clock, log: silentLogger },
      metrics: createMetrics({ service: "co-scaler" }),
      openActuator: async () => ({ actuator, leadership: soleLeader }),
    },
    {
      ...{ name: "co-scaler", intervalMs: 200, history: 20, dryRun: false, budgetGpus: 3 },
      planner: {
        pools: {
          policy: { ...limits, max: 1 },
          grm: { ...limits, max: 2 },
          metaRm: { ...limits, min: 0, max: 0 },
        },
        k: { min: 2, max: 2, preferred: 2 },
        ...{ cooldownUpMs: 0, cooldownDownMs: 0, switchMs: 100 },
      },
      observing: { responsesPerStep: null, groupSize: 3, votesPerBallot: 2 },
      votes: { configured: 2, enabled: false },
    },
  );
  const run = await cluster.startLearner(createCountingTrainer(), { steps: 32 });
  const moves: ScalingDecision[] = [];
  await expect
    .poll(
      async () => {
        const decision = await coScaler.round();
        if (decision?.moved) moves.push(decision);
        return workers.state().ready;
      },
      { timeout: 20_000, interval: 50 },
    )
    .toBe(2);
  expect(moves[0]).toMatchObject({ reason: "grown", now: { limit: "grm" }, problem: "" });
  const balance = await run.finished;
  expect(balance).toMatchObject({ submitted: 128, lost: 0, duplicated: 0 });
  await coScaler.stop(deadlineIn(clock, 1000));
});
