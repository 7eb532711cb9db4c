/** What a meta-rm tells Prometheus. */
import { latencySecondsBuckets, type Metrics } from "../../lib/host/metrics.js";

const batchBuckets = [1, 2, 4, 8, 16, 32, 64, 128] as const;

export function metaMetrics(metrics: Metrics) {
  const votes = metrics.counter({
    name: "covote_meta_scores_total",
    help: "Votes that the meta RM was asked about; outcome is scored, or failed: the vote has no score then",
    labels: { outcome: ["scored", "failed"] },
  });
  const scored = votes.at({ outcome: "scored" });
  const failed = votes.at({ outcome: "failed" });
  const seconds = metrics
    .histogram({
      name: "covote_meta_batch_seconds",
      help: "One engine call of the meta RM",
      buckets: latencySecondsBuckets,
    })
    .at();
  const sizes = metrics
    .histogram({
      name: "covote_meta_batch_votes",
      help: "Votes in one engine call of the meta RM",
      buckets: batchBuckets,
    })
    .at();
  return {
    /** `asked`: votes of one call; `without`: those of them that have no score. */
    scored: (asked: number, without: number, ms: number): void => {
      scored.inc(asked - without);
      failed.inc(without);
      sizes.observe(asked);
      seconds.observe(ms / 1000);
    },
  };
}
