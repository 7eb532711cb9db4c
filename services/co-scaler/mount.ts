/** The co-scaler as part of a covote process. */
import { CovoteError } from "../../lib/core/errors.js";
import type { LoadWatch } from "../../lib/runtime/load-watch.js";
import type { Runtime } from "../../lib/runtime/runtime.js";
import { perPool } from "../../lib/scaling/observation.js";
import { soleLeader } from "./actuator.js";
import { createKedaActuator, externalScaler } from "./keda.js";
import { openKubernetes } from "./kubernetes/open.js";
import { createObservingActuator } from "./observing.js";
import { coScalerOptions } from "./options.js";
import { type OpenedActuator, startCoScaler } from "./service.js";

export const serviceName = "co-scaler";

export function mountCoScaler(runtime: Runtime): void {
  const { config, clock, host } = runtime;
  const options = coScalerOptions(config, host.id);
  const log = host.log.child({ service: serviceName });

  const openActuator = async (loads: LoadWatch): Promise<OpenedActuator> => {
    const max = perPool((pool) => config.scaling.pools[pool].max);
    const now = (): number => clock.monotonic();
    switch (config.scaling.actuator) {
      case "observe":
        return { actuator: createObservingActuator(loads.book, now, max), leadership: soleLeader };
      case "local":
        throw new CovoteError(
          "invalid_argument",
          "scaling.actuator: local is for covote up and covote train; a co-scaler of its own needs kubernetes, keda or observe",
          { field: "scaling.actuator" },
        );
      case "kubernetes":
        return openKubernetes(runtime, log);
      case "keda": {
        const actuator = createKedaActuator(loads.book, now, config.scaling.pools);
        return { actuator, leadership: soleLeader, api: externalScaler(actuator, max, host.signal) };
      }
    }
  };

  runtime.mount(serviceName, async () => {
    const coScaler = await startCoScaler(
      { bus: runtime.bus(), clock, log, metrics: host.metrics.forService(serviceName), openActuator },
      options,
    );
    return {
      ...(coScaler.api === null ? {} : { api: coScaler.api }),
      stop: (deadline) => coScaler.stop(deadline),
    };
  });
}
