/**
 * What the planner is told. Plain data, gathered by whoever runs it: a co-scaler from metrics, a simulator from itself.
 *
 * `null` says "not known": nobody measured it, the source vanished, or the figure made no sense. A reader never
 * writes 0 for what it could not read. NaN, infinities and negative figures are taken for null.
 */

/** The three pools that share the budget. */
export const poolNames = ["policy", "grm", "metaRm"] as const;
export type PoolName = (typeof poolNames)[number];
export type PerPool<T> = Record<PoolName, T>;

export interface PoolObservation {
  /** Replicas that are wanted now: ready, starting and pending ones; those that drain are not among them. */
  replicas: number;
  /** Of these, how many work. */
  ready: number;
  /** Tokens per second that a ready replica generates, idle time included: the pool's rate over its ready replicas. */
  tokensPerS: number | null;
  /** Share of the ready replicas' slots that are taken, 0..1. */
  utilisation: number | null;
  /** What waits for the pool and is in no engine yet: requests of an engine, and the tokens they will take. */
  backlog: { items: number; tokens: number } | null;
  /** Age of the newest measurement behind these figures, in milliseconds. */
  ageMs: number | null;
  /** Times from "wanted" to "ready" of the replicas that became ready since the last observation. */
  startsMs?: readonly number[];
}

/** What a learner's step takes, measured over the last minutes. */
export interface WorkObservation {
  responsesPerStep: number | null;
  tokensPerResponse: number | null;
  /** GRM requests per response at the observation's `k`: a vote on a panel of 8 counts as 1/8 for each response. */
  votesPerResponse: number | null;
  tokensPerVote: number | null;
  /** Meta scores per vote, 0 where no meta RM runs. */
  metaScoresPerVote: number | null;
  /** In the tokens that the meta RM's `tokensPerS` counts. */
  tokensPerMetaScore: number | null;
  ageMs: number | null;
}

export interface LearnerObservation {
  /** Time of a step when its batch is there, waiting left out. */
  stepMs: number | null;
  /** Share of its time that the learner waited for experience, 0..1. */
  waiting: number | null;
}

export interface Observation {
  /** Milliseconds of a clock that never goes back. */
  nowMs: number;
  /** GPUs that the pools may have together; null when it could not be read: the last one holds. */
  budgetGpus: number | null;
  /** Votes per panel in force. */
  k: number;
  pools: PerPool<PoolObservation>;
  work: WorkObservation;
  learner: LearnerObservation;
}

/** A table with an entry per pool. */
export function perPool<T>(make: (pool: PoolName) => T): PerPool<T> {
  return { policy: make("policy"), grm: make("grm"), metaRm: make("metaRm") };
}

/** The figure, or null when it is none: missing, NaN, infinite, below 0. */
export function known(value: number | null | undefined): number | null {
  return value === null || value === undefined || !Number.isFinite(value) || value < 0 ? null : value;
}
