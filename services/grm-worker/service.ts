/**
 * grm-worker: pulls ballots when it has room, casts their votes, and reports each vote as it finishes.
 *
 * - A ballot is acknowledged when all its votes are out; a failing engine gives it back for another worker,
 *   and on its last delivery the votes are reported as `engine_unavailable`.
 * - Votes that were cancelled, or whose deadline has passed, are dropped, not cast.
 * - It has room for another ballot as long as the engine has a free slot, counted in votes: a ballot of which
 *   one slow vote is left holds one slot, not a ballot's worth of them.
 */

import type { Bus, WorkItem } from "../../lib/bus/bus.js";
import { followModel } from "../../lib/bus/model-versions.js";
import { defaultQueues } from "../../lib/bus/queues.js";
import type { Clock } from "../../lib/core/clock.js";
import type { Deadline } from "../../lib/core/deadline.js";
import { CovoteError } from "../../lib/core/errors.js";
import type { Logger } from "../../lib/core/logger.js";
import type { GenerativeEngine } from "../../lib/engine/engine.js";
import { isChatMessage } from "../../lib/grm/chat.js";
import type { Grammar } from "../../lib/grm/grammar.js";
import type { Metrics } from "../../lib/host/metrics.js";
import type { Ballot, Vote, VoteTicket } from "../../lib/wire/gen/covote/v1/judging.js";
import { ballotCodec, cancelVotesCodec, voteCodec } from "../../lib/wire/messages.js";
import { createCancellations, type WatchedVote } from "./cancellations.js";
import { workerMetrics } from "./metrics.js";
import { type BallotPrompt, ballotPrompt, castVote, failed, type Voter } from "./vote.js";

export interface GrmWorkerDependencies {
  bus: Bus;
  engine: GenerativeEngine;
  grammar: Grammar;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
}

export interface GrmWorkerOptions {
  /** Name on the votes. */
  name: string;
  /** Votes that a ballot is expected to carry: with the engine's slots it says how many ballots to hold. */
  votesPerBallot: number;
}

export interface RunningService {
  stop(deadline: Deadline): Promise<void>;
}

export async function startGrmWorker(
  { bus, engine, grammar, clock, log, metrics }: GrmWorkerDependencies,
  options: GrmWorkerOptions,
): Promise<RunningService> {
  const voter: Voter = { engine, grammar, worker: options.name };
  const cancellations = createCancellations();
  const meter = workerMetrics(metrics, engine);

  const cancels = bus.subscribe(bus.subjects.cancels(), {}, (data) => {
    const { judgmentId, voteIds } = cancelVotesCodec.decode(data);
    cancellations.cancel(judgmentId, voteIds);
  });
  const weights = await followModel(bus, { role: "grm", log, load: (w) => engine.load(w) });

  const report = (ballot: Ballot, vote: Vote): void => {
    meter.cast(vote);
    bus.publish(ballot.replySubject, voteCodec.encode(vote));
  };

  /** The failure that another worker may not have; a cancelled vote needs no answer. */
  const cast = async (
    ballot: Ballot,
    prompt: BallotPrompt,
    ticket: VoteTicket,
    { signal, release }: WatchedVote,
  ): Promise<CovoteError | null> => {
    try {
      if (signal.aborted) return null;
      report(ballot, await castVote(voter, ballot, prompt, ticket, signal));
      return null;
    } catch (thrown) {
      const error = CovoteError.from(thrown);
      return error.code === "cancelled" ? null : error;
    } finally {
      release();
      openVotes--;
      makeRoom();
    }
  };

  /** One listener for all votes of the ballot: a derived signal for each costs more than the vote's message. */
  const castAll = async (ballot: Ballot, prompt: BallotPrompt, stop: AbortSignal) => {
    const watched = ballot.tickets.map((t) => cancellations.watch(ballot.judgmentId, t.voteId));
    const abortAll = (): void => {
      for (const vote of watched) vote.abort();
    };
    if (stop.aborted) abortAll();
    stop.addEventListener("abort", abortAll, { once: true });
    openVotes += ballot.tickets.length;
    makeRoom();
    try {
      return await Promise.all(
        ballot.tickets.map((t, i) => cast(ballot, prompt, t, watched[i] as WatchedVote)),
      );
    } finally {
      stop.removeEventListener("abort", abortAll);
    }
  };

  const handle = async (item: WorkItem): Promise<void> => {
    const ballot = ballotCodec.decode(item.data);
    if (ballot.deadlineAtMs <= clock.now()) {
      meter.expired(ballot.tickets.length);
      return;
    }
    const refuse = (error: CovoteError): void => {
      const reason = error.code === "invalid_argument" ? "refused" : "engine_unavailable";
      for (const ticket of ballot.tickets)
        report(ballot, failed(voter, ballot, ticket, reason, error.message));
    };
    let prompt: BallotPrompt;
    try {
      prompt = ballotPrompt(voter, ballot, (ballot.query?.messages ?? []).filter(isChatMessage));
    } catch (thrown) {
      refuse(CovoteError.from(thrown));
      return;
    }
    const outcomes = await castAll(ballot, prompt, item.signal);
    const failure = outcomes.find((error) => error !== null);
    if (failure !== undefined && failure !== null) {
      if (item.deliveryCount < defaultQueues.ballots.maxDeliver) throw failure;
      refuse(failure);
    }
    if (item.signal.aborted) throw new CovoteError("unavailable", "the worker is stopping");
    await bus.flush();
  };

  let openVotes = 0;
  const ballotsFor = (votes: number): number =>
    Math.ceil(Math.max(0, votes) / Math.max(1, options.votesPerBallot));
  const loop = bus.work("ballots", { concurrency: ballotsFor(engine.slots) }, handle);
  const makeRoom = (): void =>
    loop.resize(Math.max(1, loop.inFlight() + ballotsFor(engine.slots - openVotes)));

  return {
    stop: async (deadline) => {
      await loop.drain(deadline.remainingMs());
      weights.close();
      cancels.close();
    },
  };
}
