/** The grm-worker as part of a covote process. */
import type { GenerativeEngine } from "../../lib/engine/engine.js";
import type { MountedService, Runtime } from "../../lib/runtime/runtime.js";
import { startGrmWorker } from "./service.js";

export const serviceName = "grm-worker";

export interface GrmWorkerMount {
  /** Distinguishes the workers of one process; on the votes as their author. */
  name: string;
  /** Default: the configured one. */
  openEngine?: () => Promise<GenerativeEngine>;
}

export function mountGrmWorker(runtime: Runtime, options: GrmWorkerMount): void {
  runtime.mount(options.name, () => openGrmWorker(runtime, options));
}

/** One more worker on a runtime that runs. */
export async function openGrmWorker(runtime: Runtime, options: GrmWorkerMount): Promise<MountedService> {
  const { config, grammar, clock, host } = runtime;
  const openEngine = options.openEngine ?? (() => runtime.engine("grm", options.name));
  const engine = await openEngine();
  void engine.died?.then(host.fail);
  const log = host.log.child({ service: options.name });
  // Workers come and go while the process lives.
  const metrics = host.metrics.forService(options.name);
  const worker = await startGrmWorker(
    { bus: runtime.bus(), engine, grammar, clock, log, tracer: runtime.tracer(), metrics },
    {
      name: `${host.id}-${options.name}`,
      votesPerBallot: config.judging.votesPerBallot,
      maxTokens: config.grm.maxTokens,
      load: runtime.load,
      groups: Math.ceil(engine.slots / config.training.groupSize) + 1,
    },
  );
  return {
    stop: async (deadline) => {
      await worker.stop(deadline);
      await engine.close();
      metrics.end();
    },
  };
}
