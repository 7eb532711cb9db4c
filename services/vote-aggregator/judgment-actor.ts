/**
 * The actor around one judgment: does what the state machine asks for, and tells it what happens.
 *
 * - Ballots go out under ids that survive retries; one that is overdue goes out again under a new attempt,
 *   with patience that doubles, so that a lost vote is asked for again and a slow one is not piled upon.
 * - Votes travel without storage: those of a lost connection are lost, so what is open then goes out again.
 * - It ends at the outcome, at the latest at the deadline, and cancels the votes that are still open.
 */
import type { ActorContext, BehaviourFactory } from "../../lib/actor/actor.js";
import type { Bus } from "../../lib/bus/bus.js";
import type { Timer } from "../../lib/core/clock.js";
import { CovoteError } from "../../lib/core/errors.js";
import type { Logger } from "../../lib/core/logger.js";
import type { Tracer } from "../../lib/core/tracer.js";
import type { ChatMessage } from "../../lib/grm/chat.js";
import type { PanelSteps } from "../../lib/wire/gen/covote/v1/judging.js";
import { ballotCodec, cancelVotesCodec } from "../../lib/wire/messages.js";
import {
  type CastVote,
  createJudgment,
  type Dispatch,
  type Effect,
  type JudgmentEvent,
  type JudgmentSpec,
  type Outcome,
} from "./judgment.js";
import { traceTally } from "./judgment-span.js";
import type { MetaClient } from "./meta-client.js";
import type { JudgmentTiming } from "./metrics.js";

export interface JudgmentTask extends JudgmentSpec {
  /** Unlike `id` never used before: on ballots and cancels, so that a second try of a judgment is not cancelled
   * or dropped as a duplicate for what became of the first. */
  runId: string;
  query: readonly ChatMessage[];
  texts: readonly string[];
  /** Of the responses that are shown as steps; see step-layout.ts. Null, or left out: none is. */
  steps?: readonly (readonly string[])[] | null;
  /** Null: none was given. */
  reference: string | null;
  temperature: number;
  /** Milliseconds since the epoch. */
  deadlineAtMs: number;
  traceparent: string;
  /** `lo` gives way to `hi`: somebody waits at the other end of a call. */
  priority: "hi" | "lo";
}

export interface JudgmentListener {
  /** Tickets that were put into the queue; `again`: not for the first time. */
  asked?(votes: number, again: boolean): void;
  voted?(vote: CastVote, order: readonly number[]): void;
  /** Exactly one of these, exactly once. */
  finished(outcome: Outcome, end: JudgmentEnd): void;
  failed(cause: CovoteError): void;
}

export interface JudgmentEnd {
  /** Votes that were still open. */
  openVotes: number;
  /** Null where it was cut short. */
  timing: JudgmentTiming | null;
}

export interface JudgmentDependencies {
  bus: Bus;
  meta: MetaClient;
  log: Logger;
  /** How long a ballot may take before it is sent again, at first. Milliseconds. */
  ballotPatienceMs: number;
  /** Null where this judgment is not traced. */
  tracer?: Tracer | null;
}

export type JudgmentMessage =
  | JudgmentEvent
  | { t: "patrol" }
  | { t: "reconnected" }
  /** The queue refused a ballot. */
  | { t: "rejected"; attempt: number; cause: CovoteError };

export function judgmentActor(
  deps: JudgmentDependencies,
  task: JudgmentTask,
  listener: JudgmentListener,
): BehaviourFactory<JudgmentMessage> {
  return (context) => createBehaviour(deps, task, listener, context);
}

function createBehaviour(
  { bus, meta, log, ballotPatienceMs, tracer = null }: JudgmentDependencies,
  task: JudgmentTask,
  listener: JudgmentListener,
  { self, clock, stop }: ActorContext<JudgmentMessage>,
): ReturnType<BehaviourFactory<JudgmentMessage>> {
  const machine = createJudgment(task);
  let deadline: Timer | undefined;
  let nextPatrol: Timer | undefined;
  let patienceMs = ballotPatienceMs;
  let lastVote: CastVote | null = null;
  let lastVoteAtMs = 0;
  /** When the message came to its turn that is handled now. */
  let turnAtMs = 0;
  let ended = false;
  const startedAtMs = clock.monotonic();
  const dispatchedAtMs = new Map<string, number>();
  /** The spans of the votes that came, by vote id. */
  const voteTraces = tracer && new Map<string, string>();
  const unsubscribe = bus.events.subscribe((event) => {
    if (event.type === "queue-recreated" && event.queue === "ballots") self.offer({ t: "requeue" });
    if (event.type === "reconnect") self.offer({ t: "reconnected" });
  });

  const perform = (effects: readonly Effect[]): void => {
    for (const effect of effects) {
      switch (effect.t) {
        case "dispatch":
          for (const ballot of effect.ballots) send(ballot);
          break;
        case "meta":
          for (const { vote, order } of effect.votes) askMeta(vote, order);
          break;
        case "finish":
          if (effect.openVoteIds.length > 0) cancelVotes();
          ended = true;
          if (tracer && voteTraces) traceTally(tracer, task, effect.outcome, voteTraces);
          listener.finished(effect.outcome, {
            openVotes: effect.openVoteIds.length,
            timing: effect.outcome.partial ? null : timing(),
          });
          stop();
      }
    }
  };

  /** Along the last vote; a worker's word on its engine's time is believed as far as it can be true. */
  const timing = (): JudgmentTiming | null => {
    if (lastVote === null) return null;
    const untilVoteMs = lastVoteAtMs - startedAtMs;
    const engineMs = Math.min(untilVoteMs, Math.max(0, lastVote.cost.engineMs));
    return {
      ballotWaitMs: untilVoteMs - engineMs,
      engineMs,
      metaMs: task.metaKeep === null ? null : turnAtMs - lastVoteAtMs,
      tallyMs: clock.monotonic() - turnAtMs,
    };
  };

  const cancelVotes = (): void =>
    bus.publish(bus.subjects.cancels(), cancelVotesCodec.encode({ judgmentId: task.runId, voteIds: [] }));

  const fail = (cause: CovoteError): void => {
    if (ended) return;
    ended = true;
    cancelVotes();
    listener.failed(cause);
    stop();
  };

  /** Of the responses on a panel; undefined when none has any. */
  const stepsOn = (order: readonly number[]): PanelSteps | undefined => {
    const { steps = null } = task;
    return steps === null ? undefined : { responses: order.map((i) => ({ texts: [...(steps[i] ?? [])] })) };
  };

  const send = (ballot: Dispatch): void => {
    listener.asked?.(ballot.tickets.length, dispatchedAtMs.has(ballot.ballotId));
    dispatchedAtMs.set(ballot.ballotId, clock.monotonic());
    const data = ballotCodec.encode({
      ballotId: ballot.ballotId,
      judgmentId: task.runId,
      replySubject: bus.subjects.votes(bus.id),
      query: { messages: [...task.query] },
      responses: ballot.order.map((i) => task.texts[i] ?? ""),
      tickets: [...ballot.tickets],
      temperature: task.temperature,
      deadlineAtMs: task.deadlineAtMs,
      judgeVersion: "",
      traceparent: task.traceparent,
      reference: task.reference ?? undefined,
      steps: stepsOn(ballot.order),
    });
    // The ballot's own part of its id, below a judgment that was never judged before.
    const id = `${task.runId}${ballot.ballotId.slice(task.id.length)}-${ballot.attempt}`;
    const options = { id, traceparent: task.traceparent, deadlineAtMs: task.deadlineAtMs };
    bus.enqueue("ballots", data, { ...options, subjectToken: task.priority }).catch((thrown: unknown) => {
      const cause = CovoteError.from(thrown);
      log.warn({ judgment_id: task.id, ballot_id: ballot.ballotId, error: cause }, "ballot was not queued");
      if (cause.code === "overloaded") self.offer({ t: "rejected", attempt: ballot.attempt, cause });
      // Too large for a message: like a panel too long for the model, it is split, or refused with the reason.
      if (cause.code !== "invalid_argument") return;
      for (const ticket of ballot.tickets) self.offer({ t: "vote", vote: unsendable(ticket.voteId, cause) });
    });
  };

  const askMeta = (vote: CastVote, order: readonly number[]): void => {
    const item = {
      voteId: vote.voteId,
      query: { messages: [...task.query] },
      responses: order.map((i) => task.texts[i] ?? ""),
      judgmentText: vote.text,
      reference: task.reference ?? undefined,
      steps: stepsOn(order),
    };
    const span = tracer?.start("meta score", {
      parent: voteTraces?.get(vote.voteId) ?? task.traceparent,
      attributes: { "covote.vote_id": vote.voteId, "covote.judgment_id": task.id },
    });
    const traceparent = span?.traceparent ?? task.traceparent;
    void meta.score(item, task.deadlineAtMs, traceparent).then(({ logit, version }) => {
      span?.set({ "covote.meta_version": version || undefined, "covote.meta_logit": logit ?? undefined });
      span?.end();
      self.offer({ t: "meta", scores: new Map([[vote.voteId, logit]]), version });
    });
  };

  const sendAgain = (ballotIds: readonly string[], why: string): void => {
    if (ballotIds.length === 0) return;
    log.info({ judgment_id: task.id, ballots: ballotIds.length }, `${why}: ballots go out again`);
    perform(machine.handle({ t: "overdue", ballotIds }));
  };

  const patrol = (): void => {
    const now = clock.monotonic();
    const overdue = machine
      .openBallots()
      .filter((b) => now - (dispatchedAtMs.get(b.ballotId) ?? now) >= patienceMs)
      .map((b) => b.ballotId);
    if (overdue.length > 0) patienceMs *= 2;
    sendAgain(overdue, "votes are overdue");
    patrolLater();
  };
  const patrolLater = (): void => {
    if (ended) return;
    nextPatrol = clock.after(patienceMs / 2, () => self.offer({ t: "patrol" }), { background: true });
  };

  return {
    started: () => {
      const remainingMs = task.deadlineAtMs - clock.now();
      deadline = clock.after(Math.max(0, remainingMs), () => self.offer({ t: "deadline" }));
      patrolLater();
      try {
        perform(machine.start());
      } catch (thrown) {
        fail(CovoteError.from(thrown));
      }
    },
    receive: (message) => {
      turnAtMs = clock.monotonic();
      switch (message.t) {
        case "patrol":
          return patrol();
        case "reconnected":
          return sendAgain(
            machine.openBallots().map((b) => b.ballotId),
            "the connection was lost",
          );
        case "rejected":
          // What was accepted before goes on; the rest is sent again when it is overdue.
          if (message.attempt === 0 && lastVote === null) fail(message.cause);
          return;
        case "vote":
          lastVote = message.vote;
          lastVoteAtMs = turnAtMs;
          if (message.traceparent !== undefined) voteTraces?.set(message.vote.voteId, message.traceparent);
          listener.voted?.(message.vote, machine.orderOf(message.vote.voteId));
      }
      perform(machine.handle(message));
    },
    stopped: () => {
      unsubscribe();
      deadline?.cancel();
      nextPatrol?.cancel();
      if (ended) return;
      listener.failed(new CovoteError("unavailable", `judgment ${task.id} was stopped before its outcome`));
    },
  };
}

/** The vote on a ballot that no queue takes. */
function unsendable(voteId: string, cause: CovoteError): CastVote {
  return {
    voteId,
    judgeVersion: "",
    worker: "",
    text: "",
    principles: "",
    critique: "",
    scores: null,
    nullReason: "refused",
    failure: cause.message,
    panelTooLong: true,
    cost: { promptTokens: 0, cachedTokens: 0, completionTokens: 0, engineMs: 0 },
  };
}
