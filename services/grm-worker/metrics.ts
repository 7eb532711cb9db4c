/** What a grm-worker tells Prometheus. What happens once a vote is an addition. */
import { nullReasons } from "../../lib/core/null-reason.js";
import type { Generation } from "../../lib/engine/engine.js";
import { parseFailureKinds } from "../../lib/grm/judgment.js";
import { latencySecondsBuckets, type Metrics } from "../../lib/host/metrics.js";
import { PrinciplesSource } from "../../lib/wire/gen/covote/v1/common.js";
import type { Vote } from "../../lib/wire/gen/covote/v1/judging.js";
import { fromWireNullReason } from "../../lib/wire/null-reason.js";
import { type MissReason, missReasons } from "./principles.js";
import type { UnparsableKind } from "./vote.js";

export type WorkerMetrics = ReturnType<typeof workerMetrics>;

/** `cast`: all its votes are out, as far as they were not cancelled. */
export type BallotEnd = (typeof ballotEnds)[number];
const ballotEnds = ["cast", "refused", "expired", "given_back", "given_up"] as const;

export function workerMetrics(metrics: Metrics) {
  const buckets = latencySecondsBuckets;
  const votes = metrics.counter({
    name: "covote_votes_cast_total",
    help: "Votes cast; outcome is usable or the reason of their failure",
    labels: { outcome: ["usable", ...nullReasons] },
  });
  const usable = votes.at({ outcome: "usable" });
  const unparsable = metrics.counter({
    name: "covote_votes_unparsable_total",
    help: "Votes whose text could not be read; kind is what was wrong, cut_scores: cut at the token limit, with scores",
    labels: { kind: [...parseFailureKinds, "cut_scores"] },
  });
  const cancelled = metrics.counter({
    name: "covote_votes_cancelled_total",
    help: "Votes that were given up before their end, because nobody needs them any more or the worker stops",
  });
  const tokens = metrics.counter({
    name: "covote_vote_tokens_total",
    help: "Tokens of votes; kind is prompt, cached (part of prompt) or completion",
    labels: { kind: ["prompt", "cached", "completion"] },
  });
  const prompt = tokens.at({ kind: "prompt" });
  const cached = tokens.at({ kind: "cached" });
  const completion = tokens.at({ kind: "completion" });
  const seconds = metrics
    .histogram({ name: "covote_vote_seconds", help: "One vote in the engine, its queue included", buckets })
    .at();
  const prefill = metrics
    .histogram({
      name: "covote_vote_prefill_seconds",
      help: "From a vote's arrival in the engine to its first token, where the engine says when that was",
      buckets,
    })
    .at();
  const decode = metrics
    .histogram({
      name: "covote_vote_decode_seconds",
      help: "From a vote's first token to its last, where the engine says when these were",
      buckets,
    })
    .at();
  const expired = metrics.counter({
    name: "covote_votes_expired_total",
    help: "Votes dropped because their deadline had passed when the ballot came",
  });
  const ballots = metrics.counter({
    name: "covote_ballots_total",
    help: "Ballots taken from the queue; end is what became of them",
    labels: { end: ballotEnds },
  });
  const waited = metrics
    .histogram({
      name: "covote_ballot_wait_seconds",
      help: "From a ballot's arrival in the queue, by the clock of NATS, to the worker that takes it",
      buckets,
    })
    .at();
  const available = metrics.gauge({
    name: "covote_engine_available",
    help: "1 while the worker takes ballots, 0 while its engine is gone",
  });
  available.set(1);
  const principles = metrics.counter({
    name: "covote_vote_principles_total",
    help: "Votes in split mode; outcome is reused (hit), drawn (miss) or why a vote wrote its own principles",
    labels: { outcome: ["reused", "drawn", ...missReasons] },
  });
  const saved = metrics.counter({
    name: "covote_principles_saved_tokens_total",
    help: "Tokens that votes did not have to generate because their principles were kept from an earlier one",
  });
  const groups = metrics.counter({
    name: "covote_judgment_groups_sampled_total",
    help: "Groups of judgments sampled for a reward model that learns",
  });
  const refused = metrics.counter({
    name: "covote_judgment_groups_refused_total",
    help: "Panels that the reward model cannot judge: too long, or unknown words",
  });
  return {
    sampling: { sampled: (): void => groups.inc(1), refused: (): void => refused.inc(1) },
    cast: (vote: Vote): void => {
      const reason = fromWireNullReason(vote.nullReason);
      if (reason === undefined) usable.inc(1);
      else votes.inc(1, { outcome: reason });
      if (vote.cost === undefined) return;
      prompt.inc(vote.cost.promptTokens);
      cached.inc(vote.cost.cachedTokens);
      completion.inc(vote.cost.completionTokens);
      seconds.observe(vote.cost.engineMs / 1000);
      if (vote.principlesSource === PrinciplesSource.REUSED) {
        principles.inc(1, { outcome: "reused" });
        saved.inc(vote.principlesTokens);
      } else if (vote.principlesSource === PrinciplesSource.DRAWN) principles.inc(1, { outcome: "drawn" });
    },
    generated: ({ engineMs, decodeMs }: Generation): void => {
      if (decodeMs === undefined) return;
      prefill.observe((engineMs - decodeMs) / 1000);
      decode.observe(decodeMs / 1000);
    },
    unparsable: (kind: UnparsableKind): void => unparsable.inc(1, { kind }),
    cancelled: (): void => cancelled.inc(1),
    missedPrinciples: (outcome: MissReason): void => principles.inc(1, { outcome }),
    expired: (count: number): void => expired.inc(count),
    /** Clocks of two machines may differ by more than a ballot waits. */
    ballotTaken: (waitedMs: number): void => waited.observe(Math.max(0, waitedMs) / 1000),
    ballotEnded: (end: BallotEnd): void => ballots.inc(1, { end }),
    engineAvailable: (is: boolean): void => available.set(is ? 1 : 0),
  };
}
