/** The policy-sampler as part of a covote process. */
import type { GenerativeEngine } from "../../lib/engine/engine.js";
import type { Runtime } from "../../lib/runtime/runtime.js";
import { startPolicySampler } from "./service.js";

export const serviceName = "policy-sampler";

export interface PolicySamplerMount {
  /** Default: the configured one. */
  openEngine?: () => Promise<GenerativeEngine>;
}

export function mountPolicySampler(runtime: Runtime, options: PolicySamplerMount = {}): void {
  const { config, clock, host } = runtime;
  const openEngine = options.openEngine ?? (() => runtime.engine("policy", serviceName));
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
        load: runtime.load,
        concurrency: Math.ceil(engine.slots / config.training.groupSize) + 1,
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
