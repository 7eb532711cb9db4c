/**
 * The co-scaler's loop: look, decide, remember, act, tell.
 *
 * - Only the leader acts, and asks again before each change whether it still is.
 * - What it acts on was read in the same round. Whatever could not be read, decided or remembered holds what there is:
 *   the round ends with the reason in one line, and the next one tries again.
 * - What it is about to do is remembered before it is done, as absolute numbers: a successor goes on from there, and
 *   what is done twice is done once.
 * - Once somebody else has changed a pool, what there is then is where the planner decides from.
 */
import type { Bus } from "../../lib/bus/bus.js";
import type { Clock } from "../../lib/core/clock.js";
import { CovoteError } from "../../lib/core/errors.js";
import { newId } from "../../lib/core/ids.js";
import type { Logger } from "../../lib/core/logger.js";
import type { LoadBook } from "../../lib/runtime/load-book.js";
import type { Decision } from "../../lib/scaling/decision.js";
import { type Observation, type PerPool, perPool, poolNames } from "../../lib/scaling/observation.js";
import { createPlanner, type Planner } from "../../lib/scaling/planner.js";
import type { PlannerOptions } from "../../lib/scaling/settings.js";
import type { ScalingAction, ScalingDecision } from "../../lib/wire/gen/covote/v1/scaling.js";
import type { Actuator, Leadership, PoolChange, PoolState } from "./actuator.js";
import { type Telling, toScalingDecision } from "./decisions.js";
import type { Memory, MemoryStore } from "./memory.js";
import type { CoScalerMetrics } from "./metrics.js";
import { type ObservingOptions, observe, roleOfPool } from "./observe.js";
import { createStartWatch, type StartWatch } from "./starts.js";
import { nextSteps } from "./steps.js";

export interface ControllerParts {
  bus: Bus;
  clock: Clock;
  log: Logger;
  book: LoadBook;
  actuator: Actuator;
  leadership: Leadership;
  memory: MemoryStore;
  telling: Telling;
  metrics: CoScalerMetrics;
  /** Makes judgments get so many votes from now on. */
  setVotes(votes: number, decisionId: string): Promise<void>;
}

export interface ControllerOptions {
  name: string;
  planner: PlannerOptions;
  observing: ObservingOptions;
  /** Null: what the pools hold when the cluster is seen first. */
  budgetGpus: number | null;
  dryRun: boolean;
  /** Votes on every response before any were decided. */
  votes: number;
}

export interface Controller {
  /** One round; never rejects. Null: another co-scaler leads. */
  round(): Promise<ScalingDecision | null>;
  /** Replicas that each pool is to have; null before the first decision of this life. */
  goal(): PerPool<number> | null;
}

interface Mind {
  memory: Memory;
  planner: Planner;
  starts: StartWatch;
}

export function createController(parts: ControllerParts, options: ControllerOptions): Controller {
  const { bus, clock, log, book, actuator, leadership, memory: store } = parts;
  const gpusPerReplica = perPool((pool) => options.planner.pools[pool].gpusPerReplica);
  let mind: Mind | null = null;
  let lastProblem = "";

  const wake = async (): Promise<Mind> => {
    const memory = await store.recall();
    const planner = createPlanner(options.planner, memory.planner ?? undefined);
    return { memory, planner, starts: createStartWatch() };
  };

  /** What the pools are on the way to; as they are once somebody else has changed one of them. */
  const goalOf = ({ memory }: Mind, states: PerPool<PoolState>): PerPool<number> => {
    const asIs = perPool((pool) => states[pool].wanted);
    const { goal, begun } = memory;
    if (goal === null || begun === null) return asIs;
    const ours = poolNames.every((pool) => {
      const { from, to } = begun[pool];
      return asIs[pool] >= Math.min(from, to) && asIs[pool] <= Math.max(from, to);
    });
    return ours ? goal : asIs;
  };

  /** A state that this planner cannot go on from, of another version perhaps, is forgotten: it holds until it has learned. */
  const plan = (planner: Planner, observation: Observation): { planner: Planner; decision: Decision } => {
    try {
      return { planner, decision: planner.decide(observation) };
    } catch (thrown) {
      const error = CovoteError.from(thrown);
      if (error.code !== "internal") throw error;
      log.error({ error }, "the planner cannot go on from what was remembered and begins anew");
      const anew = createPlanner(options.planner);
      return { planner: anew, decision: anew.decide(observation) };
    }
  };

  const act = async (changes: readonly PoolChange[]): Promise<ScalingAction[]> => {
    const actions: ScalingAction[] = [];
    for (const change of changes) {
      if (options.dryRun) {
        actions.push({ ...change, outcome: "would_scale", detail: "" });
        continue;
      }
      if (!leadership.holds()) {
        actions.push({ ...change, outcome: "failed", detail: "the lease was lost meanwhile" });
        break;
      }
      try {
        await actuator.apply(change, book.hosts(roleOfPool[change.pool], clock.monotonic()));
        actions.push({ ...change, outcome: "scaled", detail: "" });
      } catch (thrown) {
        const { message: detail } = CovoteError.from(thrown);
        actions.push({ ...change, outcome: "failed", detail });
        // The rest was planned on this one's success.
        break;
      }
    }
    return actions;
  };

  const decide = async (id: string, round: Round): Promise<void> => {
    mind ??= await wake();
    const { memory, starts } = mind;
    const states = await actuator.read();
    round.states = states;
    const goal = goalOf(mind, states);
    const budgetGpus = options.budgetGpus ?? memory.budgetGpus ?? heldGpus(states, gpusPerReplica);
    const votes = memory.votes ?? options.votes;
    // Wall time, so that it means the same to a successor; it never goes back.
    const nowMs = Math.max(clock.now(), memory.nowMs);
    const observation = observe(
      {
        ...{ nowMs, book, states, goal, budgetGpus, votes },
        monotonicMs: clock.monotonic(),
        startsMs: starts.look(states, nowMs),
        queues: await bus.queueStatus().catch(() => null),
      },
      options.observing,
    );
    round.observation = observation;
    const { planner, decision } = plan(mind.planner, observation);
    round.decision = decision;
    const steps = nextSteps(states, decision.targets, gpusPerReplica, budgetGpus);
    const begun = perPool((pool) => {
      const { wanted } = states[pool];
      return steps.changes.find((change) => change.pool === pool) ?? { pool, from: wanted, to: wanted };
    });
    const next: Memory = {
      layout: 1,
      planner: planner.state(),
      goal: options.dryRun ? null : decision.targets,
      begun: options.dryRun ? null : begun,
      budgetGpus,
      nowMs,
      votes: decision.k,
    };
    await store.keep(next);
    mind = { memory: next, planner, starts };
    round.actions = await act(steps.changes);
    for (const wait of steps.waits) {
      const detail = "GPUs are still held by replicas that start or drain";
      round.actions.push({ ...wait, outcome: options.dryRun ? "would_scale" : "waits", detail });
    }
    if (!options.dryRun) await parts.setVotes(decision.k, id);
  };

  return {
    goal: () => mind?.memory.goal ?? null,
    round: async () => {
      const leads = leadership.holds();
      parts.metrics.leads(leads);
      if (!leads) {
        // Another one decides meanwhile: what this one remembers would be old.
        mind = null;
        const problem = leadership.problem();
        // Another one may lead or not: from here nobody knows.
        if (problem !== null) return tell(newId(), { ...blank(), problem: `the lease: ${problem}` });
        lastProblem = "";
        return null;
      }
      const id = newId();
      const round = blank();
      try {
        await decide(id, round);
      } catch (thrown) {
        const error = CovoteError.from(thrown);
        round.problem = error.message;
        // Nothing was decided that is remembered: the next round begins with what is.
        mind = null;
      }
      return tell(id, round);
    },
  };

  async function tell(id: string, round: Round): Promise<ScalingDecision> {
    const decision = toScalingDecision({
      ...round,
      id,
      atMs: clock.now(),
      decidedBy: options.name,
      actuator: actuator.name,
      dryRun: options.dryRun,
      gpusPerReplica,
    });
    say(decision);
    parts.metrics.decided(decision);
    await parts.telling.tell(decision);
    return decision;
  }

  function say(decision: ScalingDecision): void {
    const { decisionId: decision_id, reason, blockedBy: blocked_by, detail, problem, actions } = decision;
    const about = { decision_id, reason, blocked_by, detail, actions };
    if (problem !== "") {
      const isNew = problem !== lastProblem;
      log[isNew ? "warn" : "debug"](about, `the pools stay as they are: ${problem}`);
    } else if (actions.length > 0) log.info(about, "the split changes");
    else log.debug(about, "the split stays");
    lastProblem = problem;
  }
}

interface Round {
  states: PerPool<PoolState> | null;
  observation: Observation | null;
  decision: Decision | null;
  actions: ScalingAction[];
  problem: string;
}

function blank(): Round {
  return { states: null, observation: null, decision: null, actions: [], problem: "" };
}

function heldGpus(states: PerPool<PoolState>, gpusPerReplica: PerPool<number>): number {
  return poolNames.reduce((sum, pool) => sum + states[pool].wanted * gpusPerReplica[pool], 0);
}
