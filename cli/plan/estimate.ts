/**
 * What a budget of GPUs makes of a training: the best split and the steps per hour for every k, from the planner's own
 * optimum, and one k simulated with queues and tails. Pure.
 */

import { invalid } from "../../lib/core/errors.js";
import type { PerPool, PoolName } from "../../lib/scaling/observation.js";
import { perPool } from "../../lib/scaling/observation.js";
import { leastGpus } from "../../lib/scaling/settings.js";
import { plannerPools, staticSplit } from "../../lib/scaling/simulation/controllers.js";
import { problemAt } from "../../lib/scaling/simulation/fluid.js";
import type { EngineModel, PipelineModel } from "../../lib/scaling/simulation/model.js";
import { pipelineOf } from "../../lib/scaling/simulation/scenarios.js";
import { simulate } from "../../lib/scaling/simulation/simulate.js";
import { bestSplit, rateOf, withSpare } from "../../lib/scaling/split.js";

/** Lengths in tokens; speeds in generated tokens per second of a full replica (of the meta RM: tokens read). */
export interface PlanInputs {
  gpus: number;
  groupSize: number;
  groupsPerStep: number;
  panelSize: number;
  k: number;
  responseTokens: number;
  voteTokens: number;
  promptTokens: number;
  policyTokensPerS: number;
  grmTokensPerS: number;
  metaTokensPerS: number;
  policyGpus: number;
  grmGpus: number;
  metaGpus: number;
  learnerStepS: number;
  maxStaleness: number;
  seed: number;
}

export interface PlannedSplit {
  k: number;
  replicas: PerPool<number>;
  gpus: PerPool<number>;
  stepsPerHour: number;
  limit: PoolName | "learner";
}

export interface Plan {
  inputs: PlanInputs;
  /** The k that was asked for. */
  chosen: PlannedSplit;
  /** Steps per hour of the chosen split in the simulator, where requests have tails and staleness bounds what is under way. */
  simulatedStepsPerHour: number;
  byVotes: PlannedSplit[];
  /** The largest k that costs no more than a twentieth of the steps of one vote; null when none does. */
  freeVotes: number | null;
}

const usualVotes = [1, 2, 4, 8, 16, 32];
const simulatedSteps = 40;

/** Throws `invalid_argument` when the budget holds not even one replica of each. */
export function planBudget(inputs: PlanInputs): Plan {
  const model = modelOf(inputs);
  const least = leastGpus(plannerPools(model));
  if (inputs.gpus < least) {
    throw invalid("--gpus", `must be at least ${least}, one replica of each pool, got ${inputs.gpus}`);
  }
  const votes = [...new Set([...usualVotes, inputs.k])].sort((a, b) => a - b);
  const byVotes = votes.map((k) => splitFor({ ...model, k }));
  const chosen = byVotes.find(({ k }) => k === inputs.k) as PlannedSplit;
  const most = byVotes[0]?.stepsPerHour ?? 0;
  const cheap = byVotes.filter(({ k, stepsPerHour }) => k > 1 && stepsPerHour >= 0.95 * most);
  const expectedS = (simulatedSteps * 3600) / chosen.stepsPerHour;
  const { stepsPerHour } = simulate({
    model: { ...model, k: inputs.k },
    controller: staticSplit(),
    start: chosen.replicas,
    seed: inputs.seed,
    steps: simulatedSteps,
    untilS: 20 * expectedS,
  });
  return {
    inputs,
    chosen,
    simulatedStepsPerHour: stepsPerHour,
    byVotes,
    freeVotes: cheap.at(-1)?.k ?? null,
  };
}

function splitFor(model: PipelineModel): PlannedSplit {
  const problem = problemAt(model, model.drift({ atS: 0, step: 0 }), model.gpus);
  const replicas = withSpare(bestSplit(problem), problem);
  const { rate, limit } = rateOf(replicas, problem);
  const gpus = perPool((pool) => replicas[pool] * model.engines[pool].gpusPerReplica);
  return { k: model.k, replicas, gpus, stepsPerHour: rate * 3600, limit };
}

function modelOf(inputs: PlanInputs): PipelineModel {
  const { responseTokens, voteTokens } = inputs;
  const usual = pipelineOf(inputs.gpus, () => ({ responseTokens, voteTokens, slowness: perPool(() => 1) }));
  const { policy, grm, metaRm } = usual.engines;
  return {
    ...usual,
    groupSize: inputs.groupSize,
    groupsPerStep: inputs.groupsPerStep,
    panelSize: inputs.panelSize,
    promptTokens: inputs.promptTokens,
    maxStaleness: inputs.maxStaleness,
    crashesPerHour: 0,
    learner: { baseS: inputs.learnerStepS, tokensPerS: 1e15 },
    engines: {
      policy: engineOf(policy, inputs.policyTokensPerS, inputs.policyGpus, inputs.groupSize),
      grm: engineOf(grm, inputs.grmTokensPerS, inputs.grmGpus, 1),
      // A score is reading: what it costs is counted in generated tokens.
      metaRm: engineOf(metaRm, inputs.metaTokensPerS * usual.prefillCost, inputs.metaGpus, 1),
    },
  };
}

/** The engine of this shape whose full batch makes so many tokens a second. */
function engineOf(
  shape: EngineModel,
  tokensPerS: number,
  gpusPerReplica: number,
  least: number,
): EngineModel {
  const slots = Math.max(shape.slots, least);
  const factor = slots / (tokensPerS * (shape.t0S + shape.t1S * slots));
  return { t0S: shape.t0S * factor, t1S: shape.t1S * factor, slots, gpusPerReplica };
}
