/** A vote as a span: what it was about, what it cost, and how it went. Its text stays out. */
import type { Span, Tracer } from "../../lib/core/tracer.js";
import type { Ballot, Vote, VoteTicket } from "../../lib/wire/gen/covote/v1/judging.js";
import { fromWireNullReason } from "../../lib/wire/null-reason.js";

export function voteSpan(tracer: Tracer, ballot: Ballot, ticket: VoteTicket, parent: string): Span | null {
  return tracer.start("vote", {
    parent,
    attributes: {
      "covote.vote_id": ticket.voteId,
      "covote.ballot_id": ballot.ballotId,
      "covote.judgment_id": ballot.judgmentId,
      "covote.responses": ballot.responses.length,
    },
  });
}

/** An unparsable vote is an answer, and no failure of the worker: it names its reason. */
export function endVoteSpan(span: Span, { judgeVersion, worker, nullReason, cost }: Vote): void {
  span.set({
    "covote.judge_version": judgeVersion,
    "covote.worker": worker,
    "covote.null_reason": fromWireNullReason(nullReason),
    "covote.engine_ms": cost?.engineMs,
    "covote.cached_tokens": cost?.cachedTokens,
    "gen_ai.usage.input_tokens": cost?.promptTokens,
    "gen_ai.usage.output_tokens": cost?.completionTokens,
  });
  span.end();
}
