/** What a grm-worker tells Prometheus. */
import type { EngineStats } from "../../lib/engine/engine.js";
import { latencySecondsBuckets, type Metrics } from "../../lib/host/metrics.js";
import { PrinciplesSource } from "../../lib/wire/gen/covote/v1/common.js";
import type { Vote } from "../../lib/wire/gen/covote/v1/judging.js";
import { fromWireNullReason } from "../../lib/wire/null-reason.js";
import type { MissReason } from "./principles.js";

export function workerMetrics(metrics: Metrics, engine: { stats(): EngineStats }) {
  const votes = metrics.counter({
    name: "covote_votes_cast_total",
    help: "Votes cast; outcome is usable or the reason of their failure",
    labels: ["outcome"],
  });
  const tokens = metrics.counter({
    name: "covote_vote_tokens_total",
    help: "Tokens of votes; kind is prompt, cached (part of prompt) or completion",
    labels: ["kind"],
  });
  const seconds = metrics.histogram({
    name: "covote_vote_seconds",
    help: "One vote in the engine, its queue included",
    buckets: latencySecondsBuckets,
  });
  const expired = metrics.counter({
    name: "covote_votes_expired_total",
    help: "Votes dropped because their deadline had passed when the ballot came",
  });
  const running = metrics.gauge({ name: "covote_engine_running", help: "Requests that the engine runs" });
  const waiting = metrics.gauge({ name: "covote_engine_waiting", help: "Requests queued in the engine" });
  metrics.onScrape(() => {
    const stats = engine.stats();
    running.set(stats.running);
    waiting.set(stats.waiting);
  });
  const principles = metrics.counter({
    name: "covote_vote_principles_total",
    help: "Votes in split mode; outcome is reused (hit), drawn (miss) or why a vote wrote its own principles",
    labels: ["outcome"],
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
      votes.inc(1, { outcome: fromWireNullReason(vote.nullReason) ?? "usable" });
      if (vote.cost === undefined) return;
      tokens.inc(vote.cost.promptTokens, { kind: "prompt" });
      tokens.inc(vote.cost.cachedTokens, { kind: "cached" });
      tokens.inc(vote.cost.completionTokens, { kind: "completion" });
      seconds.observe(vote.cost.engineMs / 1000);
      if (vote.principlesSource === PrinciplesSource.REUSED) {
        principles.inc(1, { outcome: "reused" });
        saved.inc(vote.principlesTokens);
      } else if (vote.principlesSource === PrinciplesSource.DRAWN) principles.inc(1, { outcome: "drawn" });
    },
    missedPrinciples: (outcome: MissReason): void => principles.inc(1, { outcome }),
    expired: (count: number): void => expired.inc(count),
  };
}
