/**
 * A judgment grammar: how a generative reward model is asked, and how its text is read.
 *
 * - `parse` never throws, runs in time linear in the text, and reads nothing but the model's own output.
 * - A judgment that is not exactly what was asked for is a named failure, never a guess.
 */
import type { ChatMessage } from "./chat.js";

export interface JudgedInput {
  /** The conversation; its last turn, by the user, is the query. */
  query: readonly ChatMessage[];
  /** In the order in which the panel shows them. */
  responses: readonly string[];
  /** An answer that is known to be right; left out: none is known. */
  reference?: string;
  /**
   * Of the responses that are given as steps: one list per response, empty for one that is not. What is shown of a
   * response with steps is these, not its text. Left out: none has any.
   */
  steps?: readonly (readonly string[])[];
}

/** Scores that a judgment has to give: one per response, and before it one for each of its steps. */
export function scoresDue({ responses, steps }: Pick<JudgedInput, "responses" | "steps">): number {
  let due = responses.length;
  if (steps !== undefined) for (const each of steps) due += each.length;
  return due;
}

export interface Grammar {
  name: string;
  /** Part of the judge version: it changes whenever prompt or parser change what a reward means. */
  version: string;
  /** Most responses that one panel may show. */
  maxPanel: number;
  /**
   * Whether a prompt can show a response as numbered steps and ask for a score for each. Where it cannot, a response
   * given as steps is judged as the list of its prefixes.
   */
  scoresSteps: boolean;
  /** How principles are drawn apart and given to votes; null: they cannot be. */
  split: SplitGrammar | null;
  /** Words that a model with a closed vocabulary has to know; empty when any language model will do. */
  words: readonly string[];
  /** What the GRM is asked; throws `invalid_argument` when the grammar has no room for the input. */
  prompt(input: JudgedInput): ChatMessage[];
  /** Reads a judgment with `n` scores: one per response where none has steps (see `scoresDue`). */
  parse(text: string, n: number): ParsedJudgment | ParseFailure;
  /**
   * What the meta RM scores: the judged input as the user's turn, the judgment as the assistant's. A reference
   * answer belongs to the input: a judgment that leans on it cannot be told right or wrong without it. Throws as
   * `prompt` does.
   */
  metaConversation(input: JudgedInput & { judgmentText: string }): ChatMessage[];
  /** Bound of the completion over `n` responses that have `steps` steps together, in tokens. */
  maxTokens(n: number, steps?: number): number;
}

/**
 * Principles drawn apart from the judgments that use them: for the query alone, so that they serve any responses to
 * it. The prompt must therefore not depend on responses.
 */
export interface SplitGrammar {
  /** Asks for principles. Throws as `Grammar.prompt` does. */
  prompt(input: Pick<JudgedInput, "query" | "reference">): ChatMessage[];
  /** What the answer is made to begin with; empty: nothing. */
  opening: string;
  /** Words that end the answer, beside the model's own end. */
  stop: readonly string[];
  /** Bound of the answer, in tokens. */
  maxTokens: number;
  /** The principles in an answer, `opening` included; null when they are not exactly what was asked for. */
  read(text: string): string | null;
  /** Whether a text is such principles: `read` gives no others. */
  holds(principles: string): boolean;
  /** How a vote is asked that has to use them: a prompt, and what its answer is made to begin with. */
  ask(input: JudgedInput, principles: string): { messages: ChatMessage[]; opening: string };
  /** The vote's answer, `opening` included, as a judgment that had written the principles itself. */
  whole(answer: string, principles: string): string;
}

export interface ParsedJudgment {
  ok: true;
  /** One integer per response, in the order shown. */
  scores: number[];
  /** The criteria with their weights, as written; empty when the text has no such part. */
  principles: string;
  /** The analysis, as written; empty when the text has no such part. */
  critique: string;
}

/** Why a judgment has no scores. A closed list. */
export const parseFailureKinds = [
  /** Nothing but white space. */
  "empty",
  /** The text ends inside a part that it began. */
  "truncated",
  /** No scores where they are due: no box, or no `scores` part. */
  "missing_scores",
  /** Not exactly one score per response. */
  "wrong_count",
  /** A whole number outside the range. */
  "out_of_range",
  /** Something in a score's place that is not a whole number. */
  "not_integer",
  /** No principles, or ones that break the grammar. */
  "bad_principles",
  /** No critique, or one that does not match the principles and the responses. */
  "bad_critique",
  /** Text after the end of the judgment. */
  "trailing_text",
] as const;

export type ParseFailureKind = (typeof parseFailureKinds)[number];

export interface ParseFailure {
  ok: false;
  kind: ParseFailureKind;
  /** One line that says what was found. */
  message: string;
  /** Whatever of these could be told apart, for the record. */
  principles: string;
  critique: string;
}

export function parseFailure(
  kind: ParseFailureKind,
  message: string,
  parts: { principles?: string; critique?: string } = {},
): ParseFailure {
  return { ok: false, kind, message, principles: parts.principles ?? "", critique: parts.critique ?? "" };
}

/** A piece of model output for a message: on one line, at most 40 characters, quoted. */
export function quoted(text: string): string {
  const line = text.slice(0, 80).replace(/\s+/g, " ").trim();
  return JSON.stringify(line.length > 40 || text.length > 80 ? `${line.slice(0, 40)}…` : line);
}
