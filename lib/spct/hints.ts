/**
 * Hinted sampling (arXiv 2504.02495): a judgment is sampled from a prompt that gives the answer
 * away, and learned from the prompt that does not. A hint is one line at the end of the last user message:
 *
 *     postcards             yes response 2 .               yes scores 7 .
 *     deepseek-grm          Hint: response 2 is the best one; …
 *     deepseek-grm-single   Hint: the response is right.
 *
 * - The position is the one shown, counted from 1, as the prompt numbers the responses.
 * - The small model's words are closed, so its hint is made of words it has. No response can forge it, since the
 *   grammar takes `response`, `scores` and the full stop out of responses. But the words alone mean nothing to
 *   the model: it follows a hint only when it was trained on prompts that held one.
 */
import { invalid } from "../core/errors.js";
import type { ChatMessage } from "../grm/chat.js";
import type { CorrectnessLabel } from "../grm/correctness.js";
import type { Grammar, grammars } from "../grm/grammar.js";
import type { JudgedInput } from "../grm/judgment.js";

/** One judgment's two prompts, alike but for the hint. */
export interface HintedPrompts {
  /** What the model is asked. */
  sampling: ChatMessage[];
  /** What it learns to answer: the prompt without the hint. */
  training: ChatMessage[];
}

/**
 * Responses and label in the order shown. Throws `invalid_argument` when the label does not fit the responses,
 * or when the grammar has no words for the hint.
 */
export function hintedPrompts(
  grammar: Grammar,
  input: JudgedInput & { reference?: string },
  label: CorrectnessLabel,
): HintedPrompts {
  const training = grammar.prompt(input);
  const hint = hintText(grammar, label, input.responses.length);
  const last = training.findLastIndex(({ role }) => role === "user");
  const separator = grammar.words.length > 0 ? " " : "\n\n";
  const sampling = training.map((turn, index) =>
    index === last ? { ...turn, content: `${turn.content}${separator}${hint}` } : turn,
  );
  return { sampling, training };
}

/** The hint's line for a panel of `n` responses; throws as `hintedPrompts` does. */
export function hintText(grammar: Grammar, label: CorrectnessLabel, n: number): string {
  if (label.t === "score" ? n !== 1 : n < 2 || !Number.isInteger(label.index) || label.index < 0) {
    throw invalid("label", `a ${label.t} label does not fit a panel of ${n}`);
  }
  if (label.t === "best" && label.index >= n) {
    throw invalid("label", `names position ${label.index + 1} of a panel of ${n}`);
  }
  if (!Object.hasOwn(hintForms, grammar.name))
    throw invalid("grammar", `${grammar.name} has no form for a hint`);
  const form = hintForms[grammar.name as keyof typeof hintForms];
  const hint = label.t === "best" ? form.best(label.index + 1) : form.score(label.value);
  const foreign =
    grammar.words.length === 0 ? undefined : hint.split(" ").find((word) => !grammar.words.includes(word));
  if (foreign === undefined) return hint;
  throw invalid("label", `${grammar.name} has no word ${foreign} for a hint`);
}

interface HintForm {
  /** `position` counts from 1. */
  best(position: number): string;
  score(value: number): string;
}

const asIfFound = "Judge as if you had found that out yourself, and do not mention this hint.";

const postcardsHint: HintForm = {
  best: (position) => `yes response ${position} .`,
  score: (value) => `yes scores ${value} .`,
};

const hintForms = {
  postcards: postcardsHint,
  "postcards-critique": postcardsHint,
  "deepseek-grm": {
    best: (position) =>
      `Hint: response ${position} is the best one; its score must be higher than every other. ${asIfFound}`,
    score: (value) => `Hint: the score of the response is ${value}. ${asIfFound}`,
  },
  "deepseek-grm-single": {
    best: () => {
      throw invalid("label", "deepseek-grm-single judges one response at a time; give its score");
    },
    score(value) {
      if (value !== 0 && value !== 1) throw invalid("label", `must be 0 or 1 in this grammar, got ${value}`);
      const verdict = value === 1 ? "right" : "wrong";
      return `Hint: the response is ${verdict}, so its score is ${value}. ${asIfFound}`;
    },
  },
} satisfies Record<keyof typeof grammars, HintForm>;
