/**
 * Every metric that covote declares, without starting anything: what the catalogue, the dashboards and the alerts are
 * checked against.
 */
import type { ActorEvent } from "../../lib/actor/actor.js";
import type { BusEvent } from "../../lib/bus/bus.js";
import { systemClock } from "../../lib/core/clock.js";
import { createEventStream } from "../../lib/core/event-stream.js";
import type { EngineStats } from "../../lib/engine/engine.js";
import { grpcMetrics } from "../../lib/host/grpc-metrics.js";
import { createMetrics, type MetricInfo, type Metrics } from "../../lib/host/metrics.js";
import { tracingMetrics } from "../../lib/host/tracing-metrics.js";
import { actorMetrics } from "../../lib/runtime/actor-metrics.js";
import { busMetrics } from "../../lib/runtime/bus-metrics.js";
import { poolMeter, watchEndpoints } from "../../lib/runtime/endpoint-metrics.js";
import { engineMetrics } from "../../lib/runtime/engine-metrics.js";
import { modelMetrics } from "../../lib/runtime/model-metrics.js";
import { processMetrics } from "../../lib/runtime/process-metrics.js";
import { queueMetrics } from "../../lib/runtime/queue-metrics.js";
import { coScalerMetrics } from "../../services/co-scaler/metrics.js";
import { workerMetrics } from "../../services/grm-worker/metrics.js";
import { learnerMetrics } from "../../services/grpo-learner/metrics.js";
import { metaMetrics } from "../../services/meta-rm/metrics.js";
import { samplerMetrics } from "../../services/policy-sampler/metrics.js";
import { aggregatorMetrics } from "../../services/vote-aggregator/metrics.js";

export interface MetricGroup {
  title: string;
  /** Which processes have these. */
  where: string;
  metrics: MetricInfo[];
}

const clock = systemClock();
const idle: EngineStats = {
  running: 0,
  waiting: 0,
  slots: 0,
  generatedTokens: 0,
  promptTokens: 0,
  busyMs: 0,
};

export function declaredMetrics(): MetricGroup[] {
  return [
    group("Rewards", "vote-aggregator", (metrics) => aggregatorMetrics(metrics)),
    group("Work queues", "vote-aggregator; several tell the same, so take the maximum", (metrics) =>
      queueMetrics(metrics, { queueStatus: async () => [] }, clock),
    ),
    group("Actors", "vote-aggregator", (metrics) =>
      actorMetrics(metrics, { events: createEventStream<ActorEvent>(), size: 0 }),
    ),
    group("Votes", "grm-worker", (metrics) => workerMetrics(metrics)),
    group("Meta RM", "meta-rm", (metrics) => metaMetrics(metrics)),
    group("Sampling", "policy-sampler", (metrics) => samplerMetrics(metrics)),
    group("Engines", "policy-sampler, grm-worker, meta-rm", (metrics) =>
      engineMetrics(metrics, "grm", { stats: () => idle }),
    ),
    group(
      "Engine endpoints",
      "policy-sampler, grm-worker, meta-rm, on servers (`engine.kind: openai`)",
      (metrics) => {
        poolMeter(metrics);
        watchEndpoints(metrics, { endpoints: () => [] });
      },
    ),
    group("Model versions", "policy-sampler, grm-worker, meta-rm", (metrics) =>
      modelMetrics(metrics, clock, "grm", 0),
    ),
    group("Learning", "grpo-learner", (metrics) => learnerMetrics(metrics, { steps: 1, maxStaleness: 1 })),
    group("Co-scaling", "co-scaler", (metrics) => coScalerMetrics(metrics)),
    group("gRPC", "every process that serves gRPC", (metrics) => grpcMetrics(metrics)),
    group("Bus", "every process", (metrics) =>
      busMetrics(metrics, { events: createEventStream<BusEvent>(), status: () => "connected" }),
    ),
    group("Tracing", "every process, where tracing is on", (metrics) => tracingMetrics(metrics)),
    group("Process", "every process", (metrics) =>
      processMetrics(metrics, { node: "", grammar: { name: "", version: "" } }),
    ),
  ];
}

/** Those of prom-client that the same process has on every system. */
export function nodeMetrics(): MetricInfo[] {
  const systemOnly = /^process_(open_fds|max_fds|virtual_memory_bytes|heap_bytes)$/;
  return createMetrics({ service: "catalogue", process: true })
    .catalogue()
    .filter(({ name }) => !systemOnly.test(name));
}

/** Names as Prometheus stores them: a histogram is three. */
export function seriesNames(metrics: readonly MetricInfo[]): Set<string> {
  return new Set(
    metrics.flatMap(({ name, type }) =>
      type === "histogram" ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
    ),
  );
}

function group(title: string, where: string, declare: (metrics: Metrics) => unknown): MetricGroup {
  const metrics = createMetrics({ service: "catalogue" });
  declare(metrics);
  return { title, where, metrics: metrics.catalogue() };
}
