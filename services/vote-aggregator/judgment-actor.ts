/**
 * The actor around one judgment: does what the state machine asks for, and tells it what happens.
 *
 * - Ballots go out under ids that survive retries; one that is overdue goes out again under a new attempt,
 *   with patience that doubles, so that a lost vote is asked for again and a slow one is not piled upon.
 * - It ends at the outcome, at the latest at the deadline, and cancels the votes that are still open.
 */
import type { ActorContext, BehaviourFactory } from "../../lib/actor/actor.js";
import type { Bus } from "../../lib/bus/bus.js";
import type { Timer } from "../../lib/core/clock.js";
import { CovoteError } from "../../lib/core/errors.js";
import type { Logger } from "../../lib/core/logger.js";
import type { ChatMessage } from "../../lib/grm/chat.js";
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
import type { MetaClient } from "./meta-client.js";

export interface JudgmentTask extends JudgmentSpec {
  query: readonly ChatMessage[];
  texts: readonly string[];
  temperature: number;
  /** Milliseconds since the epoch. */
  deadlineAtMs: number;
  traceparent: string;
  /** `lo` gives way to `hi`: somebody waits at the other end of a call. */
  priority: "hi" | "lo";
}

export interface JudgmentListener {
  voted?(vote: CastVote, order: readonly number[]): void;
  /** Exactly one of these, exactly once. */
  finished(outcome: Outcome): void;
  failed(cause: CovoteError): void;
}

export interface JudgmentDependencies {
  bus: Bus;
  meta: MetaClient;
  log: Logger;
  /** How long a ballot may take before it is sent again, at first. Milliseconds. */
  ballotPatienceMs: number;
}

export type JudgmentMessage = JudgmentEvent | { t: "patrol" } | { t: "rejected"; cause: CovoteError };

export function judgmentActor(
  deps: JudgmentDependencies,
  task: JudgmentTask,
  listener: JudgmentListener,
): BehaviourFactory<JudgmentMessage> {
  return (context) => createBehaviour(deps, task, listener, context);
}

function createBehaviour(
  { bus, meta, log, ballotPatienceMs }: JudgmentDependencies,
  task: JudgmentTask,
  listener: JudgmentListener,
  { self, clock, stop }: ActorContext<JudgmentMessage>,
): ReturnType<BehaviourFactory<JudgmentMessage>> {
  const machine = createJudgment(task);
  const timers: Timer[] = [];
  let patienceMs = ballotPatienceMs;
  let ended = false;
  const dispatchedAtMs = new Map<string, number>();
  const unsubscribe = bus.events.subscribe((event) => {
    if (event.type === "queue-recreated" && event.queue === "ballots") self.offer({ t: "requeue" });
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
          if (effect.openVoteIds.length > 0) {
            bus.publish(
              bus.subjects.cancels(),
              cancelVotesCodec.encode({ judgmentId: task.id, voteIds: [] }),
            );
          }
          ended = true;
          listener.finished(effect.outcome);
          stop();
      }
    }
  };

  const send = (ballot: Dispatch): void => {
    dispatchedAtMs.set(ballot.ballotId, clock.monotonic());
    const data = ballotCodec.encode({
      ballotId: ballot.ballotId,
      judgmentId: task.id,
      replySubject: bus.subjects.votes(bus.id),
      query: { messages: [...task.query] },
      responses: ballot.order.map((i) => task.texts[i] ?? ""),
      tickets: [...ballot.tickets],
      temperature: task.temperature,
      deadlineAtMs: task.deadlineAtMs,
      judgeVersion: "",
      traceparent: task.traceparent,
    });
    const id = `${ballot.ballotId}-${bus.id}-${ballot.attempt}`;
    const options = { id, traceparent: task.traceparent, deadlineAtMs: task.deadlineAtMs };
    bus.enqueue("ballots", data, { ...options, subjectToken: task.priority }).catch((thrown: unknown) => {
      const cause = CovoteError.from(thrown);
      log.warn({ judgment_id: task.id, ballot_id: ballot.ballotId, error: cause }, "ballot was not queued");
      if (cause.code === "overloaded") self.offer({ t: "rejected", cause });
    });
  };

  const askMeta = (vote: CastVote, order: readonly number[]): void => {
    const item = {
      voteId: vote.voteId,
      query: { messages: [...task.query] },
      responses: order.map((i) => task.texts[i] ?? ""),
      judgmentText: vote.text,
    };
    void meta.score(item, task.deadlineAtMs).then((logit) => {
      self.offer({ t: "meta", scores: new Map([[vote.voteId, logit]]) });
    });
  };

  const patrol = (): void => {
    const now = clock.monotonic();
    const overdue = machine
      .openBallots()
      .filter((b) => now - (dispatchedAtMs.get(b.ballotId) ?? now) >= patienceMs)
      .map((b) => b.ballotId);
    if (overdue.length > 0) {
      patienceMs *= 2;
      log.info({ judgment_id: task.id, ballots: overdue.length }, "ballots are overdue and go out again");
      perform(machine.handle({ t: "overdue", ballotIds: overdue }));
    }
    timers.push(clock.after(patienceMs / 2, () => self.offer({ t: "patrol" }), { background: true }));
  };

  return {
    started: () => {
      const remainingMs = task.deadlineAtMs - clock.now();
      timers.push(clock.after(Math.max(0, remainingMs), () => self.offer({ t: "deadline" })));
      timers.push(clock.after(patienceMs / 2, () => self.offer({ t: "patrol" }), { background: true }));
      perform(machine.start());
    },
    receive: (message) => {
      if (message.t === "patrol") return patrol();
      if (message.t === "rejected") {
        bus.publish(bus.subjects.cancels(), cancelVotesCodec.encode({ judgmentId: task.id, voteIds: [] }));
        ended = true;
        listener.failed(message.cause);
        return stop();
      }
      if (message.t === "vote") listener.voted?.(message.vote, machine.orderOf(message.vote.voteId));
      perform(machine.handle(message));
    },
    stopped: () => {
      unsubscribe();
      for (const timer of timers) timer.cancel();
      if (ended) return;
      listener.failed(new CovoteError("unavailable", `judgment ${task.id} was stopped before its outcome`));
    },
  };
}
