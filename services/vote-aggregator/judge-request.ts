/**
 * What a judge is asked, and how it is written down: between the domain's words and those of the wire.
 */
import { hash } from "node:crypto";
import type { ChatMessage } from "../../lib/grm/chat.js";
import type { Response } from "../../lib/wire/gen/covote/v1/common.js";
import type { Vote } from "../../lib/wire/gen/covote/v1/judging.js";
import {
  type Judgment,
  type Reward,
  StepForm,
  type VoteChoice,
} from "../../lib/wire/gen/covote/v1/reward.js";
import { fromWireNullReason } from "../../lib/wire/null-reason.js";
import type { CastVote, Outcome } from "./judgment.js";
import { totalCost, toVoteRecord, toWireReward } from "./judgment-records.js";
import type { VoteOutcomeLabel } from "./metrics.js";
import { type StepLayout, stepsOf } from "./step-layout.js";

export interface JudgeRequest {
  id: string;
  /** The id was made for this request, so there is no record of it to look for. */
  freshId: boolean;
  query: readonly ChatMessage[];
  responses: readonly Response[];
  /** Null: none was given. */
  reference: string | null;
  votes: number;
  /** The number of votes is what is configured, not what this caller wants: a co-scaler may decide otherwise. */
  flexible?: boolean;
  /** It has. */
  voteChoice?: VoteChoice;
  metaKeep: number | null;
  temperature: number;
  panelLimit: number;
  votesPerBallot: number;
  seed: number;
  /** Milliseconds since the epoch. */
  deadlineAtMs: number;
  /** Sets of principles drawn apart for the query; 0: every vote writes its own. */
  split: number;
  labels: Record<string, string>;
  policyVersion: string;
  traceparent: string;
  priority: "hi" | "lo";
}

/** Of what was asked: two requests under one id must have the same. */
export function digestOf(request: JudgeRequest): string {
  const { query, responses, reference, votes, metaKeep, temperature, panelLimit, seed, split } = request;
  const texts = responses.map((r) => r.text);
  const asked: unknown[] = [query, texts, votes, metaKeep, temperature, panelLimit, seed];
  // Without these the digest is that of records from before there were any.
  if (reference !== null) asked.push(reference);
  if (split > 0) asked.push({ split });
  const steps = stepsOf(responses);
  if (steps !== null) asked.push({ steps });
  return hash("sha256", JSON.stringify(asked));
}

export function toJudgment(
  request: JudgeRequest,
  outcome: Outcome,
  stamps: { digest: string; acceptedAtMs: number; latencyMs: number },
  layout: StepLayout | null = null,
): Judgment {
  return {
    judgmentId: request.id,
    query: { messages: [...request.query] },
    responses: [...request.responses],
    votes: outcome.votes.map((vote) => toVoteRecord(vote.cast, vote.order, vote, layout)),
    outcome: {
      judgmentId: request.id,
      rewards: rewardsOf(outcome, layout),
      partial: outcome.partial,
      judgeVersion: outcome.judgeVersion,
      cost: totalCost(outcome.votes),
      latencyMs: stamps.latencyMs,
      stepForm: layout?.form ?? StepForm.UNSPECIFIED,
    },
    labels: request.labels,
    acceptedAtMs: stamps.acceptedAtMs,
    policyVersion: request.policyVersion,
    requestDigest: stamps.digest,
    metaKeep: request.metaKeep ?? 0,
    metaVersion: outcome.metaVersion,
    reference: request.reference ?? undefined,
    split: request.split,
    voteChoice: request.voteChoice,
  };
}

/** Rewards per unit, put together per response. */
function rewardsOf({ rewards }: Outcome, layout: StepLayout | null): Reward[] {
  if (layout === null) return rewards.map(toWireReward);
  const unit = (index: number): Reward => toWireReward(rewards[index] as Outcome["rewards"][number]);
  return layout.responses.map(({ whole, steps }) => ({
    ...unit(whole),
    steps: steps === null ? undefined : { rewards: steps.map(unit) },
  }));
}

export function toCastVote(vote: Vote): CastVote {
  const { promptTokens = 0, cachedTokens = 0, completionTokens = 0, engineMs = 0 } = vote.cost ?? {};
  const nullReason = fromWireNullReason(vote.nullReason) ?? null;
  return {
    voteId: vote.voteId,
    judgeVersion: vote.judgeVersion,
    worker: vote.worker,
    text: vote.text,
    principles: vote.principles,
    critique: vote.critique,
    scores: nullReason === null ? vote.scores : null,
    nullReason,
    failure: vote.failure,
    panelTooLong: vote.panelTooLong,
    principlesSource: vote.principlesSource,
    principlesKey: vote.principlesKey,
    cost: { promptTokens, cachedTokens, completionTokens, engineMs },
  };
}

/** For metrics. */
export function voteOutcome(vote: Vote, expected: boolean): VoteOutcomeLabel {
  if (!expected) return "late";
  return fromWireNullReason(vote.nullReason) ?? "usable";
}
