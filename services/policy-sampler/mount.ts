/** The policy-sampler as part of a covote process. */
import type { GenerativeEngine } from "../../lib/engine/engine.js";
import { openLlamaEngine } from "../../lib/engine/llama.js";
import type { Runtime } from "../../lib/runtime/runtime.js";
import { startPolicySampler } from "./service.js";

export const serviceName = "policy-sampler";

export interface PolicySamplerMount {
  /** Default: the configured checkpoint on the embedded engine. */
  openEngine?: () => Promise<GenerativeEngine>;
}

export function mountPolicySampler(runtime: Runtime, options: PolicySamplerMount = {}): void {
  const { config, clock, host } = runtime;
  const { slots } = config.policy;
  const openEngine =
    options.openEngine ??
    (async () => openLlamaEngine({ checkpoint: await runtime.checkpoint("policy"), slots }));
  runtime.mount(serviceName, async () => {
    const engine = await openEngine();
    void engine.died?.then(host.fail);
    const log = host.log.child({ service: serviceName });
    const sampler = await startPolicySampler(
      {
        ...{ bus: runtime.bus(), engine, clock, log, tracer: runtime.tracer() },
        metrics: host.metrics.forService(serviceName),
      },
      {
        name: `${host.id}-${serviceName}`,
        concurrency: Math.ceil(slots / config.training.groupSize) + 1,
        load: runtime.load,
      },
    );
    return {
      api: sampler.api,
      stop: async (deadline) => {
        await sampler.stop(deadline);
        await engine.close();
      },
    };
  });
}
