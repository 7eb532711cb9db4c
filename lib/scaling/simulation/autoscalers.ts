/**
 * The autoscalers that a cluster has without a co-scaler, each pool on its own: the Horizontal Pod Autoscaler of
 * Kubernetes (autoscaling/v2, default behaviour) on the length of the pool's queue, and KEDA on the lag of its NATS
 * consumer, which is the same controller on another number.
 *
 * Written after the controller's rules: desired = ceil(metric / target per pod) unless the ratio is within the tolerance
 * of 0.1; the highest recommendation of the last five minutes when shrinking; growing by at most 4 pods or 100 % per 15
 * seconds, whichever is more. KEDA asks for a replica per `lagThreshold` messages (default 10), counted as pending plus
 * delivered and not acknowledged. Its polling interval (30 s) and cool-down (300 s) act only between zero and one
 * replica: pools here keep at least one, and from one on the Horizontal Pod Autoscaler asks every 15 seconds.
 */
import { type PerPool, perPool, poolNames } from "../observation.js";
import type { Controller, View } from "./simulate.js";

export interface HpaSettings {
  /** AverageValue of an external metric. */
  targetPerPod: number;
  min: number;
  max: number;
}

export const hpaDefaults = {
  syncS: 15,
  tolerance: 0.1,
  downWindowS: 300,
  upPeriodS: 15,
  upPods: 4,
  upPercent: 100,
} as const;

export interface Hpa {
  /** `replicas`: of the workload, pending ones included. Returns what it should have. */
  sync(nowS: number, metric: number, replicas: number): number;
}

export function createHpa({ targetPerPod, min, max }: HpaSettings): Hpa {
  const { tolerance, downWindowS, upPeriodS, upPods, upPercent } = hpaDefaults;
  let recommendations: { atS: number; replicas: number }[] = [];
  let begun = false;
  let growths: { atS: number; replicas: number }[] = [];

  function recommend(metric: number, replicas: number): number {
    const ratio = metric / (targetPerPod * replicas);
    return Math.abs(1 - ratio) <= tolerance ? replicas : Math.ceil(metric / targetPerPod);
  }

  return {
    sync: (nowS, metric, replicas) => {
      const wanted = recommend(metric, replicas);
      // What runs when it first looks counts as its first recommendation: nothing is scaled in before the window is over.
      if (!begun) recommendations.push({ atS: nowS, replicas });
      begun = true;
      recommendations = recommendations.filter(({ atS }) => nowS - atS < downWindowS);
      recommendations.push({ atS: nowS, replicas: wanted });
      const highest = Math.max(...recommendations.map((each) => each.replicas));
      // Growing is not stabilised; shrinking goes to the highest of the window, and never grows.
      const stable = wanted > replicas ? wanted : Math.min(replicas, highest);
      growths = growths.filter(({ atS }) => nowS - atS < upPeriodS);
      const before = replicas - growths.reduce((sum, each) => sum + each.replicas, 0);
      const limit = Math.max(before + upPods, Math.ceil(before * (1 + upPercent / 100)));
      const next = Math.max(min, Math.min(max, stable > replicas ? Math.min(stable, limit) : stable));
      if (next > replicas) growths.push({ atS: nowS, replicas: next - replicas });
      return next;
    },
  };
}

/** One autoscaler per pool on the work items that wait. */
export function hpaOnQueue(targetPerPod: number): Controller {
  return perPoolHpa(targetPerPod, ({ pending }) => pending);
}

export const kedaLagThreshold = 10;

/** KEDA's nats-jetstream scaler: lag is what waits and what is being worked on. */
export function kedaOnLag(): Controller {
  return perPoolHpa(kedaLagThreshold, ({ pending, ackPending }) => pending + ackPending);
}

function perPoolHpa(
  targetPerPod: number,
  metric: (queue: { pending: number; ackPending: number }) => number,
): Controller {
  let hpas: PerPool<Hpa> | null = null;
  return {
    everyS: hpaDefaults.syncS,
    tick: (view) => {
      hpas ??= perPool((pool) => createHpa({ targetPerPod, ...boundsOf(view, pool) }));
      const each = hpas;
      return {
        targets: perPool((pool) =>
          each[pool].sync(view.nowS, metric(view.queue(pool)), Math.max(1, view.counts(pool).replicas)),
        ),
      };
    },
  };
}

/** At least one; at most what the budget holds beside one replica of each other pool. */
function boundsOf({ model }: View, pool: keyof PerPool<unknown>): { min: number; max: number } {
  const others = poolNames
    .filter((other) => other !== pool && model.engines[other].slots > 0)
    .reduce((sum, other) => sum + model.engines[other].gpusPerReplica, 0);
  if (model.engines[pool].slots === 0) return { min: 0, max: 0 };
  return { min: 1, max: Math.max(1, Math.floor((model.gpus - others) / model.engines[pool].gpusPerReplica)) };
}
