/**
 * Decisions as others see them: an event on the bus for each, and the last ones kept in the scaling bucket.
 *
 * A decision that repeats the one before, with the same reason, targets, votes and problem, is counted there instead of
 * being kept once more, so that the last ones are the last that differed.
 */
import type { Bus } from "../../lib/bus/bus.js";
import type { Clock } from "../../lib/core/clock.js";
import { deadlineIn, withDeadline } from "../../lib/core/deadline.js";
import type { Logger } from "../../lib/core/logger.js";
import { readHistory, writeHistory } from "../../lib/runtime/scaling-history.js";
import type { Decision } from "../../lib/scaling/decision.js";
import type { Observation, PerPool } from "../../lib/scaling/observation.js";
import { poolNames } from "../../lib/scaling/observation.js";
import type { PoolDecision, ScalingAction, ScalingDecision } from "../../lib/wire/gen/covote/v1/scaling.js";
import { scalingDecisionCodec } from "../../lib/wire/messages.js";
import type { PoolState } from "./actuator.js";

/** The subject token that decisions are published under. */
export const scalingEvents = "scaling";

export interface Told {
  id: string;
  atMs: number;
  decidedBy: string;
  actuator: string;
  dryRun: boolean;
  /** Null: nothing could be decided; `problem` says why. */
  decision: Decision | null;
  observation: Observation | null;
  states: PerPool<PoolState> | null;
  gpusPerReplica: PerPool<number>;
  actions: readonly ScalingAction[];
  problem: string;
}

export function toScalingDecision(told: Told): ScalingDecision {
  const { decision, observation } = told;
  return {
    decisionId: told.id,
    atMs: told.atMs,
    decidedBy: told.decidedBy,
    actuator: told.actuator,
    dryRun: told.dryRun,
    reason: decision?.reason ?? "held",
    blockedBy: decision?.blockedBy ?? "",
    detail: decision?.detail ?? "",
    moved: decision?.moved ?? false,
    pools: told.states === null ? [] : poolNames.map((pool) => poolDecision(pool, told)),
    budgetGpus: decision?.inputs.budgetGpus ?? 0,
    votesInForce: observation?.k ?? 0,
    votes: decision?.k ?? 0,
    voteReason: decision?.voteReason ?? "held",
    now: decision?.estimate?.now,
    best: decision?.estimate?.best && {
      stepsPerHour: decision.estimate.best.stepsPerHour,
      limit: decision.estimate.best.limit,
    },
    learnerStepS: decision?.inputs.learnerStepS ?? undefined,
    switchMs: decision?.inputs.switchMs ?? 0,
    actions: [...told.actions],
    problem: told.problem,
    repeats: 0,
    lastAtMs: told.atMs,
  };
}

function poolDecision(pool: (typeof poolNames)[number], told: Told): PoolDecision {
  const { decision, observation, states } = told;
  const state = (states as PerPool<PoolState>)[pool];
  const seen = observation?.pools[pool];
  return {
    pool,
    replicas: state.wanted,
    ready: state.ready,
    present: state.present,
    target: decision?.targets[pool] ?? state.wanted,
    gpusPerReplica: told.gpusPerReplica[pool],
    utilisation: seen?.utilisation ?? undefined,
    tokensPerS: seen?.tokensPerS ?? undefined,
    backlogItems: seen?.backlog?.items,
    ageMs: seen?.ageMs ?? undefined,
    replicaSecondsPerStep: decision?.inputs.replicaSecondsPerStep[pool] ?? undefined,
  };
}

export interface Telling {
  tell(decision: ScalingDecision): Promise<void>;
}

const operationMs = 3000;

export function openTelling(
  { bus, clock, log }: { bus: Bus; clock: Clock; log: Logger },
  most: number,
): Telling {
  /** Null: not read yet in this life, or another co-scaler may have written since. */
  let kept: ScalingDecision[] | null = null;

  const keep = async (decision: ScalingDecision): Promise<void> => {
    kept ??= await readHistory(bus);
    const last = kept.at(-1);
    if (last !== undefined && isRepeat(last, decision)) {
      kept[kept.length - 1] = {
        ...decision,
        decisionId: last.decisionId,
        atMs: last.atMs,
        repeats: last.repeats + 1,
      };
    } else kept.push(decision);
    kept = kept.slice(-most);
    await writeHistory(bus, kept);
  };

  return {
    tell: async (decision) => {
      try {
        bus.publish(bus.subjects.events(scalingEvents), scalingDecisionCodec.encode(decision));
        const what = "keeping a scaling decision";
        await withDeadline(deadlineIn(clock, operationMs), { what, clock }, () => keep(decision));
      } catch (error) {
        kept = null;
        log.warn({ decision_id: decision.decisionId, error }, "a scaling decision could not be told");
      }
    },
  };
}

function isRepeat(last: ScalingDecision, next: ScalingDecision): boolean {
  return sameness(last) === sameness(next);
}

function sameness(decision: ScalingDecision): string {
  const { decidedBy, actuator, dryRun, reason, blockedBy, detail, moved, votes, problem, budgetGpus } =
    decision;
  const pools = decision.pools.map(({ pool, replicas, target, ready }) => [pool, replicas, target, ready]);
  const actions = decision.actions.map(({ pool, from, to, outcome }) => [pool, from, to, outcome]);
  return JSON.stringify([
    ...[decidedBy, actuator, dryRun, reason, blockedBy, detail, moved, votes, problem, budgetGpus],
    pools,
    actions,
  ]);
}
