/** What tracing tells Prometheus about itself. */
import type { Metrics } from "./metrics.js";

export const spanOutcomes = ["exported", "dropped", "failed"] as const;
export type SpanOutcome = (typeof spanOutcomes)[number];

export function tracingMetrics(metrics: Metrics) {
  const spans = metrics.counter({
    name: "covote_tracing_spans_total",
    help: "Spans that have ended; dropped: too many waited, failed: the collector did not take them",
    labels: { outcome: spanOutcomes },
  });
  return (outcome: SpanOutcome, by: number): void => spans.inc(by, { outcome });
}
