/**
 * The planner: observations in, replicas per pool and votes per panel out. Pure: time is in the observation, nothing is
 * read or written elsewhere, the same observations give the same decisions.
 *
 * Promises: never below a minimum, above a maximum or above the budget; what is not known moves nothing; a move has to
 * gain more than the hysteresis and pay for its switch within the horizon; one move at a time, within cool-downs. Only
 * what breaks a limit is changed at once, measured or not.
 */
import type { Decision, DecisionInputs, ScalingBlock, ScalingReason, SplitEstimate } from "./decision.js";
import {
  type Doubt,
  doubtOf,
  type EstimatesState,
  newEstimates,
  replicaSecondsPerStep,
  switchMsOf,
  takeInObservation,
} from "./estimates.js";
import { longAgo } from "./figure.js";
import { type Hindsight, hindsight, hindsightRules, type Remembered, rememberMoment } from "./hindsight.js";
import { known, type Observation, type PerPool, type PoolName, perPool, poolNames } from "./observation.js";
import { checkBudget, type PlannerOptions, type PlannerSettings, plannerSettings } from "./settings.js";
import { bestSplit, fitted, gpusOf, type Rate, rateOf, type SplitProblem, withSpare } from "./split.js";
import { planVotes } from "./votes.js";

/** All that a planner remembers; plain data, so that a successor can go on. */
export interface PlannerState {
  estimates: EstimatesState;
  budgetGpus: number | null;
  targets: PerPool<number> | null;
  changedAtMs: PerPool<number>;
  grownAtMs: PerPool<number>;
  /** Estimates of the last hours, and what they say about following. */
  memory: Remembered[];
  hindsight: Hindsight | null;
}

export interface Planner {
  readonly settings: PlannerSettings;
  /** Throws `failed_precondition` when the budget does not hold the minimums; nothing is changed then. */
  decide(observation: Observation): Decision;
  state(): PlannerState;
}

/** Throws `invalid_argument` for settings that cannot be. `from`: the state of a predecessor. */
export function createPlanner(options: PlannerOptions, from?: PlannerState): Planner {
  const settings = plannerSettings(options);
  const state = from === undefined ? newState() : structuredClone(from);
  return {
    settings,
    state: () => structuredClone(state),
    decide: (observation) => decide(state, observation, settings),
  };
}

function newState(): PlannerState {
  return {
    estimates: newEstimates(),
    budgetGpus: null,
    targets: null,
    changedAtMs: perPool(() => longAgo),
    grownAtMs: perPool(() => longAgo),
    memory: [],
    hindsight: null,
  };
}

interface Verdict {
  targets: PerPool<number>;
  reason: ScalingReason;
  blockedBy?: ScalingBlock;
  detail?: string | null;
  estimate?: Decision["estimate"];
}

function decide(state: PlannerState, seen: Observation, settings: PlannerSettings): Decision {
  const budget = known(seen.budgetGpus) ?? state.budgetGpus;
  if (budget !== null) checkBudget(budget, settings.pools);
  state.budgetGpus = budget;
  takeInObservation(state.estimates, seen, settings);
  const base = perPool((pool) =>
    wholeOr(seen.pools[pool].replicas, state.targets?.[pool] ?? settings.pools[pool].min),
  );
  const doubt = doubtOf(state.estimates, seen.nowMs, settings);
  const problem = problemOf(state.estimates, settings, budget ?? gpusOf(base, settings.pools));
  const verdict = decideSplit({ state, seen, settings, base, problem, doubt, budgetKnown: budget !== null });
  const moved = poolNames.some((pool) => verdict.targets[pool] !== base[pool]);
  if (moved) remember(state, base, verdict.targets, seen.nowMs);
  state.targets = verdict.targets;
  const votes = decideVotes(state.estimates, seen, settings, doubt !== null);
  return {
    atMs: seen.nowMs,
    targets: { ...verdict.targets },
    k: votes.k,
    moved,
    reason: verdict.reason,
    blockedBy: verdict.blockedBy ?? null,
    detail: verdict.detail ?? null,
    voteReason: votes.reason,
    estimate: verdict.estimate ?? null,
    inputs: inputsOf(state, seen, settings, base, problem.budgetGpus),
  };
}

function problemOf(estimates: EstimatesState, settings: PlannerSettings, budgetGpus: number): SplitProblem {
  const stepMs = estimates.learnerStepMs.value;
  return {
    budgetGpus,
    pools: settings.pools,
    work: perPool((pool) => replicaSecondsPerStep(estimates, pool, settings.k.preferred) ?? 0),
    learnerRate: stepMs === null ? Number.POSITIVE_INFINITY : 1000 / stepMs,
  };
}

interface SplitInputs {
  state: PlannerState;
  seen: Observation;
  settings: PlannerSettings;
  base: PerPool<number>;
  problem: SplitProblem;
  doubt: Doubt | null;
  budgetKnown: boolean;
}

function decideSplit(inputs: SplitInputs): Verdict {
  const { state, seen, settings, base, problem, doubt } = inputs;
  const allowed = fitted(base, problem);
  if (poolNames.some((pool) => allowed[pool] !== base[pool])) {
    // A limit is broken, so something has to change now; where to is the best split when one is known.
    return { targets: doubt === null ? withSpare(bestSplit(problem), problem) : allowed, reason: "fitted" };
  }
  if (doubt !== null) {
    return { targets: base, reason: "held", blockedBy: doubt.block, detail: doubt.detail };
  }
  if (!inputs.budgetKnown) {
    return { targets: base, reason: "held", blockedBy: "metrics_missing", detail: "budgetGpus" };
  }
  lookBack(state, seen.nowMs, problem, settings);
  const now = rateOf(base, problem);
  const best = aim(state, problem);
  const bestRate = rateOf(best, problem);
  const gain = now.rate > 0 ? bestRate.rate / now.rate - 1 : Number.POSITIVE_INFINITY;
  const estimate = {
    now: perHour(now),
    best: { ...perHour(bestRate), replicas: best },
    gain: Math.max(0, gain),
  };
  const stay = (reason: ScalingReason, blockedBy?: ScalingBlock, detail?: string): Verdict => ({
    targets: base,
    reason,
    estimate,
    ...(blockedBy !== undefined && { blockedBy }),
    ...(detail !== undefined && { detail }),
  });
  if (now.limit === "learner") return stay("learner_bound");
  const next = towards(base, best, problem, settings.maxChange);
  const growth = growthOf(base, next, problem, state);
  // GPUs that nobody has cost nothing to use.
  const freeOfCharge = poolNames.every((pool) => next[pool] >= base[pool]);
  if (growth <= (freeOfCharge ? 0 : settings.hysteresis))
    return stay("balanced", gain > 0 ? "hysteresis" : undefined);
  const unready = transition(state, seen, base, next, settings);
  if (unready !== null) return stay("blocked", "transition", unready);
  if (!freeOfCharge && !pays(base, next, growth, problem, switchMsOf(state.estimates, settings), settings)) {
    return stay("blocked", "switch_cost");
  }
  const cooling = poolNames.find((pool) => cools(pool, next[pool] - base[pool], state, seen.nowMs, settings));
  if (cooling !== undefined) return stay("blocked", "cooldown", cooling);
  return { targets: next, reason: freeOfCharge ? "grown" : "rebalanced", estimate };
}

/** Remembers the moment, and asks anew whether following pays. */
function lookBack(
  state: PlannerState,
  nowMs: number,
  problem: SplitProblem,
  settings: PlannerSettings,
): void {
  const moment = { atMs: nowMs, work: problem.work, learnerRate: problem.learnerRate };
  if (!rememberMoment(state.memory, moment, hindsightRules)) return;
  const switchMs = switchMsOf(state.estimates, settings);
  state.hindsight = hindsight(state.memory, {
    problem,
    hysteresis: settings.hysteresis,
    lagMs: 1.5 * switchMs + settings.smoothingMs,
    switchMs,
    everyMs: hindsightRules.everyMs,
    wasFollowing: state.hindsight?.follow ?? true,
  });
}

/** Where to go: the best split of now, or the one that suits the last hours when following them would not have paid. */
function aim({ hindsight: past }: PlannerState, problem: SplitProblem): PerPool<number> {
  if (past === null || past.follow) return withSpare(bestSplit(problem), problem);
  return withSpare(fitted(past.stay, problem), problem);
}

/** What a move gains: now, or over the last hours when it is made for them. */
function growthOf(
  base: PerPool<number>,
  next: PerPool<number>,
  problem: SplitProblem,
  { hindsight: past, memory }: PlannerState,
): number {
  if (past === null || past.follow) return rateOf(next, problem).rate / rateOf(base, problem).rate - 1;
  const sum = (split: PerPool<number>): number =>
    memory.reduce(
      (all, { work, learnerRate }) => all + rateOf(split, { ...problem, work, learnerRate }).rate,
      0,
    );
  return sum(next) / sum(base) - 1;
}

/** From `base` to `best`, as far as one decision may go: `maxChange` of the budget's GPUs, one replica at least. */
function towards(
  base: PerPool<number>,
  best: PerPool<number>,
  problem: SplitProblem,
  maxChange: number,
): PerPool<number> {
  const { pools, budgetGpus } = problem;
  const growing = (split: PerPool<number>): number =>
    poolNames.reduce(
      (sum, pool) => sum + Math.max(0, split[pool] - base[pool]) * pools[pool].gpusPerReplica,
      0,
    );
  const largest = Math.max(...poolNames.map((pool) => pools[pool].gpusPerReplica));
  const most = Math.max(maxChange * budgetGpus, largest);
  if (growing(best) <= most) return best;
  const share = most / growing(best);
  // Shrinking is rounded up and growing down, so that what grows has room.
  const part = perPool((pool) => base[pool] + Math.floor(share * (best[pool] - base[pool])));
  return fitted(part, problem);
}

/** Whether a move gains more within the horizon than it costs while replicas change. */
function pays(
  base: PerPool<number>,
  next: PerPool<number>,
  growth: number,
  { pools, budgetGpus }: SplitProblem,
  switchMs: number,
  { horizonMs }: PlannerSettings,
): boolean {
  const changing = poolNames.reduce(
    (sum, pool) => sum + Math.max(0, next[pool] - base[pool]) * pools[pool].gpusPerReplica,
    0,
  );
  return growth * Math.max(0, horizonMs - switchMs) > (changing / budgetGpus) * switchMs;
}

/**
 * The pool that would give replicas away while others of it still get ready: that is how flapping begins. Null when there
 * is none, or when getting ready takes too long to wait for.
 */
function transition(
  state: PlannerState,
  seen: Observation,
  base: PerPool<number>,
  next: PerPool<number>,
  settings: PlannerSettings,
): PoolName | null {
  return (
    poolNames.find((pool) => {
      const recent = seen.nowMs - state.grownAtMs[pool] <= settings.transitionMs;
      return recent && next[pool] < base[pool] && seen.pools[pool].ready < base[pool];
    }) ?? null
  );
}

function cools(
  pool: PoolName,
  change: number,
  state: PlannerState,
  nowMs: number,
  settings: PlannerSettings,
): boolean {
  if (change === 0) return false;
  return nowMs - state.changedAtMs[pool] < (change > 0 ? settings.cooldownUpMs : settings.cooldownDownMs);
}

function remember(state: PlannerState, base: PerPool<number>, targets: PerPool<number>, nowMs: number): void {
  for (const pool of poolNames) {
    if (targets[pool] !== base[pool]) state.changedAtMs[pool] = nowMs;
    if (targets[pool] > base[pool]) state.grownAtMs[pool] = nowMs;
  }
}

function decideVotes(
  estimates: EstimatesState,
  seen: Observation,
  settings: PlannerSettings,
  doubtful: boolean,
): { k: number; reason: Decision["voteReason"] } {
  const k = wholeOr(seen.k, settings.k.preferred);
  const bounded = Math.min(settings.k.max, Math.max(settings.k.min, k));
  if (settings.k.min === settings.k.max) return { k: bounded, reason: "preferred" };
  if (doubtful) return { k: bounded, reason: "held" };
  const ready = perPool((pool) => Math.max(0, seen.pools[pool].ready));
  const stepMs = estimates.learnerStepMs.value;
  const rate = (pool: PoolName): number => {
    const work = replicaSecondsPerStep(estimates, pool, 1) ?? 0;
    return work > 0 ? ready[pool] / work : Number.POSITIVE_INFINITY;
  };
  const otherRate = Math.min(rate("policy"), stepMs === null ? Number.POSITIVE_INFINITY : 1000 / stepMs);
  const rateAtOne = Math.min(rate("grm"), rate("metaRm"));
  return planVotes({ k: bounded, bounds: settings.k, otherRate, rateAtOne });
}

function inputsOf(
  { estimates }: PlannerState,
  seen: Observation,
  settings: PlannerSettings,
  replicas: PerPool<number>,
  budgetGpus: number,
): DecisionInputs {
  const stepMs = estimates.learnerStepMs.value;
  return {
    budgetGpus,
    replicas,
    ready: perPool((pool) => seen.pools[pool].ready),
    replicaSecondsPerStep: perPool((pool) => replicaSecondsPerStep(estimates, pool, settings.k.preferred)),
    utilisation: { ...estimates.utilisation },
    learnerStepS: stepMs === null ? null : stepMs / 1000,
    switchMs: switchMsOf(estimates, settings),
  };
}

function perHour({ rate, limit }: Rate): SplitEstimate {
  return { stepsPerHour: rate * 3600, limit };
}

function wholeOr(value: number, otherwise: number): number {
  const whole = known(value);
  return whole === null ? otherwise : Math.round(whole);
}
