import { expect, test } from "vitest";
import { createLedger } from "../../lib/grpo/ledger.js";
import type { GrpoLossOptions } from "../../lib/grpo/loss.js";
import type { GrpoBatch, TrainedSequence, Trainer } from "../../lib/trainer/trainer.js";
import { Experience, Verdict } from "../../lib/wire/gen/covote/v1/policy.js";
import { grpo, rejectiveFineTuning } from "../../services/grpo-learner/method.js";

const loss: GrpoLossOptions = {
  ...{ clipLow: 0.2, clipHigh: 0.2, klWeight: 0, aggregation: "token", importanceCap: null, maxTokens: 8 },
};
const options = { learningRate: 0.1, maxGradNorm: 1 };
const group = (verdicts: readonly Verdict[], policyVersion: number): Experience =>
  Experience.fromPartial({
    rollout: {
      prompt: { runId: "r", groupId: "r-g0" },
      policyVersion,
      responses: verdicts.map((_, i) => ({
        tokens: { promptIds: [7], responseIds: [10 + i, 3], logprobs: [-0.5, -0.5] },
      })),
    },
    rewards: verdicts.map((verdict) => ({ value: verdict === Verdict.RIGHT ? 1 : -1, verdict })),
  });

/** What the trainer was told to do. */
const trained = () => {
  const calls: { grpo: GrpoBatch[]; supervised: (readonly TrainedSequence[])[] } = {
    ...{ grpo: [], supervised: [] },
  };
  const report = { step: 1, metrics: {} };
  const trainer = {
    stepGrpo: (batch: GrpoBatch) => {
      calls.grpo.push(batch);
      return Promise.resolve(report);
    },
    stepSupervised: (sequences: readonly TrainedSequence[]) => {
      calls.supervised.push(sequences);
      return Promise.resolve(report);
    },
  } as unknown as Trainer;
  return { calls, trainer };
};

test("reinforcement moves its samplers along, and drops what is too old", async () => {
  const method = grpo({ maxStaleness: 1, normalise: "std", loss });
  expect(method.frozen).toBe(false);
  const old = group([Verdict.RIGHT, Verdict.WRONG], 0);
  const fresh = group([Verdict.RIGHT, Verdict.WRONG], 4);
  const { dropped, train } = method.prepare([old, fresh], 5);
  expect(dropped).toEqual(["stale", null]);
  const { calls, trainer } = trained();
  await train?.(trainer, options);
  expect(calls.supervised).toEqual([]);
  // A wrong judgment is learned from as much as a right one.
  expect(calls.grpo[0]?.advantages.map(Math.sign)).toEqual([1, -1]);
  expect(method.prepare([old], 5).train).toBeNull();
});

test("imitation keeps its samplers at the weights of the beginning, so nothing is ever too old", async () => {
  const method = rejectiveFineTuning();
  expect(method.frozen).toBe(true);
  const { dropped, metrics, train } = method.prepare([group([Verdict.RIGHT, Verdict.WRONG], 0)], 100);
  expect(dropped).toEqual([null]);
  expect(metrics).toMatchObject({ staleness_mean: 0, staleness_max: 0 });
  const { calls, trainer } = trained();
  await train?.(trainer, options);
  expect(calls.grpo).toEqual([]);
  expect(calls.supervised).toEqual([[{ tokenIds: [7, 10, 3], firstTarget: 1 }]]);
  expect(method.prepare([group([Verdict.RIGHT, Verdict.RIGHT], 0)], 0).train).toBeNull();
});

test("a corpus takes its share of each batch, the same whenever the step is prepared", async () => {
  const drawn: [step: number, count: number][] = [];
  const examples = {
    draw: (step: number, count: number) => {
      drawn.push([step, count]);
      return Array.from({ length: count }, (_, i) => ({ tokenIds: [step, i, 3], firstTarget: 1 }));
    },
  };
  const method = rejectiveFineTuning({ corpus: { examples, share: 0.75 } });
  const usable = group([Verdict.RIGHT, Verdict.WRONG], 0);
  const { metrics, train } = method.prepare([usable], 7);
  expect(metrics).toMatchObject({ rft_kept: 1, rft_corpus: 3 });
  const { calls, trainer } = trained();
  await train?.(trainer, options);
  expect(calls.supervised[0]?.map(({ tokenIds }) => tokenIds[0])).toEqual([7, 7, 7, 7]);
  expect(drawn).toEqual([[7, 3]]);
  // The corpus alone is no reason for a step.
  expect(method.prepare([group([Verdict.WRONG, Verdict.WRONG], 0)], 8).train).toBeNull();
  expect(drawn).toHaveLength(1);
});

test("without rejection every judgment that could be parsed is imitated, as much of it as is learned", async () => {
  const method = rejectiveFineTuning({ rejection: false, learned: (ids) => ids.slice(1) });
  const verdicts = [Verdict.RIGHT, Verdict.WRONG, Verdict.TIED, Verdict.UNPARSABLE];
  const { train } = method.prepare([group(verdicts, 0), group([Verdict.RIGHT, Verdict.RIGHT], 0)], 0);
  const { calls, trainer } = trained();
  await train?.(trainer, options);
  expect(calls.supervised).toEqual([Array(5).fill({ tokenIds: [7, 3], firstTarget: 1 })]);
});

test("data of which nothing is usable ends a run as soon as each item was judged, with the counts", () => {
  const method = rejectiveFineTuning();
  const totals = {
    rft_sampled: 6,
    rft_wrong: 2,
    rft_too_easy: 4,
    rft_hinted_sampled: 2,
    rft_hinted_wrong: 2,
  };
  const balanceAfter = (rejected: number) => {
    const ledger = createLedger();
    for (let i = 0; i < 40; i++) ledger.submitted(`r-g${i}`);
    for (let i = 0; i < rejected; i++) ledger.dropped(`r-g${i}`, "rejected");
    return ledger.balance();
  };
  expect(() => method.check(balanceAfter(2), { isEnd: false, round: 4, totals })).not.toThrow();
  expect(() => method.check(balanceAfter(4), { isEnd: false, round: 4, totals })).toThrow(
    "training.prompts: nothing is left to learn from after rejection (4 groups: 4 rejected, 0 without a judgment; " +
      "of the last 8 judgments 4 wrong, 4 too easy); the model was not trained",
  );
  const ledger = createLedger();
  ledger.submitted("r-g0");
  ledger.trained("r-g0");
  expect(() => method.check(ledger.balance(), { isEnd: true, round: 1, totals })).not.toThrow();
});
