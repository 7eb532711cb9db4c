/**
 * A vote that goes on from principles drawn apart (split mode). Where none can be had it writes its own, and says so:
 * a vote without kept principles is a vote all the same.
 */
import { CovoteError } from "../../lib/core/errors.js";
import type { Generation } from "../../lib/engine/engine.js";
import { PrinciplesSource as WrittenBy } from "../../lib/wire/gen/covote/v1/common.js";
import type { Ballot, Vote, VoteTicket } from "../../lib/wire/gen/covote/v1/judging.js";
import { type DrawCost, type MissReason, opened } from "./principles.js";
import { type BallotPrompt, castVote, readVote, requestOf, type Voter } from "./vote.js";

/** Rejects as `castVote` does. */
export async function castSplitVote(
  voter: Voter,
  ballot: Ballot,
  prompt: BallotPrompt,
  ticket: VoteTicket,
  signal: AbortSignal,
): Promise<Vote> {
  const { split } = voter.grammar;
  const ownVote = async (reason: MissReason, drawn: DrawCost | null): Promise<Vote> => {
    voter.missed?.(reason);
    const vote = await castVote(voter, ballot, prompt, ticket, signal);
    return { ...vote, principlesSource: WrittenBy.FALLBACK, cost: withDraw(vote.cost, drawn) };
  };

  if (prompt.tooLong !== null) return castVote(voter, ballot, prompt, ticket, signal);
  if (!voter.principles || split === null) return ownVote("unsupported", null);
  const { query, reference } = prompt.input;
  const { temperature, deadlineAtMs } = ballot;
  const set = ticket.principleSet ?? 0;
  const wanted = { query, reference, temperature, set, deadlineAtMs };
  const { principles, cost } = await voter.principles.take(wanted, signal);
  if (principles.t === "none") return ownVote(principles.reason, cost);
  const asked = split.ask(prompt.input, principles.text);
  let generation: Generation;
  try {
    const request = { ...requestOf(voter, ballot, prompt, ticket), ...asked };
    generation = await voter.engine.generate(request, { signal });
  } catch (thrown) {
    const error = CovoteError.from(thrown);
    if (error.retryable || error.code === "cancelled") throw error;
    // Principles in the prompt take room that the vote alone would have had.
    return ownVote("refused", cost);
  }
  // One judge per vote: principles and critique by the same weights.
  if (generation.version !== principles.version) return ownVote("outdated", cost);
  const text = split.whole(opened(asked.opening, generation.text), principles.text);
  const vote = readVote(voter, ballot, prompt, ticket, generation, text);
  return {
    ...vote,
    principles: principles.text,
    principlesSource: cost === null ? WrittenBy.REUSED : WrittenBy.DRAWN,
    principlesKey: principles.key,
    principlesTokens: principles.tokens,
    cost: withDraw(vote.cost, cost),
  };
}

/** With what the vote spent on drawing principles, whether it could use them or not. */
function withDraw(own: Vote["cost"], drawn: DrawCost | null): Vote["cost"] {
  if (own === undefined || drawn === null) return own;
  return {
    votes: own.votes,
    promptTokens: own.promptTokens + drawn.promptTokens,
    cachedTokens: own.cachedTokens + drawn.cachedTokens,
    completionTokens: own.completionTokens + drawn.completionTokens,
    engineMs: own.engineMs + drawn.engineMs,
  };
}
