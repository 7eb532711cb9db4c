/** Who may scale the simulated pipeline: nobody, the planner, a clairvoyant. Kubernetes' own are in autoscalers.ts. */
import type { Decision } from "../decision.js";
import { type PerPool, perPool } from "../observation.js";
import { createPlanner } from "../planner.js";
import type { PlannerOptions } from "../settings.js";
import { bestSplit, withSpare } from "../split.js";
import { type Drift, type PipelineModel, tokensPerS, workPerStep } from "./model.js";
import type { Controller } from "./simulate.js";

/** Never changes anything. */
export function staticSplit(): Controller {
  return { everyS: 60, tick: () => null };
}

export const planEveryS = 30;

/** The planner as it runs in production, on what the meter reads. */
export function plannerController(
  options: PlannerOptions,
  onDecision?: (decision: Decision) => void,
): Controller {
  const planner = createPlanner(options);
  return {
    everyS: planEveryS,
    tick: (view) => {
      const decision = planner.decide(view.observe());
      onDecision?.(decision);
      return { targets: decision.targets, k: decision.k };
    },
  };
}

export function plannerPools(model: PipelineModel): PlannerOptions["pools"] {
  return perPool((pool) => {
    const { gpusPerReplica, slots } = model.engines[pool];
    return slots > 0
      ? { min: 1, max: Math.floor(model.gpus / gpusPerReplica), gpusPerReplica }
      : { min: 0, max: 0, gpusPerReplica };
  });
}

/** Replica-seconds per step with engines as full as jobs can make them. */
export function trueWork(model: PipelineModel, drift: Drift, k: number): PerPool<number> {
  const work = workPerStep(model, drift, k);
  const jobSize = { policy: model.groupSize, grm: model.ballotVotes, metaRm: model.ballotVotes };
  return perPool((pool) => {
    const engine = model.engines[pool];
    if (engine.slots === 0) return 0;
    // The last slots stay empty until a whole job fits: half a job on average.
    const full = Math.max(1, engine.slots - (jobSize[pool] - 1) / 2);
    return (work[pool].cost * drift.slowness[pool]) / tokensPerS(engine, full);
  });
}

export function trueSplit(
  model: PipelineModel,
  drift: Drift,
  gpus: number,
  k: number,
  lean = 1,
): PerPool<number> {
  const work = trueWork(model, drift, k);
  const step = model.groupsPerStep * model.groupSize * drift.responseTokens;
  const problem = {
    budgetGpus: gpus,
    pools: plannerPools(model),
    work: { ...work, policy: work.policy * lean },
    learnerRate: 1 / (model.learner.baseS + step / model.learner.tokensPerS),
  };
  return withSpare(bestSplit(problem), problem);
}

/**
 * Knows the true work and speeds of the moment, changes the split every 15 seconds, at once and for nothing: no start, no
 * drain, nothing lost. `lean` weighs the policy's work, for those cases where the pipeline does best a little off balance.
 */
export function clairvoyant(lean = 1): Controller {
  return {
    everyS: 15,
    freeSwitching: true,
    tick: ({ model, truth, gpus, votes }) => ({ targets: trueSplit(model, truth(), gpus, votes, lean) }),
  };
}
