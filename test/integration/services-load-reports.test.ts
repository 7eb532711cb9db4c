import { expect, test } from "vitest";
import { systemClock } from "../../lib/core/clock.js";
import { watchLoads } from "../../lib/runtime/load-watch.js";
import { createCountingTrainer } from "../support/counting-trainer.js";
import { openLearningCluster } from "../support/learning-cluster.js";
import { bytes, startNats } from "../support/nats.js";
import { until, votingEngine } from "../support/reward-cluster.js";

test("every service tells what it did: the figures of a run are those of its load reports", async () => {
  await using nats = await startNats();
  const clock = systemClock();
  const engine = votingEngine({ latency: { decodeTokensPerS: 2000 } });
  await using cluster = await openLearningCluster({ nats, engines: [engine], loadIntervalMs: 100 });
  const { bus } = cluster.rewards;
  const fates = new Map<string, number>();
  const watch = watchLoads(bus, clock, (fate) => fates.set(fate, (fates.get(fate) ?? 0) + 1));
  bus.publish(bus.subjects.loads("grm"), bytes("no report"));
  await bus.flush();
  const figures = () => {
    const now = clock.monotonic();
    const { book } = watch;
    return {
      policy: book.engines("policy", now),
      grm: book.engines("grm", now),
      judging: book.judging(now),
      learner: book.learner(now),
    };
  };
  // Figures are growth: the first report of each has to be there before anything is done.
  await until("first reports", () => figures().grm.reporters + figures().policy.reporters === 2);
  const run = await cluster.startLearner(createCountingTrainer(), { steps: 8 });
  await run.finished;
  await until(
    "all steps",
    () => (figures().learner.responsesPerStep ?? 0) > 0 && figures().judging.ageMs !== null,
  );
  const { policy, grm, judging, learner } = figures();
  expect(learner).toMatchObject({ responsesPerStep: 12, waiting: expect.any(Number) });
  // Each response is on one panel of at most four: two votes on three responses.
  expect(judging).toMatchObject({ votesInForce: 2, votesPerResponse: 2 / 3, metaScoresPerVote: 0 });
  expect(grm.tokensPerItem).toBeGreaterThan(5);
  expect(grm.tokensPerS).toBeGreaterThan(0);
  expect(policy.tokensPerItem).toBeGreaterThan(1);
  expect([...fates.keys()].sort()).toEqual(["taken", "unreadable"]);
  expect(fates.get("unreadable")).toBe(1);
  await run.stop();
});
