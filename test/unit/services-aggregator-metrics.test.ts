import { expect, test } from "vitest";
import { createMetrics } from "../../lib/host/metrics.js";
import type { CastVote, Outcome, VoteOutcome } from "../../services/vote-aggregator/judgment.js";
import { aggregatorMetrics, type EndedJudgment } from "../../services/vote-aggregator/metrics.js";

function cast(over: Partial<CastVote>): CastVote {
  return {
    ...{ voteId: "v", judgeVersion: "j", worker: "w", text: "", principles: "", critique: "", failure: "" },
    ...{ scores: null, nullReason: null, panelTooLong: false },
    cost: { promptTokens: 10, cachedTokens: 4, completionTokens: 6, engineMs: 500 },
    ...over,
  };
}

const vote = (scores: number[], kept = true): VoteOutcome => ({
  cast: cast({ scores }),
  order: scores.map((_, i) => i),
  meta: null,
  kept,
});

function ended(outcome: Partial<Outcome>, over: Partial<EndedJudgment> = {}): EndedJudgment {
  return {
    outcome: { rewards: [], votes: [], partial: false, judgeVersion: "j", metaVersion: "", ...outcome },
    openVotes: 0,
    latencyMs: 1000,
    queuedMs: 100,
    timing: { ballotWaitMs: 200, engineMs: 500, metaMs: 250, tallyMs: 50 },
    lengths: [3, 4],
    ...over,
  };
}

function aggregator() {
  const metrics = createMetrics({ service: "a" });
  const told = async (name: string, labels = ""): Promise<string | undefined> => {
    const line = (await metrics.text()).split("\n").find((l) => l.startsWith(`${name}{${labels}`));
    return line?.split(" ").at(-1);
  };
  return { meter: aggregatorMetrics(metrics), told };
}

const reward = { value: 7, sum: 14, kept: 2, usable: 2, spread: 0.5, agreement: 0.9 };

test("every vote has one fate, and points are summed by the place on the panel", async () => {
  const { meter, told } = aggregator();
  const failed: VoteOutcome = {
    ...vote([1, 2]),
    cast: cast({ nullReason: "unparsable" }),
    kept: false,
  };
  meter.ended(ended({ votes: [vote([8, 2]), vote([6, 4], false), failed] }, { openVotes: 2 }));
  expect(await told("covote_votes_settled_total", 'fate="used"')).toBe("1");
  expect(await told("covote_votes_settled_total", 'fate="filtered"')).toBe("1");
  expect(await told("covote_votes_settled_total", 'fate="unparsable"')).toBe("1");
  expect(await told("covote_votes_settled_total", 'fate="open"')).toBe("2");
  expect(await told("covote_position_points_total", 'position="1"')).toBe("14");
  expect(await told("covote_position_points_total", 'position="2"')).toBe("6");
  expect(await told("covote_position_scores_total", 'position="2"')).toBe("2");
  expect(await told("covote_reward_tokens_total", 'kind="completion"')).toBe("18");
  expect(await told("covote_reward_engine_seconds_total")).toBe("1.5");
});

test("places beyond the eighth share one label; panels of one have no place", async () => {
  const { meter, told } = aggregator();
  meter.ended(ended({ votes: [vote([1, 1, 1, 1, 1, 1, 1, 1, 5, 6]), vote([9])] }));
  expect(await told("covote_position_points_total", 'position="9+"')).toBe("11");
  expect(await told("covote_position_scores_total", 'position="1"')).toBe("1");
});

test("scores of steps have no place, and no length to go with", async () => {
  const { meter, told } = aggregator();
  meter.ended(
    ended({ votes: [vote([8, 2])], rewards: [reward, { ...reward, value: 2 }] }, { lengths: null }),
  );
  expect(await told("covote_position_scores_total", 'position="1"')).toBe("0");
  expect(await told("covote_reward_length_correlation_ratio")).toBeUndefined();
});

test("a worker that counts wrongly breaks nothing: what is no number is not counted", async () => {
  const { meter, told } = aggregator();
  const strange: VoteOutcome = {
    ...vote([-5, -6]),
    cast: cast({ scores: [-5, -6], cost: { ...cast({}).cost, engineMs: Number.NaN } }),
  };
  meter.ended(ended({ votes: [strange] }));
  expect(await told("covote_position_points_total", 'position="1"')).toBe("0");
  expect(await told("covote_reward_engine_seconds_total")).toBe("0");
  expect(await told("covote_votes_settled_total", 'fate="used"')).toBe("1");
});

test("rewards are counted by outcome; agreement and spread are of those with a value", async () => {
  const { meter, told } = aggregator();
  meter.ended(ended({ rewards: [reward, { value: null, reason: "deadline" }] }));
  expect(await told("covote_rewards_total", 'outcome="value"')).toBe("1");
  expect(await told("covote_rewards_total", 'outcome="deadline"')).toBe("1");
  expect(await told("covote_rewards_total", 'outcome="refused"')).toBe("0");
  expect(await told("covote_reward_agreement_ratio_count")).toBe("1");
  expect(await told("covote_reward_spread_points_sum")).toBe("0.5");
});

test("stages are told of complete judgments only; a cut one took what its deadline gave", async () => {
  const { meter, told } = aggregator();
  meter.ended(ended({}));
  meter.ended(ended({ partial: true }, { timing: null }));
  expect(await told("covote_reward_latency_seconds_count")).toBe("2");
  expect(await told("covote_reward_stage_seconds_count", 'stage="engine"')).toBe("1");
  expect(await told("covote_reward_stage_seconds_sum", 'stage="ballot_wait"')).toBe("0.2");
  expect(await told("covote_judgments_total", 'end="partial"')).toBe("1");
});

test("longer answers with higher rewards correlate, also where one has no reward", async () => {
  const { meter, told } = aggregator();
  const value = (points: number) => ({ ...reward, value: points });
  const none = { value: null, reason: "unparsable" } as const;
  meter.ended(ended({ rewards: [value(1), none, value(9)] }, { lengths: [10, 500, 90] }));
  expect(Number(await told("covote_reward_length_correlation_ratio"))).toBeCloseTo(1);
});
