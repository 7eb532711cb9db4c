/** What the planner is told, from load reports, queues and what the actuator found. Pure. */
import type { QueueStatus } from "../../lib/bus/bus.js";
import type { LoadBook, RoleFigures } from "../../lib/runtime/load-book.js";
import {
  known,
  type Observation,
  type PerPool,
  type PoolName,
  perPool,
} from "../../lib/scaling/observation.js";
import type { PoolState } from "./actuator.js";

/** Under which role the processes of a pool report. */
export const roleOfPool = { policy: "policy", grm: "grm", metaRm: "meta-rm" } as const;

export interface Seen {
  /** The planner's time. */
  nowMs: number;
  /** The book's. */
  monotonicMs: number;
  book: LoadBook;
  states: PerPool<PoolState>;
  startsMs: PerPool<readonly number[]>;
  /** Replicas that each pool is to have; more than are wanted while GPUs are waited for. */
  goal: PerPool<number>;
  /** Null when NATS could not be asked. */
  queues: readonly QueueStatus[] | null;
  budgetGpus: number | null;
  /** Votes on every response, in force. */
  votes: number;
}

export interface ObservingOptions {
  /** Null: the learner tells. */
  responsesPerStep: number | null;
  groupSize: number;
  votesPerBallot: number;
}

export function observe(seen: Seen, options: ObservingOptions): Observation {
  const { book, monotonicMs, votes } = seen;
  const engines = perPool((pool) => book.engines(roleOfPool[pool], monotonicMs));
  const judging = book.judging(monotonicMs);
  const learner = book.learner(monotonicMs);
  const ages = [
    judging.ageMs,
    engines.policy.ageMs,
    engines.grm.ageMs,
    options.responsesPerStep === null ? learner.ageMs : 0,
  ];
  return {
    nowMs: seen.nowMs,
    budgetGpus: seen.budgetGpus,
    k: votes,
    pools: perPool((pool) => ({
      replicas: seen.goal[pool],
      ready: seen.states[pool].ready,
      tokensPerS: engines[pool].tokensPerS,
      utilisation: engines[pool].utilisation,
      backlog: backlogOf(pool, engines[pool], seen.queues, options),
      ageMs: engines[pool].ageMs,
      startsMs: seen.startsMs[pool],
    })),
    work: {
      responsesPerStep: options.responsesPerStep ?? learner.responsesPerStep,
      tokensPerResponse: engines.policy.tokensPerItem,
      // Requests per response were measured at the numbers of votes then asked for, on the mean.
      votesPerResponse:
        judging.votesPerResponse === null || !judging.meanVotes
          ? null
          : (judging.votesPerResponse / judging.meanVotes) * votes,
      tokensPerVote: engines.grm.tokensPerItem,
      metaScoresPerVote: judging.metaScoresPerVote,
      tokensPerMetaScore: engines.metaRm.tokensPerItem,
      // As old as the oldest of what it is made from.
      ageMs: ages.includes(null) ? null : Math.max(...ages.map((age) => age ?? 0)),
    },
    learner: { stepMs: learner.stepMs, waiting: learner.waiting },
  };
}

/** What no engine has yet: whole groups in the queue of prompts, ballots in theirs, what waits at the meta RM. */
function backlogOf(
  pool: PoolName,
  { waiting, reporters, tokensPerItem }: RoleFigures,
  queues: readonly QueueStatus[] | null,
  { groupSize, votesPerBallot }: ObservingOptions,
): { items: number; tokens: number } | null {
  const pending = (name: QueueStatus["queue"]): number | null =>
    known(queues?.find(({ queue }) => queue === name)?.pending);
  const counts: PerPool<number | null> = {
    policy: times(pending("prompts"), groupSize),
    grm: times(pending("ballots"), votesPerBallot),
    metaRm: reporters === 0 ? null : waiting,
  };
  const items = counts[pool];
  return items === null ? null : { items, tokens: items * (tokensPerItem ?? 0) };
}

function times(count: number | null, each: number): number | null {
  return count === null ? null : count * each;
}
