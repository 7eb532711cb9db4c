/**
 * Rollouts in, experience out: judges each sampled group and hands it to its learner.
 *
 * - A rollout is acknowledged only when its experience is in the learner's queue, under the rollout's own id; a
 *   redelivered one finds the kept judgment and hands it on again, which the id makes harmless.
 * - A rollout that the policy refused has nothing to judge: each response that was asked for gets null, refused.
 * - A group of judgments over a panel whose best response is known is judged by rule; see ruled.ts.
 * - A full or absent queue is waited for; the judgment is not thrown away.
 * - A group that the learner asked for a second time travels under a second id: it is judged for itself.
 */
import type { Bus, WorkItem, WorkLoop } from "../../lib/bus/bus.js";
import { enqueueSurely } from "../../lib/bus/enqueue-surely.js";
import type { Clock } from "../../lib/core/clock.js";
import { CovoteError, invalid } from "../../lib/core/errors.js";
import { parseId } from "../../lib/core/ids.js";
import type { Logger } from "../../lib/core/logger.js";
import { isChatMessage } from "../../lib/grm/chat.js";
import type { Grammar } from "../../lib/grm/grammar.js";
import { checkScoreRequest } from "../../lib/grm/limits.js";
import { type Experience, type Rollout, Verdict } from "../../lib/wire/gen/covote/v1/policy.js";
import type { Judgment } from "../../lib/wire/gen/covote/v1/reward.js";
import { experienceCodec, rolloutCodec } from "../../lib/wire/messages.js";
import { toWireNullReason } from "../../lib/wire/null-reason.js";
import type { Judge } from "./judge.js";
import type { JudgeRequest } from "./judge-request.js";
import { ruledExperience } from "./ruled.js";
import { stepsOf } from "./step-layout.js";

export interface RolloutOptions {
  /** Groups judged at a time. */
  concurrency: number;
  votesPerBallot: number;
  /** In which the judgments are written that are judged by rule. */
  grammar: Grammar;
  /** Sets of principles drawn apart per query; default 0: votes write their own. */
  split?: number;
}

export function judgeRollouts(
  { bus, judge, clock, log }: { bus: Bus; judge: Judge; clock: Clock; log: Logger },
  options: RolloutOptions,
): WorkLoop {
  /** Into its learner's queue, under the rollout's own id. */
  const handOn = async (experience: Experience, item: WorkItem): Promise<void> => {
    await enqueueSurely({ bus, clock }, "experience", experienceCodec.encode(experience), {
      id: parseId("rollout.id", item.id),
      subjectToken: learnerOf(experience.rollout),
      traceparent: item.traceparent ?? experience.traceparent,
      signal: item.signal,
    });
  };
  return bus.work("rollouts", { concurrency: options.concurrency }, async (item: WorkItem) => {
    const rollout = rolloutCodec.decode(item.data);
    if (rollout.refusal !== "") return handOn(refused(rollout), item);
    if (rollout.prompt?.label !== undefined) return handOn(ruledExperience(rollout, options.grammar), item);
    const request = toRequest(rollout, item, clock, options);
    let judgment: Judgment;
    try {
      // By two clocks: a rollout that was hardly queued may seem to come from the future.
      const queuedMs = Math.max(0, clock.now() - item.enqueuedAtMs);
      judgment = await judge.judge(request, { signal: item.signal, queuedMs });
    } catch (thrown) {
      if (CovoteError.from(thrown).code !== "already_exists") throw thrown;
      // Sampled twice: the first one's own delivery answers for its experience.
      log.warn({ group_id: request.labels.group_id, rollout: item.id }, "another sample of a judged group");
      return;
    }
    await handOn(toExperience(rollout, judgment), item);
  });
}

function toRequest(
  rollout: Rollout,
  { id, traceparent = rollout.traceparent }: Pick<WorkItem, "id" | "traceparent">,
  clock: Clock,
  { votesPerBallot, split = 0 }: RolloutOptions,
): JudgeRequest {
  const { prompt, responses } = rollout;
  const plan = prompt?.judging;
  if (prompt === undefined || plan === undefined) {
    throw invalid("rollout.prompt", "is missing; the sampler has to send the prompt along");
  }
  const groupId = parseId("rollout.prompt.group_id", prompt.groupId);
  const learner = learnerOf(rollout);
  const { votes, metaKeep, temperature, deadlineMs } = plan;
  const { panelLimit } = plan;
  const options = { votes, metaKeep, temperature, panelLimit, deadlineMs, seed: prompt.seed };
  const query = prompt.query?.messages ?? [];
  checkScoreRequest({ query, responses: responses.map((r) => r.text), steps: stepsOf(responses), options });
  return {
    id: parseId("rollout.id", id),
    freshId: false,
    query: query.filter(isChatMessage),
    responses,
    // A policy's prompts have none.
    reference: null,
    split,
    votes,
    flexible: true,
    metaKeep: metaKeep === 0 ? null : metaKeep,
    temperature,
    panelLimit,
    votesPerBallot,
    seed: prompt.seed,
    deadlineAtMs: clock.now() + deadlineMs,
    labels: { run_id: learner, group_id: groupId, step: String(prompt.step) },
    policyVersion: String(rollout.policyVersion),
    traceparent,
    priority: "lo",
  };
}

function learnerOf(rollout: Rollout | undefined): string {
  return parseId("rollout.prompt.run_id", rollout?.prompt?.runId);
}

/** Of a reward that no rule gave. */
const unruled = { verdict: Verdict.UNSPECIFIED, scores: [] };

function refused(rollout: Rollout): Experience {
  const { prompt, responses } = rollout;
  parseId("rollout.prompt.group_id", prompt?.groupId);
  if (responses.length > 0) {
    throw invalid("rollout.responses", "are there although the prompt was refused; send one or the other");
  }
  const nullReason = toWireNullReason("refused");
  return {
    rollout,
    rewards: Array.from({ length: prompt?.groupSize ?? 0 }, () => ({
      ...unruled,
      value: undefined,
      nullReason,
    })),
    judgmentId: "",
    judgeVersion: "",
    judgingCost: undefined,
    judgingMs: 0,
    traceparent: rollout.traceparent,
  };
}

function toExperience(rollout: Rollout, judgment: Judgment): Experience {
  const outcome = judgment.outcome;
  return {
    rollout,
    rewards: (outcome?.rewards ?? []).map(({ value, nullReason }) => ({ ...unruled, value, nullReason })),
    judgmentId: judgment.judgmentId,
    judgeVersion: outcome?.judgeVersion ?? "",
    judgingCost: outcome?.cost,
    judgingMs: outcome?.latencyMs ?? 0,
    traceparent: rollout.traceparent,
  };
}
