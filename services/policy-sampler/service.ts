/**
 * policy-sampler: samples groups of the policy for the learner, and single ones for callers of PolicyService.
 */
import type { Bus } from "../../lib/bus/bus.js";
import { followModel } from "../../lib/bus/model-versions.js";
import type { Clock } from "../../lib/core/clock.js";
import type { Deadline } from "../../lib/core/deadline.js";
import type { Logger } from "../../lib/core/logger.js";
import type { Tracer } from "../../lib/core/tracer.js";
import type { GenerativeEngine } from "../../lib/engine/engine.js";
import type { Metrics } from "../../lib/host/metrics.js";
import { engineMetrics } from "../../lib/runtime/engine-metrics.js";
import { type LoadOptions, reportLoad } from "../../lib/runtime/load-reports.js";
import { modelMetrics } from "../../lib/runtime/model-metrics.js";
import type { SampledGroup } from "../../lib/sampling/sample-group.js";
import { createSampling } from "../../lib/sampling/sampling.js";
import { samplerMetrics } from "./metrics.js";
import { type PolicyApi, policyApi } from "./policy-api.js";

export interface PolicySamplerDependencies {
  bus: Bus;
  engine: GenerativeEngine;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  tracer?: Tracer | null;
}

export interface PolicySamplerOptions {
  /** Name on the rollouts. */
  name: string;
  /** Groups sampled at a time. */
  concurrency: number;
  /** Default: the sampler tells nobody how busy it is. */
  load?: LoadOptions;
}

export interface PolicySampler {
  readonly api: PolicyApi;
  stop(deadline: Deadline): Promise<void>;
}

export async function startPolicySampler(
  { bus, engine, clock, log, metrics, tracer = null }: PolicySamplerDependencies,
  options: PolicySamplerOptions,
): Promise<PolicySampler> {
  const meter = samplerMetrics(metrics);
  engineMetrics(metrics, "policy", engine);
  const served = modelMetrics(metrics, clock, "policy", engine.version().number);
  const work = { items: 0, itemTokens: 0 };
  const counted = {
    ...meter,
    sampled: (group: SampledGroup, ms: number): void => {
      work.items += group.responses.length;
      work.itemTokens += group.cost.completionTokens;
      meter.sampled(group, ms);
    },
  };
  const { name, concurrency } = options;
  const sampling = createSampling(
    { bus, engine, clock, log, meter: counted, tracer },
    { name, concurrency, role: "policy" },
  );
  const weights =
    engine.load === undefined
      ? null
      : await followModel(bus, {
          role: "policy",
          clock,
          log,
          announced: (version) => {
            served.announced(version);
            sampling.announced(version);
          },
          load: (model) => served.exchange(model, () => sampling.load(model)),
        });
  sampling.start();
  const load = reportLoad(
    { bus, clock },
    { role: "policy", engine: { stats: () => engine.stats(), work: () => work } },
    options.load,
  );
  return {
    api: policyApi(engine),
    stop: async (deadline) => {
      await sampling.drain(deadline);
      load.stop();
      weights?.close();
    },
  };
}
