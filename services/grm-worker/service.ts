/**
 * grm-worker: pulls ballots when it has room, casts their votes, and reports each vote as it finishes.
 *
 * - A ballot is acknowledged when all its votes are out; a failing engine gives it back for another worker,
 *   and on its last delivery the votes are reported as `engine_unavailable`.
 * - Votes that were cancelled, or whose deadline has passed, are dropped, not cast.
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
import { createCancellations } from "./cancellations.js";
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
    signal: AbortSignal,
  ): Promise<CovoteError | null> => {
    const watch = cancellations.watch(ballot.judgmentId, ticket.voteId);
    const either = AbortSignal.any([signal, watch.signal]);
    try {
      if (either.aborted) return null;
      report(ballot, await castVote(voter, ballot, prompt, ticket, either));
      return null;
    } catch (thrown) {
      const error = CovoteError.from(thrown);
      return error.code === "cancelled" ? null : error;
    } finally {
      watch.release();
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
    const outcomes = await Promise.all(ballot.tickets.map((t) => cast(ballot, prompt, t, item.signal)));
    const failure = outcomes.find((error) => error !== null);
    if (failure !== undefined && failure !== null) {
      if (item.deliveryCount < defaultQueues.ballots.maxDeliver) throw failure;
      refuse(failure);
    }
    if (item.signal.aborted) throw new CovoteError("unavailable", "the worker is stopping");
    await bus.flush();
  };

  const concurrency = Math.ceil(engine.slots / Math.max(1, options.votesPerBallot)) + 1;
  const loop = bus.work("ballots", { concurrency }, handle);

  return {
    stop: async (deadline) => {
      await loop.drain(deadline.remainingMs());
      weights.close();
      cancels.close();
    },
  };
}
