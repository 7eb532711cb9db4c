/**
 * One scenario under every controller: the planner, the best static split, the autoscalers, and the clairvoyant that all
 * are measured by.
 */
import type { PerPool } from "../observation.js";
import { hpaOnQueue, kedaOnLag } from "./autoscalers.js";
import { clairvoyant, plannerController, plannerPools, staticSplit, trueSplit } from "./controllers.js";
import { evenSplit, rankStatic } from "./fluid.js";
import type { Scenario } from "./scenarios.js";
import { type Controller, type SimulationResult, simulate } from "./simulate.js";

export interface Comparison {
  scenario: string;
  gpus: number;
  steps: number;
  /** Hours that the clairvoyant takes. */
  hours: number;
  clairvoyantStepsPerHour: number;
  /** Throughput as a share of the clairvoyant's. */
  share: { ours: number; static: number; hpa: number; keda: number };
  staticSplit: PerPool<number>;
  /** Replica changes per ten minutes, the first hour left out. */
  changesPerTenMinutes: number;
}

export interface CompareOptions {
  scenario: Scenario;
  seed: number;
  hours: number;
  /** False: fewer tries of the clairvoyant, of static splits and of the autoscaler's target, for sizes where one replica
   * more or less is nothing. */
  thorough?: boolean;
}

/**
 * What is tried, the best of which counts: queue lengths per pod for the Horizontal Pod Autoscaler, leans of the
 * clairvoyant, static splits of all that are ranked.
 */
const tries = {
  thorough: { hpaTargets: [2, 10], leans: [0.93, 1, 1.07], statics: 4 },
  quick: { hpaTargets: [10], leans: [1], statics: 2 },
} as const;
/** A controller that takes this many times the hours that it should is stopped there. */
const patience = 4;

export function compare({ scenario, seed, hours, thorough = true }: CompareOptions): Comparison {
  const { model, steps } = scenario;
  const { hpaTargets, leans, statics: staticTried } = thorough ? tries.thorough : tries.quick;
  const totalS = hours * 3600;
  const run = (controller: Controller, start: PerPool<number>): SimulationResult =>
    simulate({ model, controller, start, seed, steps, untilS: patience * totalS });
  const fastest = (results: SimulationResult[]): SimulationResult =>
    results.reduce((best, each) => (each.stepsPerHour > best.stepsPerHour ? each : best));

  const candidates = rankStatic(model, steps, totalS).slice(0, staticTried);
  const statics = candidates.map(({ split }) => ({ split, result: run(staticSplit(), split) }));
  const bestStatic = statics.reduce((best, each) =>
    each.result.stepsPerHour > best.result.stepsPerHour ? each : best,
  );
  const truth = model.drift({ atS: 0, step: 0 });
  const oracle = fastest([
    ...leans.map((lean) => run(clairvoyant(lean), trueSplit(model, truth, model.gpus, model.k, lean))),
    // Never to switch is one of the things that a clairvoyant may do.
    bestStatic.result,
  ]);
  const even = evenSplit(model);
  const k = { min: model.k, max: model.k, preferred: model.k };
  const ours = run(plannerController({ pools: plannerPools(model), k }), even);
  const hpa = fastest(hpaTargets.map((target) => run(hpaOnQueue(target), even)));
  const keda = run(kedaOnLag(), even);
  const share = (result: SimulationResult): number => result.stepsPerHour / oracle.stepsPerHour;
  return {
    scenario: scenario.name,
    gpus: scenario.gpus,
    steps,
    hours: oracle.seconds / 3600,
    clairvoyantStepsPerHour: oracle.stepsPerHour,
    share: { ours: share(ours), static: share(bestStatic.result), hpa: share(hpa), keda: share(keda) },
    staticSplit: bestStatic.split,
    changesPerTenMinutes: changesPerTenMinutes(ours),
  };
}

const settledAfterS = 3600;

export function changesPerTenMinutes({ changes, seconds }: SimulationResult): number {
  const after = changes.filter(({ atS }) => atS > settledAfterS);
  const replicas = after.reduce((sum, each) => sum + each.replicas, 0);
  return (replicas * 600) / Math.max(600, seconds - settledAfterS);
}
