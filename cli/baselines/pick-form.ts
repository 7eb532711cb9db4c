/**
 * How a judge that picks is asked, and how its pick is written and read: the reward model's own form, with the number of
 * the best response in place of the scores. Pure.
 */
import { invalid } from "../../lib/core/errors.js";
import type { ChatMessage } from "../../lib/grm/chat.js";
import { type Grammar, grammars } from "../../lib/grm/grammar.js";
import type { JudgedInput } from "../../lib/grm/judgment.js";
import { critiqueOf } from "./conversations.js";
import type { GrammarName } from "./kinds.js";

export interface PickForm {
  /** Throws `invalid_argument` when the grammar has no room for the input. */
  ask(input: JudgedInput): ChatMessage[];
  /** A judgment with scores as one that picks the response at `position` (from 0); it keeps all but the scores. */
  rewrite(judgment: string, responses: number, position: number): string;
  /** The position that was picked; null when there is none among `responses`. */
  read(text: string, responses: number): number | null;
  /** Bound of the completion, in tokens. */
  maxTokens(responses: number): number;
}

/** Throws `invalid_argument` for a grammar in which nothing can be picked. */
export function pickForm(name: GrammarName): PickForm {
  const grammar = grammars[name];
  switch (name) {
    case "postcards":
    case "postcards-critique":
      return inWords(grammar);
    case "deepseek-grm":
      return inBox(grammar);
    default:
      throw invalid(
        "grm.grammar",
        `${name} judges one response at a time and cannot pick; use another grammar`,
      );
  }
}

/** `… response 2` at the end: words that the demo world's models know. */
function inWords(grammar: Grammar): PickForm {
  return {
    ask: (input) => grammar.prompt(input),
    rewrite: (judgment, responses, position) =>
      `${critiqueOf(grammar, judgment, responses)} response ${position + 1}`,
    read: (text, responses) => withinOf(/(?:^|\s)response\s+(\d+)\s*$/.exec(text)?.[1], responses),
    maxTokens: (responses) => grammar.maxTokens(responses),
  };
}

const request =
  "Do not give scores. After the analysis name the best response instead: its number alone in \\boxed{}, as in \\boxed{1}.";

function inBox(grammar: Grammar): PickForm {
  return {
    ask: (input) => {
      const messages = grammar.prompt(input);
      const last = messages.at(-1) as ChatMessage;
      return [...messages.slice(0, -1), { ...last, content: `${last.content}\n\n${request}` }];
    },
    rewrite: (judgment, responses, position) =>
      `${critiqueOf(grammar, judgment, responses).trimEnd()}\n\nBest response: \\boxed{${position + 1}}`,
    read: (text, responses) => withinOf([...text.matchAll(/\\boxed\{\s*(\d+)\s*\}/g)].at(-1)?.[1], responses),
    maxTokens: (responses) => grammar.maxTokens(responses),
  };
}

function withinOf(digits: string | undefined, responses: number): number | null {
  const number = digits === undefined ? 0 : Number(digits);
  return number >= 1 && number <= responses ? number - 1 : null;
}
