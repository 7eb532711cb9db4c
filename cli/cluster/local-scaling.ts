/**
 * The co-scaler of one machine: it changes how many GRM workers run here. The other pools have one member each, which
 * stays; the budget is in members, by default as many as the pools may have.
 */
import type { Bus } from "../../lib/bus/bus.js";
import type { Clock } from "../../lib/core/clock.js";
import type { Logger } from "../../lib/core/logger.js";
import type { CovoteConfig } from "../../lib/host/covote-config.js";
import type { Metrics } from "../../lib/host/metrics.js";
import { type PerPool, poolNames } from "../../lib/scaling/observation.js";
import type { PoolLimits } from "../../lib/scaling/settings.js";
import { type Actuator, soleLeader } from "../../services/co-scaler/actuator.js";
import { coScalerOptions } from "../../services/co-scaler/options.js";
import { type CoScaler, startCoScaler } from "../../services/co-scaler/service.js";
import type { LocalPool } from "./local-pool.js";

export interface LocalScaling {
  bus: Bus;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  config: CovoteConfig;
  workers: LocalPool;
}

/** The co-scaler is a service like the others, a process of its own with --processes. */
export function scalesAsService({ scaling }: CovoteConfig): boolean {
  return scaling.enabled && scaling.actuator !== "local";
}

export function scalesHere({ scaling }: CovoteConfig): boolean {
  return scaling.enabled && scaling.actuator === "local";
}

export function startLocalScaling({ workers, config, ...parts }: LocalScaling): Promise<CoScaler> {
  const pools = localPools(config);
  const one = { wanted: 1, ready: 1, present: 1 };
  const actuator: Actuator = {
    name: "local",
    read: async () => ({ policy: one, grm: workers.state(), metaRm: one }),
    apply: async ({ to }) => workers.resize(to),
    close: () => Promise.resolve(),
  };
  const options = coScalerOptions(config, "covote");
  return startCoScaler(
    { ...parts, openActuator: async () => ({ actuator, leadership: soleLeader }) },
    {
      ...options,
      planner: { ...options.planner, pools },
      budgetGpus: options.budgetGpus ?? poolNames.reduce((sum, pool) => sum + pools[pool].max, 0),
    },
  );
}

function localPools({ scaling }: CovoteConfig): PerPool<PoolLimits> {
  const { min, max } = scaling.pools.grm;
  const one = { min: 1, max: 1, gpusPerReplica: 1 };
  return { policy: one, grm: { min, max, gpusPerReplica: 1 }, metaRm: one };
}
