/** A judgment and its tally as spans: what was asked, what came of it, and which votes it was made of. */
import type { Span, Tracer } from "../../lib/core/tracer.js";
import type { JudgeRequest } from "./judge-request.js";
import type { Outcome } from "./judgment.js";

export function judgmentSpan(tracer: Tracer, request: JudgeRequest): Span | null {
  const { id, labels, responses, votes, policyVersion, traceparent } = request;
  return tracer.start("judgment", {
    parent: traceparent,
    attributes: {
      "covote.judgment_id": id,
      "covote.run_id": labels.run_id,
      "covote.group_id": labels.group_id,
      "covote.step": labels.step === undefined ? undefined : Number(labels.step),
      "covote.policy_version": policyVersion || undefined,
      "covote.responses": responses.length,
      "covote.votes_per_response": votes,
    },
  });
}

export function outcomeOnto(span: Span, outcome: Outcome): void {
  const { judgeVersion, metaVersion, partial, votes } = outcome;
  span.set({
    "covote.judge_version": judgeVersion || undefined,
    "covote.meta_version": metaVersion || undefined,
    "covote.partial": partial,
    "covote.votes": votes.length,
    ...nulls(outcome),
  });
}

/** `voteTraces`: the spans of the votes that came, by vote id. Those counted are linked to. */
export function traceTally(
  tracer: Tracer,
  task: { id: string; traceparent: string },
  outcome: Outcome,
  voteTraces: ReadonlyMap<string, string>,
): void {
  const { votes } = outcome;
  const links = votes.flatMap(({ cast }) => voteTraces.get(cast.voteId) ?? []);
  tracer
    .start("tally", {
      parent: task.traceparent,
      links,
      attributes: {
        "covote.judgment_id": task.id,
        "covote.votes": votes.length,
        "covote.votes_usable": votes.filter(({ cast }) => cast.scores !== null).length,
        "covote.votes_kept": votes.filter(({ kept }) => kept).length,
        "covote.vote_null_reasons": unique(votes.flatMap(({ cast }) => cast.nullReason ?? [])),
        ...nulls(outcome),
      },
    })
    ?.end();
}

function nulls({ rewards }: Outcome) {
  const reasons = rewards.flatMap((reward) => (reward.value === null ? [reward.reason] : []));
  return {
    "covote.null_rewards": reasons.length,
    "covote.null_reasons": reasons.length === 0 ? undefined : unique(reasons),
  };
}

function unique(reasons: readonly string[]): readonly string[] | undefined {
  return reasons.length === 0 ? undefined : [...new Set(reasons)].sort();
}
