/**
 * co-scaler: reads what the cluster reports, plans the split of the GPU budget over its pools and the votes on every
 * response, and has it carried out. What it decides and why is an event, and kept.
 */
import type { Bus } from "../../lib/bus/bus.js";
import type { Clock } from "../../lib/core/clock.js";
import type { Deadline } from "../../lib/core/deadline.js";
import type { Logger } from "../../lib/core/logger.js";
import type { GrpcService } from "../../lib/host/grpc.js";
import type { Metrics } from "../../lib/host/metrics.js";
import { type LoadWatch, watchLoads } from "../../lib/runtime/load-watch.js";
import type { PlannerOptions } from "../../lib/scaling/settings.js";
import type { ScalingDecision } from "../../lib/wire/gen/covote/v1/scaling.js";
import type { Actuator, Leadership } from "./actuator.js";
import { createController } from "./controller.js";
import { openTelling } from "./decisions.js";
import { openMemory } from "./memory.js";
import { coScalerMetrics } from "./metrics.js";
import type { ObservingOptions } from "./observe.js";
import { voteSetter } from "./votes.js";

export interface CoScalerDependencies {
  bus: Bus;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  /** Made when load reports can be read. */
  openActuator(loads: LoadWatch): Promise<OpenedActuator>;
}

export interface OpenedActuator {
  actuator: Actuator;
  leadership: Leadership;
  /** Served over gRPC. */
  api?: GrpcService;
}

export interface CoScalerOptions {
  name: string;
  intervalMs: number;
  history: number;
  planner: PlannerOptions;
  observing: ObservingOptions;
  budgetGpus: number | null;
  dryRun: boolean;
  /** Votes on every response: before any were decided, and whether they are decided here. */
  votes: { configured: number; enabled: boolean };
}

export interface CoScaler {
  readonly api: GrpcService | null;
  /** One round now, besides those of the clock; null: another co-scaler leads. */
  round(): Promise<ScalingDecision | null>;
  stop(deadline: Deadline): Promise<void>;
}

export async function startCoScaler(
  { bus, clock, log, metrics, openActuator }: CoScalerDependencies,
  options: CoScalerOptions,
): Promise<CoScaler> {
  const { name, intervalMs, history, votes, ...rest } = options;
  const meter = coScalerMetrics(metrics);
  const loads = watchLoads(bus, clock, meter.reported);
  await bus.flush();
  const { actuator, leadership, api } = await openActuator(loads);
  const setVotes = voteSetter({ bus, clock }, intervalMs);
  const controller = createController(
    {
      ...{ bus, clock, log, actuator, leadership },
      book: loads.book,
      memory: openMemory({ bus, clock }),
      telling: openTelling({ bus, clock, log }, history),
      metrics: meter,
      setVotes: (count, decisionId) => (votes.enabled ? setVotes(count, decisionId) : Promise.resolve()),
    },
    { ...rest, name, votes: votes.configured },
  );

  let running: Promise<ScalingDecision | null> | null = null;
  let stopped = false;
  /** One at a time: who asks during a round gets that round. */
  const round = (): Promise<ScalingDecision | null> => {
    if (stopped) return Promise.resolve(null);
    running ??= controller.round().finally(() => {
      running = null;
    });
    return running;
  };
  const timer = clock.every(intervalMs, () => void round(), { background: true });

  return {
    api: api ?? null,
    round,
    stop: async () => {
      stopped = true;
      timer.cancel();
      await running;
      await leadership.stop();
      await actuator.close();
      loads.close();
    },
  };
}
