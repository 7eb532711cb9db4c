/** Which weights an engine serves, and how their exchange goes. Versions are numbers, never names: names are unbounded. */
import type { Clock } from "../core/clock.js";
import { latencySecondsBuckets, type Metrics } from "../host/metrics.js";
import type { EngineRole } from "./engine-metrics.js";

export interface ModelMetrics {
  /** A version is known, and on its way. */
  announced(version: { number: number }): void;
  /** Runs the exchange, and counts how it went. */
  exchange(version: { number: number }, load: () => Promise<void>): Promise<void>;
}

export function modelMetrics(metrics: Metrics, clock: Clock, role: EngineRole, served: number): ModelMetrics {
  const labels = { role: "policy, grm or meta-rm: what the engine serves" } as const;
  const version = metrics.gauge({
    name: "covote_model_version",
    help: "Number of the weights that are served; 0: those of the checkpoint",
    labels,
  });
  const newest = metrics.gauge({
    name: "covote_model_announced_version",
    help: "Number of the newest weights that this process has heard of",
    labels,
  });
  const loadedAt = metrics.gauge({
    name: "covote_model_loaded_timestamp_seconds",
    help: "When the weights that are served were loaded, in seconds since the epoch",
    labels,
  });
  const seconds = metrics
    .histogram({
      name: "covote_model_load_seconds",
      help: "Putting new weights into the engine",
      labels,
      buckets: latencySecondsBuckets,
    })
    .at({ role });
  const failures = metrics
    .counter({
      name: "covote_model_load_failures_total",
      help: "New weights that could not be served at the first try; the old ones stay, and these are tried again",
      labels,
    })
    .at({ role });
  const serves = (number: number): void => {
    version.set(number, { role });
    loadedAt.set(clock.now() / 1000, { role });
  };
  serves(served);
  newest.set(served, { role });
  return {
    announced: ({ number }) => newest.set(number, { role }),
    exchange: async ({ number }, load) => {
      const startedAt = clock.monotonic();
      try {
        await load();
      } catch (thrown) {
        failures.inc(1);
        throw thrown;
      }
      seconds.observe((clock.monotonic() - startedAt) / 1000);
      serves(number);
    },
  };
}
