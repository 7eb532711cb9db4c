/** What the planner answers: targets, and why. Plain data, fit for an event, a metric and a line of a log. */
import type { PerPool, PoolName } from "./observation.js";

/** Why the targets are what they are. Closed: names of metrics and events follow from it. */
export const scalingReasons = [
  /** Another split gives more steps per hour, enough to pay for the switch. */
  "rebalanced",
  /** What runs is more than the budget, less than a minimum, or more than a maximum, and had to change. */
  "fitted",
  /** GPUs are free, and a pool can use them. */
  "grown",
  /** No split is better by more than the hysteresis. */
  "balanced",
  /** The learner is slower than the pools: more replicas would only wait. */
  "learner_bound",
  /** A better split is known, and something forbids it now: see `blockedBy`. */
  "blocked",
  /** Figures are missing, old or not believed: the last safe state holds. See `blockedBy`. */
  "held",
] as const;
export type ScalingReason = (typeof scalingReasons)[number];

/** What stood in the way of a move. */
export const scalingBlocks = [
  "cooldown",
  "hysteresis",
  "switch_cost",
  "transition",
  /** The first observations, and the first after a leap that came true. */
  "warming_up",
  "metrics_missing",
  "metrics_stale",
  "metrics_jumped",
] as const;
export type ScalingBlock = (typeof scalingBlocks)[number];

/** Why k is what it is. */
export const voteReasons = ["preferred", "judging_limits", "grm_idle", "held"] as const;
export type VoteReason = (typeof voteReasons)[number];

/** What a split is expected to do. Rates are steps per hour. */
export interface SplitEstimate {
  stepsPerHour: number;
  /** What the split is limited by. */
  limit: PoolName | "learner";
}

/** What the planner believed when it decided. */
export interface DecisionInputs {
  budgetGpus: number;
  /** Replicas wanted before this decision. */
  replicas: PerPool<number>;
  ready: PerPool<number>;
  /** Replica-seconds that one step takes of a pool; null when not known. */
  replicaSecondsPerStep: PerPool<number | null>;
  utilisation: PerPool<number | null>;
  /** Seconds that the learner takes for a step; null when not known. */
  learnerStepS: number | null;
  /** What a replica's change of pool is expected to take. */
  switchMs: number;
}

export interface Decision {
  atMs: number;
  /** Replicas that each pool should have. */
  targets: PerPool<number>;
  /** Votes per panel. */
  k: number;
  /** True when `targets` are not what was wanted before. */
  moved: boolean;
  reason: ScalingReason;
  blockedBy: ScalingBlock | null;
  /** The figure or pool behind a block, in words: `grm.tokensPerS`, `policy`. */
  detail: string | null;
  voteReason: VoteReason;
  /** Null while too little is known. */
  estimate: {
    now: SplitEstimate;
    /** The best split, whether or not it was taken. */
    best: SplitEstimate & { replicas: PerPool<number> };
    /** best over now, less one. */
    gain: number;
  } | null;
  inputs: DecisionInputs;
}
