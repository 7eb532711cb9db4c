/**
 * grm-worker: pulls ballots when it has room, casts their votes, and reports each vote as it finishes.
 *
 * - A ballot is acknowledged when all its votes are out: votes travel without storage, so what was published on
 *   a connection that broke is published again. Who gets a vote twice counts it once.
 * - A failing engine gives its ballot back for another worker; after `maxAttempts` deliveries the votes are
 *   reported as `engine_unavailable`.
 * - Votes that were cancelled, or whose deadline has passed, are dropped, not cast.
 * - Votes that are to use principles drawn apart share them through a store; where that fails they write their own.
 * - While a reward model learns, it also samples the groups of judgments that the learner asks for.
 */

import type { Bus, WorkItem } from "../../lib/bus/bus.js";
import { followModel } from "../../lib/bus/model-versions.js";
import type { Clock } from "../../lib/core/clock.js";
import type { Deadline } from "../../lib/core/deadline.js";
import { CovoteError, invalid } from "../../lib/core/errors.js";
import { isId } from "../../lib/core/ids.js";
import type { Logger } from "../../lib/core/logger.js";
import { nullReasonOfError } from "../../lib/core/null-reason.js";
import { parseTraceparent } from "../../lib/core/trace-context.js";
import type { Span, Tracer } from "../../lib/core/tracer.js";
import type { GenerativeEngine } from "../../lib/engine/engine.js";
import { isChatMessage } from "../../lib/grm/chat.js";
import type { Grammar } from "../../lib/grm/grammar.js";
import type { Metrics } from "../../lib/host/metrics.js";
import { engineMetrics } from "../../lib/runtime/engine-metrics.js";
import { type LoadOptions, reportLoad } from "../../lib/runtime/load-reports.js";
import { modelMetrics } from "../../lib/runtime/model-metrics.js";
import { createSampling } from "../../lib/sampling/sampling.js";
import type { Ballot, Vote, VoteTicket } from "../../lib/wire/gen/covote/v1/judging.js";
import { ballotCodec, cancelVotesCodec, voteCodec } from "../../lib/wire/messages.js";
import { openBallotIntake } from "./ballot-intake.js";
import { createCancellations, type WatchedVote } from "./cancellations.js";
import { createPrinciplesStore } from "./kept-principles.js";
import { workerMetrics } from "./metrics.js";
import { createPrinciplesSource } from "./principles.js";
import { castSplitVote } from "./split-vote.js";
import { type BallotPrompt, ballotPrompt, castVote, failed, type Voter } from "./vote.js";
import { endVoteSpan, voteSpan } from "./vote-span.js";

export interface GrmWorkerDependencies {
  bus: Bus;
  engine: GenerativeEngine;
  grammar: Grammar;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  tracer?: Tracer | null;
}

export interface GrmWorkerOptions {
  /** Name on the votes. */
  name: string;
  /** Votes that a ballot is expected to carry: with the engine's slots it says how many ballots to hold. */
  votesPerBallot: number;
  /** Longest judgment, in tokens; default null: as long as the grammar may need. */
  maxTokens?: number | null;
  /** Groups of judgments sampled at a time for a reward model that learns. */
  groups: number;
  /** Default: the worker tells nobody how busy it is. */
  load?: LoadOptions;
}

/** Deliveries of a ballot before its votes are given up; with the pauses in between some seconds. */
const maxAttempts = 4;

export interface RunningService {
  stop(deadline: Deadline): Promise<void>;
}

export async function startGrmWorker(
  { bus, engine, grammar, clock, log, metrics, tracer = null }: GrmWorkerDependencies,
  options: GrmWorkerOptions,
): Promise<RunningService> {
  let requests = 0;
  const work = { items: 0, itemTokens: 0 };
  const cancellations = createCancellations();
  const meter = workerMetrics(metrics);
  engineMetrics(metrics, "grm", engine);
  const model = modelMetrics(metrics, clock, "grm", engine.version().number);
  const shared = {
    engine,
    grammar,
    worker: options.name,
    maxTokens: options.maxTokens ?? null,
    nextRequest: () => ++requests,
  };
  const { split } = grammar;
  const voter: Voter = {
    ...shared,
    missed: meter.missedPrinciples,
    generated: meter.generated,
    unparsable: meter.unparsable,
    principles:
      split &&
      createPrinciplesSource({
        ...shared,
        split,
        store: createPrinciplesStore({ bus, clock, log }, split),
        clock,
      }),
  };

  const cancels = bus.subscribe(bus.subjects.cancels(), {}, (data) => {
    const { judgmentId, voteIds } = cancelVotesCodec.decode(data);
    cancellations.cancel(judgmentId, voteIds);
  });
  const sampling = createSampling(
    { bus, engine, clock, log, meter: meter.sampling, tracer },
    { role: "grm", name: options.name, concurrency: options.groups },
  );
  const weights =
    engine.load === undefined
      ? null
      : await followModel(bus, {
          role: "grm",
          clock,
          log,
          announced: (version) => {
            model.announced(version);
            sampling.announced(version);
          },
          load: (weights) => model.exchange(weights, () => sampling.load(weights)),
        });

  /** Votes of one ballot on their way to its aggregator. */
  const openReport = (ballot: Ballot) => {
    const sent: Uint8Array[] = [];
    let epoch = bus.epoch;
    const { replySubject } = ballot;
    const say = (data: Uint8Array, traceparent = ballot.traceparent): void =>
      bus.publish(replySubject, data, { traceparent });
    return {
      vote: (vote: Vote, traceparent?: string): void => {
        meter.cast(vote);
        const tokens = vote.cost?.completionTokens ?? 0;
        if (tokens > 0) work.items++;
        work.itemTokens += tokens;
        const data = voteCodec.encode(vote);
        sent.push(data);
        say(data, traceparent);
      },
      /**
       * Resolves when the server has all of them, or will have them before the ballot's acknowledgement, which
       * follows them on the same connection.
       */
      delivered: async (): Promise<void> => {
        while (bus.epoch !== epoch || bus.status() !== "connected") {
          epoch = bus.epoch;
          for (const data of sent) say(data);
          await bus.flush();
        }
      },
    };
  };
  interface Casting {
    ballot: Ballot;
    prompt: BallotPrompt;
    report: ReturnType<typeof openReport>;
    /** What the spans of its votes are children of. */
    parent: string;
  }

  /** The failure that another worker may not have; a cancelled vote needs no answer. */
  const cast = async (
    { ballot, prompt, report, parent }: Casting,
    ticket: VoteTicket,
    { signal, release }: WatchedVote,
  ): Promise<CovoteError | null> => {
    let span: Span | null = null;
    try {
      if (signal.aborted) {
        meter.cancelled();
        return null;
      }
      span = tracer && voteSpan(tracer, ballot, ticket, parent);
      const casting = ticket.principleSet === undefined ? castVote : castSplitVote;
      const by = span === null ? voter : { ...voter, traceparent: span.traceparent };
      const vote = await casting(by, ballot, prompt, ticket, signal);
      report.vote(vote, span?.traceparent);
      if (span) endVoteSpan(span, vote);
      intake.engineServed();
      return null;
    } catch (thrown) {
      const error = CovoteError.from(thrown);
      span?.end(error);
      if (error.code !== "cancelled") return error;
      meter.cancelled();
      return null;
    } finally {
      release();
      intake.votesRunning(-1);
    }
  };

  /** One listener for all votes of the ballot: a derived signal for each costs more than the vote's message. */
  const castAll = async (casting: Casting, stop: AbortSignal) => {
    const { ballot } = casting;
    const watched = ballot.tickets.map((t) => cancellations.watch(ballot.judgmentId, t.voteId));
    const abortAll = (): void => {
      for (const vote of watched) vote.abort();
    };
    if (stop.aborted) abortAll();
    stop.addEventListener("abort", abortAll, { once: true });
    // The aggregator cancels at its deadline, but cancels travel without storage: an engine that hangs would hold
    // its slots for ever.
    const late = clock.after(Math.max(0, ballot.deadlineAtMs - clock.now()), abortAll, { background: true });
    intake.votesRunning(ballot.tickets.length);
    try {
      const errors = await Promise.all(
        ballot.tickets.map((t, i) => cast(casting, t, watched[i] as WatchedVote)),
      );
      return errors.find((error) => error !== null) ?? null;
    } finally {
      late.cancel();
      stop.removeEventListener("abort", abortAll);
    }
  };

  const handle = async (item: WorkItem): Promise<void> => {
    const ballot = ballotCodec.decode(item.data);
    checkBallot(ballot, bus);
    if (item.deliveryCount === 1) meter.ballotTaken(clock.now() - item.enqueuedAtMs);
    const about = {
      judgment_id: ballot.judgmentId,
      ballot_id: ballot.ballotId,
      trace_id: parseTraceparent(ballot.traceparent)?.traceId,
    };
    if (ballot.deadlineAtMs <= clock.now()) {
      meter.expired(ballot.tickets.length);
      meter.ballotEnded("expired");
      log.debug(about, "the ballot's deadline has passed; it is not voted on");
      return;
    }
    const report = openReport(ballot);
    const refuse = (error: CovoteError): void => {
      const reason = nullReasonOfError[error.code];
      for (const ticket of ballot.tickets) report.vote(failed(voter, ballot, ticket, reason, error.message));
    };
    let prompt: BallotPrompt;
    try {
      prompt = await ballotPrompt(voter, ballot, (ballot.query?.messages ?? []).filter(isChatMessage));
    } catch (thrown) {
      refuse(CovoteError.from(thrown));
      meter.ballotEnded("refused");
      return report.delivered();
    }
    // An item's headers are parsed for those who look at them, which costs more than a vote's message.
    const parent = (tracer && item.traceparent) ?? ballot.traceparent;
    const failure = await castAll({ ballot, prompt, report, parent }, item.signal);
    if (failure?.code === "unavailable") intake.engineFailed();
    if (failure !== null) {
      const tried = { ...about, delivery: item.deliveryCount, error: failure };
      if (item.deliveryCount < maxAttempts) {
        log.debug(tried, "the ballot is given back for another worker");
        meter.ballotEnded("given_back");
        throw failure;
      }
      log.warn(tried, "the ballot is given up; its votes are reported as failed");
      refuse(failure);
    }
    if (item.signal.aborted) {
      meter.ballotEnded("given_back");
      throw new CovoteError("unavailable", "the worker is stopping");
    }
    await report.delivered();
    meter.ballotEnded(failure === null ? "cast" : "given_up");
  };

  const intake = openBallotIntake({
    ...{ bus, clock, log, handle },
    slots: () => engine.slots,
    votesPerBallot: options.votesPerBallot,
    available: meter.engineAvailable,
  });

  sampling.start();
  const load = reportLoad(
    { bus, clock },
    { role: "grm", engine: { stats: () => engine.stats(), work: () => work } },
    options.load,
  );

  return {
    stop: async (deadline) => {
      await Promise.all([intake.drain(deadline), sampling.drain(deadline)]);
      load.stop();
      weights?.close();
      cancels.close();
    },
  };
}

/** Bytes can decode to a ballot that is none; such a one is a dead letter, not a ballot without votes. */
function checkBallot(ballot: Ballot, bus: Bus): void {
  const { ballotId, judgmentId, replySubject, tickets } = ballot;
  if (ballotId === "" || judgmentId === "") throw invalid("ballot.ballot_id", "is empty");
  if (tickets.length === 0 || tickets.some((ticket) => ticket.voteId === "")) {
    throw invalid("ballot.tickets", "is empty or has a ticket without an id");
  }
  if (ballot.responses.length === 0) throw invalid("ballot.responses", "is empty");
  if (ballot.steps !== undefined && ballot.steps.responses.length !== ballot.responses.length) {
    throw invalid("ballot.steps", "must have as many entries as there are responses");
  }
  const [owner, ...rest] = replySubject.slice(bus.subjects.votes("x").length - 1).split(".");
  if (rest.length > 0 || !isId(owner) || replySubject !== bus.subjects.votes(owner)) {
    throw invalid("ballot.reply_subject", `is no aggregator of this cluster: ${replySubject.slice(0, 80)}`);
  }
}
