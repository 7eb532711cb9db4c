/**
 * What the planner believes about the pipeline: work per step, speed of replicas, time of a switch. Taken in observation
 * by observation; says which figure is missing, old or not believed instead of guessing.
 */
import {
  type CapacityState,
  fullSpeed,
  isSaturated,
  isTelling,
  learnCapacity,
  newCapacity,
} from "./capacity.js";
import type { ScalingBlock } from "./decision.js";
import { type FigureState, newFigure, takeIn } from "./figure.js";
import { known, type Observation, type PerPool, type PoolName, perPool, poolNames } from "./observation.js";
import type { PlannerSettings } from "./settings.js";

const workFields = [
  "responsesPerStep",
  "tokensPerResponse",
  "votesPerResponse",
  "tokensPerVote",
  "metaScoresPerVote",
  "tokensPerMetaScore",
] as const;
type WorkField = (typeof workFields)[number];

export interface EstimatesState {
  work: Record<WorkField, FigureState>;
  /** Tokens per second of a full replica. */
  fullSpeed: PerPool<FigureState>;
  /** As last seen. */
  utilisation: PerPool<number | null>;
  capacity: PerPool<CapacityState>;
  learnerStepMs: FigureState;
  /** The last few observed starts, in milliseconds. */
  startsMs: number[];
}

const startsKept = 5;
/** Time after which an almost idle pool's speed counts again: engines do change. */
const untoldMs = 1_800_000;
/** Observations of a figure before it is acted upon: the first ones see a pipeline that fills. */
const samplesToAct = 4;

export function newEstimates(): EstimatesState {
  return {
    work: Object.fromEntries(workFields.map((field) => [field, newFigure()])) as Record<
      WorkField,
      FigureState
    >,
    fullSpeed: perPool(newFigure),
    utilisation: perPool(() => null),
    capacity: perPool(newCapacity),
    learnerStepMs: newFigure(),
    startsMs: [],
  };
}

export function takeInObservation(state: EstimatesState, seen: Observation, settings: PlannerSettings): void {
  const { nowMs, work, pools, learner } = seen;
  const when = (ageMs: number | null): number => nowMs - (known(ageMs) ?? Number.POSITIVE_INFINITY);
  for (const field of workFields) {
    let value = known(work[field]);
    // Votes are kept per vote of a panel, so that they mean the same at every k.
    if (field === "votesPerResponse" && value !== null) value = seen.k > 0 ? value / seen.k : null;
    takeFresh(state.work[field], value, when(work.ageMs), field !== "metaScoresPerVote");
  }
  for (const pool of poolNames) {
    const { tokensPerS, utilisation, backlog, ageMs, ready, startsMs = [] } = pools[pool];
    const at = when(ageMs);
    const speed = known(tokensPerS);
    const share = known(utilisation);
    const waits = (known(backlog?.items) ?? 0) > 0;
    state.utilisation[pool] = share;
    if (speed !== null && speed > 0 && share !== null && share > 0 && ready > 0) {
      const capacity = state.capacity[pool];
      const saturated = isSaturated(capacity, share, waits);
      const figure = state.fullSpeed[pool];
      if (isTelling(capacity, share) || at - capacity.toldAtMs > untoldMs) {
        const believed = takeFresh(figure, fullSpeed(capacity, speed, share, saturated), at, true);
        if (believed) learnCapacity(capacity, speed, share, saturated);
        if (believed && isTelling(capacity, share)) capacity.toldAtMs = at;
      } else {
        // It is there and answers; what it can was seen when it had more to do.
        figure.atMs = Math.max(figure.atMs, at);
      }
    }
    for (const start of startsMs) {
      if (Number.isFinite(start) && start > 0) state.startsMs = [...state.startsMs, start].slice(-startsKept);
    }
  }
  const stepMs = known(learner.stepMs);
  if (stepMs !== null && stepMs > 0) takeFresh(state.learnerStepMs, stepMs, nowMs, true);

  function takeFresh(figure: FigureState, value: number | null, atMs: number, positive: boolean): boolean {
    if (value === null || (positive && value <= 0) || !(atMs > figure.atMs)) return false;
    const jumpFactor = positive ? settings.jumpFactor : Number.POSITIVE_INFINITY;
    takeIn(figure, value, atMs, { smoothingMs: settings.smoothingMs, jumpFactor });
    return figure.leap === null;
  }
}

export interface Doubt {
  block: ScalingBlock;
  detail: string;
}

/** The first figure that may not be acted upon; null when all may. */
export function doubtOf(state: EstimatesState, nowMs: number, settings: PlannerSettings): Doubt | null {
  const metaRm = settings.pools.metaRm.max > 0 && state.work.metaScoresPerVote.value !== 0;
  const figures: [string, FigureState][] = [
    ...workFields
      .filter((field) => metaRm || !["metaScoresPerVote", "tokensPerMetaScore"].includes(field))
      .map((field): [string, FigureState] => [`work.${field}`, state.work[field]]),
    ...poolNames
      .filter((pool) => pool !== "metaRm" || metaRm)
      .map((pool): [string, FigureState] => [`${pool}.tokensPerS`, state.fullSpeed[pool]]),
  ];
  for (const [detail, { value }] of figures) if (value === null) return { block: "metrics_missing", detail };
  for (const [detail, { samples, leap }] of figures) {
    if (samples < samplesToAct && leap === null) return { block: "warming_up", detail };
  }
  for (const [detail, { leap }] of figures) if (leap !== null) return { block: "metrics_jumped", detail };
  for (const [detail, { atMs }] of figures) {
    if (nowMs - atMs > settings.staleAfterMs) return { block: "metrics_stale", detail };
  }
  return null;
}

/** Replica-seconds that a step takes of a pool at `k` votes per panel; null when not known. */
export function replicaSecondsPerStep(state: EstimatesState, pool: PoolName, k: number): number | null {
  const speed = state.fullSpeed[pool].value;
  const tokens = tokensPerStep(state, pool, k);
  return speed === null || tokens === null ? null : tokens / speed;
}

function tokensPerStep({ work }: EstimatesState, pool: PoolName, k: number): number | null {
  const votes = product(work.responsesPerStep.value, work.votesPerResponse.value, k);
  if (pool === "policy") return product(work.responsesPerStep.value, work.tokensPerResponse.value);
  if (pool === "grm") return product(votes, work.tokensPerVote.value);
  return product(votes, work.metaScoresPerVote.value, work.tokensPerMetaScore.value);
}

function product(...factors: (number | null)[]): number | null {
  return factors.reduce((all, factor) => (all === null || factor === null ? null : all * factor), 1);
}

/** What a change of pool takes: the median of the last starts (one that waited for a node tells nothing), or the setting. */
export function switchMsOf({ startsMs }: EstimatesState, settings: PlannerSettings): number {
  const ascending = [...startsMs].sort((a, b) => a - b);
  const [low, high] = [ascending[(ascending.length - 1) >> 1], ascending[ascending.length >> 1]];
  return low === undefined || high === undefined ? settings.switchMs : (low + high) / 2;
}
