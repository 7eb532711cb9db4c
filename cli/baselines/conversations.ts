/**
 * What a baseline's scalar head reads, as conversations: the reward model's own prompt on one response or two, and for
 * semi-scalar rewards a critique behind it. The head is read after the last token.
 */
import { invalid } from "../../lib/core/errors.js";
import type { ChatMessage } from "../../lib/grm/chat.js";
import type { Grammar, JudgedInput } from "../../lib/grm/judgment.js";
import type { LlamaTokenizer } from "../../lib/llama/tokenizer.js";

export interface Judged {
  query: readonly ChatMessage[];
  responses: readonly string[];
  reference: string | null;
}

/** Throws `invalid_argument` when the grammar has no room for the input. */
export function inputOf({ query, reference }: Judged, responses: readonly string[]): JudgedInput {
  return { query, responses, ...(reference === null ? {} : { reference }) };
}

/** A critique behind the prompt that it answers. */
export function critiqued(grammar: Grammar, input: JudgedInput, critique: string): ChatMessage[] {
  return grammar.metaConversation({ ...input, judgmentText: critique });
}

/** What was written up to the end of the analysis, without scores; all of it where no analysis can be told apart. */
export function critiqueOf(grammar: Grammar, text: string, responses: number): string {
  const { critique } = grammar.parse(text, responses);
  const at = critique === "" ? -1 : text.indexOf(critique);
  return at < 0 ? text : text.slice(0, at + critique.length);
}

/** As a served scalar model reads it; throws `invalid_argument` when it is too long. */
export function headTokens(
  conversation: readonly ChatMessage[],
  { tokenizer, maxPositions }: { tokenizer: LlamaTokenizer; maxPositions: number },
): number[] {
  const tokens = tokenizer.chat(conversation, { addGenerationPrompt: false });
  if (tokens.length <= maxPositions) return tokens;
  throw invalid(
    "responses",
    `${tokens.length} tokens exceed the model's ${maxPositions} positions; shorten query or responses`,
  );
}
