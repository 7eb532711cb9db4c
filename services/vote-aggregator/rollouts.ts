/**
 * Rollouts in, experience out: judges each sampled group and hands it to its learner.
 *
 * A rollout is acknowledged only when its experience is in the learner's queue, under the group's id; a
 * redelivered one finds the kept judgment and hands it on again, which the id makes harmless.
 */
import type { Bus, WorkItem, WorkLoop } from "../../lib/bus/bus.js";
import type { Clock } from "../../lib/core/clock.js";
import { invalid } from "../../lib/core/errors.js";
import { parseId } from "../../lib/core/ids.js";
import { isChatMessage } from "../../lib/grm/chat.js";
import type { Rollout } from "../../lib/wire/gen/covote/v1/policy.js";
import type { Judgment } from "../../lib/wire/gen/covote/v1/reward.js";
import { experienceCodec, rolloutCodec } from "../../lib/wire/messages.js";
import type { Judge, JudgeRequest } from "./judge.js";

export interface RolloutOptions {
  /** Groups judged at a time. */
  concurrency: number;
  votesPerBallot: number;
}

export function judgeRollouts(
  { bus, judge, clock }: { bus: Bus; judge: Judge; clock: Clock },
  options: RolloutOptions,
): WorkLoop {
  return bus.work("rollouts", { concurrency: options.concurrency }, async (item: WorkItem) => {
    const rollout = rolloutCodec.decode(item.data);
    const request = toRequest(rollout, clock, options.votesPerBallot);
    const judgment = await judge.judge(request, { signal: item.signal });
    await bus.enqueue("experience", experienceCodec.encode(toExperience(rollout, judgment)), {
      id: request.id,
      subjectToken: parseId("rollout.prompt.run_id", rollout.prompt?.runId),
      traceparent: request.traceparent,
    });
  });
}

function toRequest(rollout: Rollout, clock: Clock, votesPerBallot: number): JudgeRequest {
  const { prompt, responses } = rollout;
  const plan = prompt?.judging;
  if (prompt === undefined || plan === undefined) {
    throw invalid("rollout.prompt", "is missing; the sampler has to send the prompt along");
  }
  if (responses.length === 0) throw invalid("rollout.responses", "is empty; a group needs at least one");
  return {
    id: parseId("rollout.prompt.group_id", prompt.groupId),
    freshId: false,
    query: (prompt.query?.messages ?? []).filter(isChatMessage),
    responses,
    votes: plan.votes,
    metaKeep: plan.metaKeep === 0 ? null : plan.metaKeep,
    temperature: plan.temperature,
    panelLimit: plan.panelLimit,
    votesPerBallot,
    seed: prompt.seed,
    deadlineAtMs: clock.now() + plan.deadlineMs,
    labels: { run_id: prompt.runId, step: String(prompt.step) },
    policyVersion: String(rollout.policyVersion),
    traceparent: rollout.traceparent,
    priority: "lo",
  };
}

function toExperience(rollout: Rollout, judgment: Judgment) {
  const outcome = judgment.outcome;
  return {
    rollout,
    rewards: (outcome?.rewards ?? []).map(({ value, nullReason }) => ({ value, nullReason })),
    judgmentId: judgment.judgmentId,
    judgeVersion: outcome?.judgeVersion ?? "",
    judgingCost: outcome?.cost,
    judgingMs: outcome?.latencyMs ?? 0,
    traceparent: rollout.traceparent,
  };
}
