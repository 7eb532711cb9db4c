/** What the aggregator tells Prometheus. */
import { latencySecondsBuckets, type Metrics } from "../../lib/host/metrics.js";
import type { Outcome } from "./judgment.js";

export type AggregatorMetrics = ReturnType<typeof aggregatorMetrics>;

export function aggregatorMetrics(metrics: Metrics) {
  const latency = metrics.histogram({
    name: "covote_reward_latency_seconds",
    help: "From the acceptance of a group to its rewards",
    buckets: latencySecondsBuckets,
  });
  const rewards = metrics.counter({
    name: "covote_rewards_total",
    help: "Responses answered; outcome is value or the null reason",
    labels: ["outcome"],
  });
  const judgments = metrics.counter({
    name: "covote_judgments_total",
    help: "Judgments ended; partial ones were cut by the deadline or a cancel",
    labels: ["end"],
  });
  return {
    votes: metrics.counter({
      name: "covote_votes_received_total",
      help: "Votes that arrived; outcome is usable, late or the reason of their failure",
      labels: ["outcome"],
    }),
    inFlight: metrics.gauge({ name: "covote_judgments_in_flight", help: "Judgments without an outcome yet" }),
    overloaded: metrics.counter({
      name: "covote_judgments_refused_total",
      help: "Groups refused because too many judgments were in flight",
    }),
    observe: (outcome: Outcome, latencyMs: number): void => {
      latency.observe(latencyMs / 1000);
      judgments.inc(1, { end: outcome.partial ? "partial" : "complete" });
      for (const reward of outcome.rewards) {
        rewards.inc(1, { outcome: reward.value === null ? reward.reason : "value" });
      }
    },
  };
}
