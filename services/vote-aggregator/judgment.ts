/**
 * Judgment: the work of rewarding one group, as a state machine without I/O.
 *
 * - `start` and `handle` take what happened and return what is to be done; the actor around it does it.
 * - A vote counts once, whatever is delivered twice, late, or by a judge of another version.
 * - It always finishes: when every ticket is settled, at the deadline, or on cancel; after that every event
 *   is ignored. The outcome holds what is known by then.
 * - One judge version per judgment: the first vote pins it. A vote by another version starts the judgment
 *   over with that version (a rollout of new GRM weights). Votes by the old one do not count from then on; a
 *   ballot that a worker with the old weights has cast goes out again, so that another one casts it.
 * - A vote whose scores do not fit its panel is an unparsable vote, whoever cast it.
 */
import type { NullReason } from "../../lib/core/null-reason.js";
import { type PlannedBallot, planBallots } from "../../lib/grm/panels.js";
import { type CountedVote, type Tally, tally } from "../../lib/tally/tally.js";
import type { PrinciplesSource } from "../../lib/wire/gen/covote/v1/common.js";

export interface JudgmentSpec {
  id: string;
  /** Number of responses. */
  responses: number;
  /** Votes per response. */
  votes: number;
  /** Votes kept by the meta RM; null: plain voting, the meta RM is not asked. */
  metaKeep: number | null;
  panelLimit: number;
  votesPerBallot: number;
  seed: number;
  /** Scores that each response takes, where not each takes one (see step-layout.ts). Votes and rewards are then about
   * these, numbered through, and `kinds` says which of them can be compared. */
  unitsOf?: readonly number[];
  kinds?: readonly number[];
  /** Sets of principles drawn apart: vote j of a response is cast with set j modulo these. Left out, or 0: none. */
  split?: number;
}

export interface CastVote {
  voteId: string;
  judgeVersion: string;
  worker: string;
  text: string;
  principles: string;
  critique: string;
  /** One per response of the panel (or per unit), in the order shown; null: the vote failed for `nullReason`. */
  scores: readonly number[] | null;
  nullReason: NullReason | null;
  failure: string;
  panelTooLong: boolean;
  /** Principles that were not written by the vote itself: who wrote them, and under which hash they are kept. */
  principlesSource?: PrinciplesSource;
  principlesKey?: string;
  cost: { promptTokens: number; cachedTokens: number; completionTokens: number; engineMs: number };
}

/** Tickets of one ballot to be put into the queue. */
export interface Dispatch {
  ballotId: string;
  attempt: number;
  order: readonly number[];
  tickets: readonly { voteId: string; seed: number; principleSet?: number }[];
}

export interface VoteOutcome {
  cast: CastVote;
  order: readonly number[];
  meta: number | null;
  kept: boolean;
}

export interface Outcome {
  /** One per response, or per unit. */
  rewards: readonly (
    | { value: number; sum: number; kept: number; usable: number; spread: number; agreement: number }
    | { value: null; reason: NullReason }
  )[];
  votes: readonly VoteOutcome[];
  /** True when the deadline or a cancel cut it short. */
  partial: boolean;
  judgeVersion: string;
  /** The meta RM that scored votes; empty: none did, and the tally is plain voting. */
  metaVersion: string;
}

export type JudgmentEvent =
  /** Traceparent: of the vote's span, where there is one; it decides nothing. */
  | { t: "vote"; vote: CastVote; traceparent?: string }
  /** Meta scores by vote id; null: the meta RM could not score it. Version: of the meta RM that did. */
  | { t: "meta"; scores: ReadonlyMap<string, number | null>; version?: string }
  /** Ballots that are overdue: put their open tickets into the queue again. */
  | { t: "overdue"; ballotIds: readonly string[] }
  /** The queue lost its content: publish what is open once more under the same attempt. */
  | { t: "requeue" }
  | { t: "deadline" }
  | { t: "cancel"; reason: NullReason };

export type Effect =
  | { t: "dispatch"; ballots: readonly Dispatch[] }
  | { t: "meta"; votes: readonly { vote: CastVote; order: readonly number[] }[] }
  | { t: "finish"; outcome: Outcome; openVoteIds: readonly string[] };

export interface JudgmentMachine {
  start(): Effect[];
  handle(event: JudgmentEvent): Effect[];
  /** Ballots with open tickets. */
  openBallots(): readonly { ballotId: string; attempt: number }[];
  /** What a vote's scores are about, in the order of its panel: responses, or their units. Empty for unknown votes. */
  orderOf(voteId: string): readonly number[];
}

interface BallotState {
  plan: PlannedBallot;
  attempt: number;
  open: Set<string>;
  /** Tickets that an old judge has voted on since the last dispatch. */
  outdated: Set<string>;
  outdatedDispatches: number;
}

/** A ballot that old judges have cast so often waits for its patience like a lost one. */
const maxOutdatedDispatches = 3;

export function createJudgment(spec: JudgmentSpec): JudgmentMachine {
  const ballots = new Map<string, BallotState>();
  const ballotOf = new Map<string, BallotState>();
  const votes = new Map<string, CastVote>();
  const meta = new Map<string, number | null>();
  const oldVersions = new Set<string>();
  let judgeVersion = "";
  let metaVersion = "";
  let generation = 0;
  let finished = false;

  const firstUnits = spec.unitsOf === undefined ? null : startsOf(spec.unitsOf);
  /** What the scores of a panel are about. */
  const unitsOn = (order: readonly number[]): readonly number[] => {
    if (firstUnits === null) return order;
    return order.flatMap((response) => {
      const first = firstUnits[response] as number;
      return Array.from({ length: (firstUnits[response + 1] as number) - first }, (_, i) => first + i);
    });
  };
  const dispatchOf = (ballot: BallotState): Dispatch => toDispatch(ballot, spec.split ?? 0);

  const plan = (): Effect[] => {
    const id = generation === 0 ? spec.id : `${spec.id}-g${generation}`;
    const { responses, votes: perResponse, panelLimit, votesPerBallot } = spec;
    const seed = spec.seed + generation;
    return open(
      planBallots({ judgmentId: id, responses, votes: perResponse, panelLimit, votesPerBallot, seed }),
    );
  };

  const open = (plans: readonly PlannedBallot[]): Effect[] => {
    const added = plans.map((p) => {
      const state: BallotState = {
        plan: p,
        attempt: 0,
        open: new Set(p.voteIds),
        outdated: new Set(),
        outdatedDispatches: 0,
      };
      ballots.set(p.ballotId, state);
      for (const voteId of p.voteIds) ballotOf.set(voteId, state);
      return state;
    });
    return [{ t: "dispatch", ballots: added.map(dispatchOf) }];
  };

  const onVote = (cast: CastVote): Effect[] => {
    const ballot = ballotOf.get(cast.voteId);
    if (!ballot?.open.has(cast.voteId)) return [];
    if (oldVersions.has(cast.judgeVersion)) return onOutdated(ballot, cast.voteId);
    const vote = checked(cast, unitsOn(ballot.plan.order).length);
    if (vote.judgeVersion !== "" && vote.judgeVersion !== judgeVersion) {
      if (judgeVersion !== "") return startOver(vote.judgeVersion);
      judgeVersion = vote.judgeVersion;
    }
    if (vote.panelTooLong && ballot.plan.order.length > 1) return split(ballot);
    ballot.open.delete(vote.voteId);
    votes.set(vote.voteId, vote);
    const effects: Effect[] = [];
    if (vote.scores !== null && spec.metaKeep !== null) {
      effects.push({ t: "meta", votes: [{ vote, order: ballot.plan.order }] });
    }
    return ballot.open.size === 0 && settled() ? [...effects, finish(false)] : effects;
  };

  /** A worker with old weights took the ballot; once it has spoilt all of it, somebody else may try. */
  const onOutdated = (ballot: BallotState, voteId: string): Effect[] => {
    ballot.outdated.add(voteId);
    for (const open of ballot.open) if (!ballot.outdated.has(open)) return [];
    if (ballot.outdatedDispatches === maxOutdatedDispatches) return [];
    ballot.outdatedDispatches++;
    ballot.outdated.clear();
    ballot.attempt++;
    return redispatch([ballot], dispatchOf);
  };

  const startOver = (version: string): Effect[] => {
    oldVersions.add(judgeVersion);
    judgeVersion = version;
    generation++;
    metaVersion = "";
    for (const map of [ballots, ballotOf, votes, meta]) map.clear();
    return plan();
  };

  /** A panel that does not fit the model's context is judged as two halves, each with as many votes. */
  const split = (ballot: BallotState): Effect[] => {
    const { ballotId, order, voteIds, voteSeeds, votesBefore } = ballot.plan;
    ballots.delete(ballotId);
    for (const voteId of voteIds) {
      ballotOf.delete(voteId);
      votes.delete(voteId);
      meta.delete(voteId);
    }
    const middle = Math.ceil(order.length / 2);
    const half = (name: string, part: number[]): PlannedBallot => ({
      ballotId: `${ballotId}${name}`,
      order: part,
      voteIds: voteIds.map((id) => `${id}${name}`),
      voteSeeds,
      votesBefore,
    });
    return open([half("a", order.slice(0, middle)), half("b", order.slice(middle))]);
  };

  const settled = (): boolean => {
    for (const ballot of ballots.values()) if (ballot.open.size > 0) return false;
    if (spec.metaKeep === null) return true;
    for (const vote of votes.values()) if (vote.scores !== null && !meta.has(vote.voteId)) return false;
    return true;
  };

  const finish = (partial: boolean, cut: NullReason | null = null): Effect => {
    finished = true;
    const openVoteIds = [...ballots.values()].flatMap((b) => [...b.open]);
    const counted: CountedVote[] = [...votes.values()].map((vote) => ({
      id: vote.voteId,
      order: orderOf(vote.voteId),
      scores: vote.scores,
      meta: meta.get(vote.voteId) ?? null,
    }));
    const result = tally(counted, {
      responses: firstUnits?.at(-1) ?? spec.responses,
      metaKeep: spec.metaKeep,
      ...(spec.kinds === undefined ? {} : { kinds: spec.kinds }),
    });
    const kept = new Set(result.keptVoteIds);
    return {
      t: "finish",
      openVoteIds,
      outcome: {
        rewards: result.rewards.map((r, i) =>
          r.value === null ? { value: null, reason: reasonFor(shownAs(i), cut) } : rewardOf(r),
        ),
        votes: [...votes.values()].map((cast) => ({
          cast,
          order: orderOf(cast.voteId),
          meta: meta.get(cast.voteId) ?? null,
          kept: kept.has(cast.voteId),
        })),
        partial,
        judgeVersion,
        metaVersion,
      },
    };
  };

  /** The response that a reward is about. */
  const shownAs = (unit: number): number =>
    firstUnits === null ? unit : firstUnits.findLastIndex((first) => first <= unit);

  /** Why a response has no usable vote: cut short while votes were open, else the commonest failure. */
  const reasonFor = (response: number, cut: NullReason | null): NullReason => {
    const counts = new Map<NullReason, number>();
    for (const ballot of ballots.values()) {
      if (!ballot.plan.order.includes(response)) continue;
      if (ballot.open.size > 0 && cut !== null) return cut;
      for (const voteId of ballot.plan.voteIds) {
        const reason = votes.get(voteId)?.nullReason;
        if (reason) counts.set(reason, (counts.get(reason) ?? 0) + 1);
      }
    }
    const [commonest] = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
    return commonest?.[0] ?? cut ?? "engine_unavailable";
  };

  const orderOf = (voteId: string): readonly number[] => {
    const ballot = ballotOf.get(voteId);
    return ballot === undefined ? [] : unitsOn(ballot.plan.order);
  };

  return {
    start: plan,
    handle: (event) => {
      if (finished) return [];
      switch (event.t) {
        case "vote":
          return onVote(event.vote);
        case "meta":
          for (const [voteId, score] of event.scores) {
            if (!votes.has(voteId)) continue;
            meta.set(voteId, score);
            if (score !== null) metaVersion = event.version ?? metaVersion;
          }
          return settled() ? [finish(false)] : [];
        case "overdue": {
          const late = event.ballotIds.map((id) => ballots.get(id)).filter((b) => b !== undefined);
          for (const ballot of late) ballot.attempt++;
          return redispatch(late, dispatchOf);
        }
        case "requeue":
          return redispatch([...ballots.values()], dispatchOf);
        case "deadline":
          return [finish(true, "deadline")];
        case "cancel":
          return [finish(true, event.reason)];
      }
    },
    openBallots: () =>
      [...ballots.values()]
        .filter((b) => b.open.size > 0)
        .map((b) => ({ ballotId: b.plan.ballotId, attempt: b.attempt })),
    orderOf,
  };
}

/** No failure becomes a number, also not one of a worker that counts or computes wrongly. */
function checked(vote: CastVote, panel: number): CastVote {
  const { scores } = vote;
  if (scores === null || (scores.length === panel && scores.every(Number.isFinite))) return vote;
  const failure = `the worker sent scores [${scores.join(", ")}] for a panel of ${panel}`;
  return { ...vote, scores: null, nullReason: "unparsable", failure };
}

function redispatch(
  ballots: readonly BallotState[],
  dispatchOf: (ballot: BallotState) => Dispatch,
): Effect[] {
  const open = ballots.filter((b) => b.open.size > 0);
  return open.length === 0 ? [] : [{ t: "dispatch", ballots: open.map(dispatchOf) }];
}

function toDispatch(ballot: BallotState, split: number): Dispatch {
  const { ballotId, order, voteIds, voteSeeds, votesBefore } = ballot.plan;
  const tickets = voteIds
    .map((voteId, i) => {
      const seed = voteSeeds[i] ?? 0;
      return split === 0 ? { voteId, seed } : { voteId, seed, principleSet: (votesBefore + i) % split };
    })
    .filter((ticket) => ballot.open.has(ticket.voteId));
  return { ballotId, attempt: ballot.attempt, order, tickets };
}

/** Where the units of each response start, and, at the end, how many there are. */
function startsOf(unitsOf: readonly number[]): number[] {
  const starts = [0];
  for (const units of unitsOf) starts.push((starts.at(-1) as number) + units);
  return starts;
}

function rewardOf(r: Extract<Tally["rewards"][number], { value: number }>): Outcome["rewards"][number] {
  const { value, sum, kept, usable, spread, agreement } = r;
  return { value, sum, kept, usable, spread, agreement };
}
