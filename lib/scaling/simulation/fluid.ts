/**
 * The pipeline as a fluid: no queues, no tails, every stage at its mean. It ranks splits before they are simulated, and
 * says how many steps a training of some hours has.
 */
import type { PerPool } from "../observation.js";
import { bestSplit, gpusOf, rateOf, type SplitProblem } from "../split.js";
import { plannerPools, trueWork } from "./controllers.js";
import type { Drift, Moment, PipelineModel } from "./model.js";

export function problemAt(model: PipelineModel, drift: Drift, gpus: number): SplitProblem {
  const tokens = model.groupsPerStep * model.groupSize * drift.responseTokens;
  return {
    budgetGpus: gpus,
    pools: plannerPools(model),
    work: trueWork(model, drift, model.k),
    learnerRate: 1 / (model.learner.baseS + tokens / model.learner.tokensPerS),
  };
}

/** Steps of `totalS` seconds, each moment at the rate of its best split. */
export function stepsIn(model: PipelineModel, totalS: number): number {
  let steps = 0;
  const sliceS = totalS / 480;
  for (let atS = 0; atS < totalS; atS += sliceS) {
    const gpus = gpusAt(model, atS);
    const problem = problemAt(model, model.drift({ atS, step: steps }), gpus);
    steps += rateOf(bestSplit(problem), problem).rate * sliceS;
  }
  return Math.max(1, Math.floor(steps));
}

/** Steps of a training that takes `totalS` under the best splits when the drift follows its progress, 0..1. */
export function stepsOfProgress(
  model: PipelineModel,
  drift: (share: number) => Drift,
  totalS: number,
): number {
  const slices = 100;
  let perStep = 0;
  for (let i = 0; i < slices; i++) {
    const problem = problemAt(model, drift((i + 0.5) / slices), model.gpus);
    perStep += 1 / rateOf(bestSplit(problem), problem).rate / slices;
  }
  return Math.max(1, Math.floor(totalS / perStep));
}

function gpusAt(model: PipelineModel, atS: number): number {
  const gone = model.losses.filter((loss) => atS >= loss.atS && atS < loss.untilS);
  return model.gpus - gone.reduce((sum, { nodes }) => sum + nodes.length * model.gpusPerNode, 0);
}

export interface RankedSplit {
  split: PerPool<number>;
  /** Seconds that the training would take. */
  seconds: number;
}

/** Every split that uses the whole budget, fastest first. */
export function rankStatic(model: PipelineModel, steps: number, totalS: number): RankedSplit[] {
  const pools = plannerPools(model);
  const moments = sampleMoments(model, steps, totalS);
  const ranked: RankedSplit[] = [];
  for (const split of fullSplits(model)) {
    if (gpusOf(split, pools) > model.gpus) continue;
    let seconds = 0;
    for (const { problem, share } of moments) seconds += (share * steps) / rateOf(split, problem).rate;
    ranked.push({ split, seconds });
  }
  return ranked.sort((a, b) => a.seconds - b.seconds);
}

/** The drift at moments along the training, each for a share of its steps. */
function sampleMoments(
  model: PipelineModel,
  steps: number,
  totalS: number,
): { problem: SplitProblem; share: number }[] {
  const slices = 48;
  const moments: Moment[] = [];
  for (let i = 0; i < slices; i++)
    moments.push({ atS: ((i + 0.5) / slices) * totalS, step: ((i + 0.5) / slices) * steps });
  const problems = moments.map((moment) => problemAt(model, model.drift(moment), model.gpus));
  // Work that takes longer is met for longer, but each slice of steps counts the same.
  return problems.map((problem) => ({ problem, share: 1 / slices }));
}

function* fullSplits(model: PipelineModel): Generator<PerPool<number>> {
  const { policy, grm, metaRm } = model.engines;
  const mostMeta =
    metaRm.slots > 0 ? Math.max(1, Math.floor((0.15 * model.gpus) / metaRm.gpusPerReplica)) : 0;
  for (let meta = metaRm.slots > 0 ? 1 : 0; meta <= mostMeta; meta++) {
    const rest = model.gpus - meta * metaRm.gpusPerReplica;
    for (let p = 1; p * policy.gpusPerReplica < rest; p++) {
      const g = Math.floor((rest - p * policy.gpusPerReplica) / grm.gpusPerReplica);
      if (g >= 1) yield { policy: p, grm: g, metaRm: meta };
    }
  }
}

export function evenSplit(model: PipelineModel): PerPool<number> {
  const { policy, grm, metaRm } = model.engines;
  const meta = metaRm.slots > 0 ? Math.max(1, Math.floor(model.gpus / 32 / metaRm.gpusPerReplica)) : 0;
  const half = (model.gpus - meta * metaRm.gpusPerReplica) / 2;
  return {
    policy: Math.max(1, Math.floor(half / policy.gpusPerReplica)),
    grm: Math.max(1, Math.floor(half / grm.gpusPerReplica)),
    metaRm: meta,
  };
}
