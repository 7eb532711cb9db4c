/**
 * Casting one vote: generate, parse, report. Never rejects but for a failure that another worker may not
 * have (`unavailable`, `overloaded`) or a cancel; everything else is a vote that says what went wrong.
 */
import { CovoteError } from "../../lib/core/errors.js";
import { type NullReason, nullReasonOfError } from "../../lib/core/null-reason.js";
import type { GenerateRequest, Generation, GenerativeEngine } from "../../lib/engine/engine.js";
import { promptField } from "../../lib/engine/server-errors.js";
import type { ChatMessage } from "../../lib/grm/chat.js";
import type { Grammar } from "../../lib/grm/grammar.js";
import { type JudgedInput, type ParseFailureKind, scoresDue } from "../../lib/grm/judgment.js";
import { PrinciplesSource as WrittenBy } from "../../lib/wire/gen/covote/v1/common.js";
import type { Ballot, Vote, VoteTicket } from "../../lib/wire/gen/covote/v1/judging.js";
import { toWireNullReason } from "../../lib/wire/null-reason.js";
import type { MissReason, PrinciplesSource } from "./principles.js";

export interface Voter {
  engine: GenerativeEngine;
  grammar: Grammar;
  /** Name of this worker, for the record. */
  worker: string;
  /** Longest judgment, in tokens; null: as long as the grammar may need. */
  maxTokens: number | null;
  /** Of the span of the vote at hand, where there is one; for the engine. */
  traceparent?: string;
  /** A number that no other request to this engine has. */
  nextRequest(): number;
  /** Principles drawn apart, for the tickets that ask for them; left out or null: the grammar has none. */
  principles?: PrinciplesSource | null;
  /** Told why a vote wrote its own principles although it was to use others. */
  missed?(reason: MissReason): void;
  /** Told about each text, before it is read. */
  generated?(generation: Generation): void;
  /** Told what was wrong with a text that could not be read. */
  unparsable?(kind: UnparsableKind): void;
}

/** `cut_scores`: there are scores, but in a text that was cut at its limit. */
export type UnparsableKind = ParseFailureKind | "cut_scores";

/** A prompt that was built once for all votes of a ballot. */
export interface BallotPrompt {
  input: JudgedInput;
  messages: readonly ChatMessage[];
  maxTokens: number;
  /** Scores that a vote on it has to give. */
  due: number;
  /** Why no vote on it can be cast: too long for the model. */
  tooLong: string | null;
}

export async function ballotPrompt(
  { engine, grammar, ...limits }: Voter,
  ballot: Ballot,
  query: ChatMessage[],
): Promise<BallotPrompt> {
  const panel = ballot.responses.length;
  const input = inputOf(ballot, query);
  const messages = grammar.prompt(input);
  const due = scoresDue(input);
  const maxTokens = Math.min(grammar.maxTokens(panel, due - panel), limits.maxTokens ?? Infinity);
  const needed = (await engine.countTokens(messages)) + maxTokens;
  const limit = engine.maxPositions;
  const tooLong =
    needed > limit ? `panel of ${panel} needs ${needed} tokens, the reward model takes ${limit}` : null;
  return { input, messages, maxTokens, due, tooLong };
}

function inputOf({ responses, reference, steps }: Ballot, query: ChatMessage[]): JudgedInput {
  const input: JudgedInput = { query, responses };
  if (reference !== undefined) input.reference = reference;
  if (steps !== undefined) input.steps = steps.responses.map(({ texts }) => texts);
  return input;
}

/** A vote that writes its own principles. */
export async function castVote(
  voter: Voter,
  ballot: Ballot,
  prompt: BallotPrompt,
  ticket: VoteTicket,
  signal: AbortSignal,
): Promise<Vote> {
  if (prompt.tooLong !== null) {
    return { ...failed(voter, ballot, ticket, "refused", prompt.tooLong), panelTooLong: true };
  }
  let generation: Generation;
  try {
    generation = await voter.engine.generate(requestOf(voter, ballot, prompt, ticket), { signal });
  } catch (thrown) {
    const error = CovoteError.from(thrown);
    if (error.retryable || error.code === "cancelled") throw error;
    const vote = failed(voter, ballot, ticket, nullReasonOfError[error.code], error.message);
    // Only the server knew how long the prompt is: a smaller panel may fit.
    return { ...vote, panelTooLong: error.field === promptField };
  }
  return readVote(voter, ballot, prompt, ticket, generation, generation.text);
}

export function requestOf(
  voter: Voter,
  ballot: Ballot,
  prompt: BallotPrompt,
  ticket: VoteTicket,
): GenerateRequest {
  return {
    // A ballot that was delivered twice may be in the engine twice.
    id: `${ticket.voteId}~${voter.nextRequest()}`,
    messages: prompt.messages,
    maxTokens: prompt.maxTokens,
    temperature: ballot.temperature,
    seed: ticket.seed,
    deadlineAtMs: ballot.deadlineAtMs,
    ...(voter.traceparent === undefined ? {} : { traceparent: voter.traceparent }),
  };
}

/** The vote that a model's text is. `text`: the whole judgment, where that is more than what was generated. */
export function readVote(
  voter: Voter,
  ballot: Ballot,
  prompt: BallotPrompt,
  ticket: VoteTicket,
  generation: Generation,
  text: string,
): Vote {
  voter.generated?.(generation);
  const parsed = voter.grammar.parse(text, prompt.due);
  const vote = emptyVote(voter, ballot, ticket, generation, text);
  const { principles, critique } = parsed;
  const cut = generation.finish === "length";
  // Scores in a text that was cut may be a draft: marks per criterion, or a box in reasoning that has no end.
  if (parsed.ok && !cut) return { ...vote, principles, critique, scores: [...parsed.scores] };
  voter.unparsable?.(parsed.ok ? "cut_scores" : parsed.kind);
  const found = parsed.ok ? "truncated: there are scores" : `${parsed.kind}: ${parsed.message}`;
  const failure = cut ? `${found}, but the text was cut at its token limit` : found;
  return { ...vote, principles, critique, nullReason: toWireNullReason("unparsable"), failure };
}

/** A vote without scores, for a ballot that no worker could serve. No model judged it, so it names no version. */
export function failed(
  voter: Voter,
  ballot: Ballot,
  ticket: VoteTicket,
  reason: NullReason,
  failure: string,
): Vote {
  return { ...emptyVote(voter, ballot, ticket, null, ""), nullReason: toWireNullReason(reason), failure };
}

function emptyVote(
  voter: Voter,
  ballot: Ballot,
  ticket: VoteTicket,
  generation: Generation | null,
  text: string,
): Vote {
  const { grammar } = voter;
  return {
    voteId: ticket.voteId,
    ballotId: ballot.ballotId,
    judgmentId: ballot.judgmentId,
    judgeVersion: generation === null ? "" : `${generation.version}+${grammar.name}@${grammar.version}`,
    worker: voter.worker,
    text,
    principles: "",
    critique: "",
    scores: [],
    nullReason: toWireNullReason(undefined),
    failure: "",
    cost: {
      votes: 1,
      promptTokens: generation?.promptTokens ?? 0,
      cachedTokens: generation?.cachedTokens ?? 0,
      completionTokens: generation?.completionTokens ?? 0,
      engineMs: generation?.engineMs ?? 0,
    },
    panelTooLong: false,
    principlesSource: WrittenBy.UNSPECIFIED,
    principlesKey: "",
    principlesTokens: 0,
  };
}
