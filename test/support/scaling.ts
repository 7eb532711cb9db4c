/** A pipeline on paper for the planner's tests: observations that follow exactly from work, speeds and a split. */
import { type Observation, type PerPool, perPool } from "../../lib/scaling/observation.js";
import type { PlannerOptions } from "../../lib/scaling/settings.js";

export interface PaperPipeline {
  /** Replica-seconds per step of each pool. */
  work: PerPool<number>;
  budgetGpus: number;
  learnerStepMs: number;
  k: number;
}

export const paper: PaperPipeline = {
  work: { policy: 30, grm: 50, metaRm: 2 },
  budgetGpus: 32,
  learnerStepMs: 500,
  k: 8,
};

export function paperSettings(more: Partial<PlannerOptions> = {}): PlannerOptions {
  return {
    pools: perPool(() => ({ min: 1, max: 64, gpusPerReplica: 1 })),
    k: { min: 8, max: 8, preferred: 8 },
    ...more,
  };
}

/** What a perfect meter reads of full engines: 100 tokens a second per replica, 10 responses a step. */
export function observe(
  nowMs: number,
  replicas: PerPool<number>,
  pipeline: PaperPipeline = paper,
): Observation {
  const { work, budgetGpus, learnerStepMs, k } = pipeline;
  const votes = 10 * 0.125 * 8;
  return {
    nowMs,
    budgetGpus,
    k,
    pools: perPool((pool) => ({
      replicas: replicas[pool],
      ready: replicas[pool],
      tokensPerS: 100,
      utilisation: 1,
      backlog: { items: 4, tokens: 400 },
      ageMs: 0,
    })),
    work: {
      responsesPerStep: 10,
      tokensPerResponse: (100 * work.policy) / 10,
      votesPerResponse: 0.125 * k,
      tokensPerVote: (100 * work.grm) / votes,
      metaScoresPerVote: 1,
      tokensPerMetaScore: (100 * work.metaRm) / votes,
      ageMs: 0,
    },
    learner: { stepMs: learnerStepMs, waiting: 0.5 },
  };
}
