/**
 * The judge: accepts groups, runs one judgment actor for each, and keeps the records.
 *
 * - Idempotent by id: a repeat of a running judgment attaches to it, a repeat of a finished one gets the kept
 *   answer, and another question under the same id is refused (`already_exists`). The record of an earlier judgment is
 *   looked for while the new one begins, or, where repeats are likely, before it.
 * - Bounded: beyond `maxInFlight` judgments it refuses with `overloaded` and a time to come back.
 * - A judgment whose callers have all gone away is cancelled, and its votes with it. It leaves no record: who
 *   asks again under its id gets a judgment, not the cancellation.
 * - The record is kept before the answer goes out, unless that would miss the deadline or the store is away. When
 *   another aggregator has judged the same request meanwhile, its record stands and is the answer here too, in part
 *   or in full: nobody is told what `GetJudgment` does not show.
 */
import type { ActorRef } from "../../lib/actor/actor.js";
import type { ActorSystem } from "../../lib/actor/system.js";
import type { Bus, Subscription } from "../../lib/bus/bus.js";
import type { Clock } from "../../lib/core/clock.js";
import { type Deadline, deadlineAt, withDeadline } from "../../lib/core/deadline.js";
import { deferred } from "../../lib/core/deferred.js";
import { CovoteError } from "../../lib/core/errors.js";
import type { Logger } from "../../lib/core/logger.js";
import { parseTraceparent } from "../../lib/core/trace-context.js";
import type { Tracer } from "../../lib/core/tracer.js";
import type { Judgment, VoteRecord } from "../../lib/wire/gen/covote/v1/reward.js";
import { voteCodec } from "../../lib/wire/messages.js";
import { digestOf, type JudgeRequest, toCastVote, toJudgment, voteOutcome } from "./judge-request.js";
import type { JudgingSums } from "./judging-sums.js";
import type { Outcome } from "./judgment.js";
import {
  type JudgmentEnd,
  type JudgmentMessage,
  type JudgmentTask,
  judgmentActor,
} from "./judgment-actor.js";
import { type JudgmentRecords, toVoteRecord } from "./judgment-records.js";
import { judgmentSpan, outcomeOnto } from "./judgment-span.js";
import type { MetaClient } from "./meta-client.js";
import type { AggregatorMetrics } from "./metrics.js";
import { createRepeats } from "./repeats.js";
import { kindsOf, stepLayout } from "./step-layout.js";
import { type VoteBudget, withDecidedVotes } from "./vote-budget.js";

export interface Judge {
  /** The judgment with its outcome. Rejects with `overloaded`, `already_exists`, `cancelled`, `unavailable`. */
  judge(request: JudgeRequest, options: JudgeCall): Promise<Judgment>;
  /** Calls back for each vote of a running judgment; resolves with the finished record. */
  watch(judgmentId: string, onVote: (vote: VoteRecord) => void, signal: AbortSignal): Promise<Judgment>;
  /** The record of a finished judgment, or null. */
  record(judgmentId: string): Promise<Judgment | null>;
  inFlight(): number;
  /** Takes no more, and resolves when those in flight have ended, at the latest at the deadline. */
  drain(deadline: Deadline): Promise<void>;
  close(): void;
}

export interface JudgeCall {
  signal?: AbortSignal;
  /** How long the request has waited before it came here. Milliseconds; default 0. */
  queuedMs?: number;
}

export interface JudgeDependencies {
  bus: Bus;
  actors: ActorSystem;
  records: JudgmentRecords;
  meta: MetaClient;
  clock: Clock;
  log: Logger;
  metrics: AggregatorMetrics;
  /** For load reports; default: nobody asks. */
  sums?: JudgingSums;
  /** Who may decide how many votes there are; default: who asks. */
  voteBudget?: Pick<VoteBudget, "choose">;
  tracer?: Tracer | null;
}

export interface JudgeOptions {
  /** Of each priority. */
  maxInFlight: number;
  ballotPatienceMs: number;
  /** Most responses that the judges' grammar can show together; larger panels are drawn smaller. */
  maxPanel: number;
  /** Whether that grammar scores numbered steps; default false: responses given as steps are judged as prefixes. */
  scoresSteps?: boolean;
}

interface Running {
  digest: string;
  priority: JudgeRequest["priority"];
  /** The last caller has left; who comes now waits for its end and starts anew. */
  cancelled: boolean;
  runId: string;
  actor: ActorRef<JudgmentMessage>;
  callers: number;
  watchers: Set<(vote: VoteRecord) => void>;
  done: Promise<Judgment>;
}

/** What is known so far of a record that may have been there before the judgment. */
interface EarlierRecord {
  record?: Judgment;
  failure?: CovoteError;
}

export function createJudge(deps: JudgeDependencies, options: JudgeOptions): Judge {
  const { bus, actors, records, meta, clock, log, metrics, sums, voteBudget, tracer = null } = deps;
  const running = new Map<string, Running>();
  const byRunId = new Map<string, Running>();
  const inFlight = { hi: 0, lo: 0 };
  metrics.limit(options.maxInFlight);
  const repeats = createRepeats(clock);
  let draining = false;
  let started = 0;

  const votes: Subscription = bus.subscribe(bus.subjects.votes(bus.id), {}, (data, message) => {
    const vote = voteCodec.decode(data);
    const judgment = byRunId.get(vote.judgmentId);
    metrics.received(voteOutcome(vote, judgment !== undefined));
    // Headers are read for those who trace only.
    const traceparent = tracer === null ? undefined : message.traceparent;
    judgment?.actor.offer(
      traceparent === undefined
        ? { t: "vote", vote: toCastVote(vote) }
        : { t: "vote", vote: toCastVote(vote), traceparent },
    );
  });

  /** `lookBeside`: whether it was judged before is not known yet; a record that is found is the answer. */
  const start = (
    asked: JudgeRequest,
    digest: string,
    { queuedMs, lookBeside }: { queuedMs: number; lookBeside: boolean },
  ): Running => {
    const request = withDecidedVotes(asked, voteBudget);
    const acceptedAtMs = clock.now();
    const startedAt = clock.monotonic();
    const watchers = new Set<(vote: VoteRecord) => void>();
    const outcome = deferred<{ result: Outcome; end: JudgmentEnd }>();
    const runId = `${request.id}~${++started}-${bus.id.slice(-8)}`;
    const span = tracer && judgmentSpan(tracer, request);
    const layout = stepLayout(request.responses, options.scoresSteps ?? false);
    const texts = layout?.texts ?? request.responses.map((r) => r.text);
    // Field by field: a spread that is added to makes seven times what it ends up as.
    const task: JudgmentTask = {
      id: request.id,
      runId,
      query: request.query,
      texts,
      responses: texts.length,
      reference: request.reference,
      votes: request.votes,
      metaKeep: request.metaKeep,
      temperature: request.temperature,
      panelLimit: Math.min(request.panelLimit, options.maxPanel),
      votesPerBallot: request.votesPerBallot,
      seed: request.seed,
      split: request.split,
      deadlineAtMs: request.deadlineAtMs,
      traceparent: span?.traceparent ?? request.traceparent,
      priority: request.priority,
      ...(layout === null ? {} : { unitsOf: layout.unitsOf, kinds: kindsOf(layout), steps: layout.steps }),
    };
    const { ballotPatienceMs } = options;
    const around = { bus, meta, log, ballotPatienceMs, tracer: span && tracer };
    const actor = actors.spawn(
      `judgment-${request.id}-${started}`,
      judgmentActor(around, task, {
        voted: (vote, order) => {
          if (watchers.size === 0) return;
          for (const watcher of watchers) watcher(toVoteRecord(vote, order, undefined, layout));
        },
        asked: metrics.asked,
        finished: (result, end) => outcome.resolve({ result, end }),
        failed: (cause) => {
          metrics.failed();
          outcome.reject(cause);
        },
      }),
      { supervision: { on: "stop" }, mailboxCapacity: mailboxCapacity(request.votes, texts.length) },
    );
    const look = lookBeside ? lookFor(request.id, runId, actor) : null;
    const finish = async (): Promise<Judgment> => {
      try {
        const { result, end } = await outcome.promise;
        if (look?.failure !== undefined) throw look.failure;
        if (look?.record !== undefined) {
          refuseOther(request.id, digest, look.record.requestDigest);
          return look.record;
        }
        const latencyMs = clock.monotonic() - startedAt;
        const judgment = toJudgment(request, result, { digest, acceptedAtMs, latencyMs }, layout);
        const lengths = layout === null ? texts.map((text) => text.length) : null;
        metrics.ended({ outcome: result, ...end, latencyMs, queuedMs, lengths });
        if (span !== null) outcomeOnto(span, result);
        sums?.ended(request.responses.length, request.votes, result);
        const trace_id = parseTraceparent(request.traceparent)?.traceId;
        log.debug(
          { judgment_id: request.id, ...request.labels, trace_id, votes: result.votes.length, ms: latencyMs },
          result.partial ? "judged in part" : "judged",
        );
        if (entry.cancelled && result.partial) return judgment;
        const endedAt = clock.monotonic();
        const kept = await keep(judgment, request.deadlineAtMs);
        metrics.recorded(clock.monotonic() - endedAt);
        refuseOther(request.id, digest, kept.requestDigest);
        return kept;
      } catch (thrown) {
        span?.end(thrown);
        throw thrown;
      } finally {
        span?.end();
        running.delete(request.id);
        byRunId.delete(runId);
        count(request.priority, -1);
      }
    };
    const entry: Running = {
      digest,
      priority: request.priority,
      cancelled: false,
      runId,
      actor,
      callers: 0,
      watchers,
      done: finish(),
    };
    running.set(request.id, entry);
    byRunId.set(runId, entry);
    count(request.priority, 1);
    return entry;
  };

  /** Looks for a record while the judgment runs, and ends the judgment when there is one or nobody can tell. */
  const lookFor = (id: string, runId: string, actor: ActorRef<JudgmentMessage>): EarlierRecord => {
    const look: EarlierRecord = {};
    const end = (): void => {
      if (byRunId.has(runId)) actor.offer({ t: "cancel", reason: "cancelled" });
    };
    findRecord(id).then(
      (kept) => {
        if (kept === null) return;
        repeats.seen();
        look.record = kept;
        end();
      },
      (cause: unknown) => {
        look.failure = CovoteError.from(cause);
        end();
      },
    );
    return look;
  };

  const count = (priority: JudgeRequest["priority"], change: 1 | -1): void => {
    inFlight[priority] += change;
    metrics.inFlight(inFlight[priority], priority);
  };

  /**
   * The record that stands under the judgment's id. Whatever becomes of it, the answer is not held back for longer
   * than its deadline: then it is the judgment itself.
   */
  const keep = async (judgment: Judgment, deadlineAtMs: number): Promise<Judgment> => {
    const deadline = deadlineAt(clock, Math.max(deadlineAtMs, clock.now()) + recordReserveMs);
    const what = "the record of a judgment";
    try {
      return await withDeadline(deadline, { what, clock }, () => records.keep(judgment));
    } catch (error) {
      log.warn({ judgment_id: judgment.judgmentId, error }, "the record of a judgment was not kept in time");
      return judgment;
    }
  };

  const findRecord = async (judgmentId: string): Promise<Judgment | null> => {
    try {
      return await records.get(judgmentId);
    } catch (thrown) {
      const error = CovoteError.from(thrown);
      if (!error.retryable) throw error;
      const text = `records of judgments cannot be read now (${error.message}); retry later`;
      throw new CovoteError("unavailable", text, { cause: error, retryAfterMs: 1000 });
    }
  };

  /** Waits for the judgment; the last caller to leave cancels it. */
  const attach = async (judgment: Running, signal: AbortSignal | undefined): Promise<Judgment> => {
    judgment.callers++;
    try {
      return await unlessLeft(judgment.done, signal);
    } finally {
      judgment.callers--;
      if (judgment.callers === 0 && byRunId.has(judgment.runId)) {
        judgment.cancelled = true;
        judgment.actor.offer({ t: "cancel", reason: "cancelled" });
      }
    }
  };

  const isFull = (priority: JudgeRequest["priority"]): boolean => inFlight[priority] >= options.maxInFlight;

  const refuseNow = (priority: JudgeRequest["priority"]): void => {
    if (draining) {
      throw new CovoteError("unavailable", "the aggregator is shutting down", { retryAfterMs: 1000 });
    }
    if (isFull(priority)) {
      metrics.refused();
      throw new CovoteError("overloaded", `${inFlight[priority]} judgments are in flight; retry later`, {
        retryAfterMs: 500,
      });
    }
  };

  return {
    judge: async (request, { signal, queuedMs = 0 }) => {
      const askedAt = clock.monotonic();
      const digest = digestOf(request);
      let looked = request.freshId;
      for (;;) {
        const known = running.get(request.id);
        if (known !== undefined) {
          refuseOther(request.id, digest, known.digest);
          if (!known.cancelled) return attach(known, signal);
          await unlessLeft(known.done.catch(ignoreEnd), signal);
        } else if (looked) break;
        // What is refused as new may have an answer already.
        else if (!repeats.likely() && !draining && !isFull(request.priority)) break;
        else {
          looked = true;
          const kept = await findRecord(request.id);
          if (kept !== null) {
            repeats.seen();
            refuseOther(request.id, digest, kept.requestDigest);
            return kept;
          }
        }
      }
      refuseNow(request.priority);
      const waitedMs = queuedMs + clock.monotonic() - askedAt;
      return attach(start(request, digest, { queuedMs: waitedMs, lookBeside: !looked }), signal);
    },
    watch: async (judgmentId, onVote, signal) => {
      const judgment = running.get(judgmentId);
      if (judgment === undefined) {
        const kept = await findRecord(judgmentId);
        if (kept !== null) return kept;
        throw new CovoteError("not_found", `judgment_id: no judgment ${judgmentId} here`, {
          field: "judgment_id",
        });
      }
      judgment.watchers.add(onVote);
      try {
        return await attach(judgment, signal);
      } finally {
        judgment.watchers.delete(onVote);
      }
    },
    record: findRecord,
    inFlight: () => running.size,
    drain: async (deadline) => {
      draining = true;
      const ended = Promise.allSettled([...running.values()].map((j) => j.done));
      await withDeadline(deadline, { what: "judgments in flight", clock }, () => ended).catch(
        (error: unknown) => {
          log.warn({ error, judgments: running.size }, "judgments did not end before the stop");
        },
      );
    },
    close: () => votes.close(),
  };
}

/** Time after a deadline in which the record may still be kept, in milliseconds; part of the answer's reserve. */
const recordReserveMs = 25;

/** The promise's end, or `cancelled` as soon as the signal aborts. */
function unlessLeft<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const leave = (): void => reject(new CovoteError("cancelled", "the caller cancelled"));
    if (signal.aborted) return leave();
    signal.addEventListener("abort", leave, { once: true });
    const stay = (): void => signal.removeEventListener("abort", leave);
    work.then(
      (value) => {
        stay();
        resolve(value);
      },
      (cause: unknown) => {
        stay();
        reject(cause);
      },
    );
  });
}

/** Its own callers have been told. */
function ignoreEnd(): void {}

function refuseOther(id: string, digest: string, known: string): void {
  if (known === digest) return;
  throw new CovoteError(
    "already_exists",
    `request_id: ${id} was used for another question; choose a new id`,
    { field: "request_id" },
  );
}

/** Every vote sends at most a vote and a meta message; the rest is for timers. */
function mailboxCapacity(votes: number, responses: number): number {
  return 64 + 4 * votes * responses;
}
