/** What the aggregator tells Prometheus. What happens once a vote is an addition. */
import { nullReasons } from "../../lib/core/null-reason.js";
import { latencySecondsBuckets, type Metrics } from "../../lib/host/metrics.js";
import { createGroupCorrelation } from "../../lib/tally/group-correlation.js";
import type { Outcome } from "./judgment.js";

export type AggregatorMetrics = ReturnType<typeof aggregatorMetrics>;

/**
 * Where the time of a judgment went, along the vote that was waited for the longest; these and the rest of nothing
 * are its latency. Milliseconds.
 */
export interface JudgmentTiming {
  /** From the acceptance to the engine, and back from it: queues, retries and messages. */
  ballotWaitMs: number;
  engineMs: number;
  /** From the last vote to the last meta score; null: the meta RM was not asked. */
  metaMs: number | null;
  tallyMs: number;
}

export interface EndedJudgment {
  outcome: Outcome;
  /** Votes that were still open. */
  openVotes: number;
  latencyMs: number;
  /** Before it was accepted. */
  queuedMs: number;
  /** Null where it was cut short: then it is the deadline that took the time. */
  timing: JudgmentTiming | null;
  /** Characters of each response; null where rewards are not of whole responses. */
  lengths: readonly number[] | null;
}

const stages = ["queue", "ballot_wait", "engine", "meta", "tally", "record"] as const;
/** Panels that are larger share the last one. */
const positions = ["1", "2", "3", "4", "5", "6", "7", "8", "9+"] as const;
const agreementBuckets = [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1] as const;
const spreadBuckets = [0, 0.25, 0.5, 1, 1.5, 2, 3, 4.5] as const;
/** Groups whose lengths and rewards are remembered, about. */
const correlationMemory = 500;

export function aggregatorMetrics(metrics: Metrics) {
  const latency = metrics
    .histogram({
      name: "covote_reward_latency_seconds",
      help: "From the acceptance of a group to its rewards",
      buckets: latencySecondsBuckets,
    })
    .at();
  const stageSeconds = metrics.histogram({
    name: "covote_reward_stage_seconds",
    help:
      "Where the time of a complete judgment went, along its last vote: queue (before acceptance), ballot_wait " +
      "(queues, messages, retries), engine, meta, tally, record (keeping it). Latency is ballot_wait to tally",
    labels: { stage: stages },
    buckets: latencySecondsBuckets,
  });
  const stage = {
    queue: stageSeconds.at({ stage: "queue" }),
    ballotWait: stageSeconds.at({ stage: "ballot_wait" }),
    engine: stageSeconds.at({ stage: "engine" }),
    meta: stageSeconds.at({ stage: "meta" }),
    tally: stageSeconds.at({ stage: "tally" }),
    record: stageSeconds.at({ stage: "record" }),
  };
  const rewards = metrics.counter({
    name: "covote_rewards_total",
    help: "Responses answered; outcome is value or the null reason",
    labels: { outcome: ["value", ...nullReasons] },
  });
  const valued = rewards.at({ outcome: "value" });
  const judgments = metrics.counter({
    name: "covote_judgments_total",
    help: "Judgments ended; partial ones were cut by the deadline or a cancel, failed ones have no outcome",
    labels: { end: ["complete", "partial", "failed"] },
  });
  const inFlight = metrics.gauge({
    name: "covote_judgments_in_flight",
    help: "Judgments without an outcome yet; hi: somebody waits at a call, lo: rollouts",
    labels: { priority: ["hi", "lo"] },
  });
  inFlight.set(0, { priority: "hi" });
  inFlight.set(0, { priority: "lo" });
  const limit = metrics.gauge({
    name: "covote_judgments_in_flight_limit",
    help: "Judgments of one priority that may be in flight; one more is refused",
  });
  const received = metrics.counter({
    name: "covote_votes_received_total",
    help: "Votes that arrived; outcome is usable, late or the reason of their failure",
    labels: { outcome: ["usable", "late", ...nullReasons] },
  });
  const usable = received.at({ outcome: "usable" });
  const asked = metrics.counter({
    name: "covote_votes_asked_total",
    help: "Votes asked for; first: for the first time, again: overdue, lost or cast by an old judge",
    labels: { ask: ["first", "again"] },
  });
  const askedFirst = asked.at({ ask: "first" });
  const askedAgain = asked.at({ ask: "again" });
  const settled = metrics.counter({
    name: "covote_votes_settled_total",
    help:
      "What became of the votes of ended judgments: used, filtered (usable, and not kept by the meta RM), open " +
      "(cancelled, or given up at the deadline), or why they had no scores",
    labels: { fate: ["used", "filtered", "open", ...nullReasons] },
  });
  const used = settled.at({ fate: "used" });
  const filtered = settled.at({ fate: "filtered" });
  const open = settled.at({ fate: "open" });
  const tokens = metrics.counter({
    name: "covote_reward_tokens_total",
    help: "Tokens of the votes behind ended judgments; kind is prompt, cached (part of prompt) or completion",
    labels: { kind: ["prompt", "cached", "completion"] },
  });
  const promptTokens = tokens.at({ kind: "prompt" });
  const cachedTokens = tokens.at({ kind: "cached" });
  const completionTokens = tokens.at({ kind: "completion" });
  const engineSeconds = metrics.counter({
    name: "covote_reward_engine_seconds_total",
    help: "Seconds that votes behind ended judgments spent in engines, each counted alone although they share them",
  });
  const agreement = metrics
    .histogram({
      name: "covote_reward_agreement_ratio",
      help: "How far the votes behind a reward agree in their comparisons, 0 to 1",
      buckets: agreementBuckets,
    })
    .at();
  const spread = metrics
    .histogram({
      name: "covote_reward_spread_points",
      help: "Standard deviation of the scores behind a reward, in points",
      buckets: spreadBuckets,
    })
    .at();
  const given = metrics.counter({
    name: "covote_position_scores_total",
    help: "Scores given, by the place of the response on its panel; panels of one are left out",
    labels: { position: positions },
  });
  const points = metrics.counter({
    name: "covote_position_points_total",
    help: "Points given, by the place of the response on its panel: over the scores given there, the mean score",
    labels: { position: positions },
  });
  const places = positions.map((position) => ({
    scores: given.at({ position }),
    points: points.at({ position }),
  }));
  const correlation = createGroupCorrelation({ memory: correlationMemory });
  const lengthCorrelation = metrics.gauge({
    name: "covote_reward_length_correlation_ratio",
    help: `Correlation of reward and response length in characters within groups, over about ${correlationMemory} groups; -1 to 1`,
  });
  metrics.onScrape(() => {
    const value = correlation.value();
    if (value !== null) lengthCorrelation.set(value);
  });
  const overloaded = metrics.counter({
    name: "covote_judgments_refused_total",
    help: "Groups refused because too many judgments were in flight",
  });

  const countVotes = ({ votes }: Outcome, placed: boolean): void => {
    const sums = { used: 0, filtered: 0, prompt: 0, cached: 0, completion: 0, engineMs: 0 };
    const at = places.map(() => ({ scores: 0, points: 0 }));
    for (const { cast, kept, order } of votes) {
      const { scores, cost } = cast;
      if (scores === null) settled.inc(1, { fate: cast.nullReason ?? "unparsable" });
      else if (kept) sums.used++;
      else sums.filtered++;
      sums.prompt += cost.promptTokens;
      sums.cached += cost.cachedTokens;
      sums.completion += cost.completionTokens;
      // A worker's word, and it may be any number.
      if (cost.engineMs > 0) sums.engineMs += cost.engineMs;
      if (!placed || scores === null || order.length < 2) continue;
      for (let i = 0; i < scores.length; i++) {
        const place = at[i < at.length ? i : at.length - 1] as (typeof at)[number];
        place.scores++;
        place.points += scores[i] as number;
      }
    }
    used.inc(sums.used);
    filtered.inc(sums.filtered);
    promptTokens.inc(sums.prompt);
    cachedTokens.inc(sums.cached);
    completionTokens.inc(sums.completion);
    engineSeconds.inc(sums.engineMs / 1000);
    places.forEach((place, i) => {
      const { scores, points } = at[i] as (typeof at)[number];
      // Grammars give no negative scores; a worker could.
      if (!(points >= 0)) return;
      place.scores.inc(scores);
      place.points.inc(points);
    });
  };

  const correlate = ({ rewards }: Outcome, lengths: readonly number[]): void => {
    const of: number[] = [];
    const values: number[] = [];
    for (let i = 0; i < rewards.length; i++) {
      const value = rewards[i]?.value ?? null;
      if (value === null) continue;
      of.push(lengths[i] as number);
      values.push(value);
    }
    correlation.add(of, values);
  };

  const countTiming = (queuedMs: number, timing: JudgmentTiming): void => {
    stage.queue.observe(queuedMs / 1000);
    stage.ballotWait.observe(timing.ballotWaitMs / 1000);
    stage.engine.observe(timing.engineMs / 1000);
    if (timing.metaMs !== null) stage.meta.observe(timing.metaMs / 1000);
    stage.tally.observe(timing.tallyMs / 1000);
  };

  return {
    received: (outcome: VoteOutcomeLabel): void => {
      if (outcome === "usable") usable.inc(1);
      else received.inc(1, { outcome });
    },
    asked: (votes: number, again: boolean): void => (again ? askedAgain : askedFirst).inc(votes),
    inFlight: (count: number, priority: "hi" | "lo"): void => inFlight.set(count, { priority }),
    limit: (most: number): void => limit.set(most),
    refused: (): void => overloaded.inc(1),
    failed: (): void => judgments.inc(1, { end: "failed" }),
    recorded: (ms: number): void => stage.record.observe(ms / 1000),
    ended: ({ outcome, openVotes, latencyMs, queuedMs, timing, lengths }: EndedJudgment): void => {
      latency.observe(latencyMs / 1000);
      if (timing !== null) countTiming(queuedMs, timing);
      judgments.inc(1, { end: outcome.partial ? "partial" : "complete" });
      for (const reward of outcome.rewards) {
        if (reward.value === null) rewards.inc(1, { outcome: reward.reason });
        else {
          valued.inc(1);
          agreement.observe(reward.agreement);
          spread.observe(reward.spread);
        }
      }
      countVotes(outcome, lengths !== null);
      open.inc(openVotes);
      if (lengths !== null) correlate(outcome, lengths);
    },
  };
}

export type VoteOutcomeLabel = "usable" | "late" | (typeof nullReasons)[number];
