/** What a meta-rm tells Prometheus. */
import { latencySecondsBuckets, type Metrics } from "../../lib/host/metrics.js";

export function metaMetrics(metrics: Metrics) {
  const votes = metrics.counter({ name: "covote_meta_scores_total", help: "Votes scored by the meta RM" });
  const seconds = metrics.histogram({
    name: "covote_meta_batch_seconds",
    help: "One engine call of the meta RM",
    buckets: latencySecondsBuckets,
  });
  return {
    scored: (count: number, ms: number): void => {
      votes.inc(count);
      seconds.observe(ms / 1000);
    },
  };
}
