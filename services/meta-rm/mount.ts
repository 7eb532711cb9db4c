/** The meta RM as part of a covote process. */
import type { ScalarEngine } from "../../lib/engine/engine.js";
import type { Runtime } from "../../lib/runtime/runtime.js";
import { startMetaRm } from "./service.js";

export const serviceName = "meta-rm";

export interface MetaRmMount {
  /** Default: the configured one. */
  openEngine?: () => Promise<ScalarEngine>;
}

export function mountMetaRm(runtime: Runtime, options: MetaRmMount = {}): void {
  const { config, grammar, clock, host } = runtime;
  const openEngine = options.openEngine ?? (() => runtime.scorer(serviceName));
  runtime.mount(serviceName, async (service) => {
    const engine = await openEngine();
    void engine.died?.then(host.fail);
    const log = host.log.child({ service: serviceName });
    const metaRm = await startMetaRm(
      {
        bus: runtime.bus(),
        respond: (subject, opts, handler) => service.endpoint("meta-scores", subject, opts, handler),
        engine,
        grammar,
        clock,
        log,
        metrics: host.metrics.forService(serviceName),
      },
      { batch: config.metaRm.batch, load: runtime.load },
    );
    return {
      stop: async (deadline) => {
        await metaRm.stop(deadline);
        await engine.close();
      },
    };
  });
}
