/** What a policy-sampler tells Prometheus. */
import { latencySecondsBuckets, type Metrics } from "../../lib/host/metrics.js";
import type { SampledGroup } from "../../lib/sampling/sample-group.js";

export function samplerMetrics(metrics: Metrics) {
  const groups = metrics.counter({ name: "covote_groups_sampled_total", help: "Groups sampled" });
  const tokens = metrics.counter({
    name: "covote_sampled_tokens_total",
    help: "Tokens of responses sampled",
  });
  const refused = metrics.counter({
    name: "covote_prompts_refused_total",
    help: "Prompts that the policy cannot sample: too long, or unknown words",
  });
  const seconds = metrics.histogram({
    name: "covote_group_sampling_seconds",
    help: "From a prompt to its sampled group, waiting for newer weights included",
    buckets: latencySecondsBuckets,
  });
  return {
    sampled: (group: SampledGroup, ms: number): void => {
      groups.inc(1);
      tokens.inc(group.cost.completionTokens);
      seconds.observe(ms / 1000);
    },
    refused: (): void => refused.inc(1),
  };
}
