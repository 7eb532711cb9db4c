/**
 * Corpora as token sequences: which words a model sees, and how much each weighs in its loss.
 */
import type { LlamaTokenizer } from "../../lib/llama/tokenizer.js";
import type { Card, Panel } from "../../worlds/postcards/corpora.js";
import { type Judgment, renderJudgment, renderPanel } from "../../worlds/postcards/judgment.js";
import { renderQuery } from "../../worlds/postcards/query.js";
import type { Example } from "./supervised.js";

/** The policy learns the card, not the query. */
export function cardExample(card: Card, tokenizer: LlamaTokenizer): Example {
  return chatExample(tokenizer, renderQuery(card.query), card.response, (prompt, answer) => [
    ...prompt.map(() => 0),
    ...answer.map(() => 1),
  ]);
}

/**
 * The GRM learns the judgment, above all its verdicts and scores (weight 4), and a little (0.3) the panel
 * itself: guessing the words of a card is how it finds out early which of them go with which query. Without
 * that it takes three times as many tokens to tell a topic.
 */
export function judgmentExample(panel: Panel, judgment: Judgment, tokenizer: LlamaTokenizer): Example {
  const marks = { yes: tokenizer.idOf("yes"), no: tokenizer.idOf("no"), scores: tokenizer.idOf("scores") };
  return chatExample(
    tokenizer,
    renderPanel(panel.query, panel.responses),
    renderJudgment(judgment),
    (prompt, answer) => {
      const scoresAt = answer.indexOf(marks.scores as number);
      const decides = (token: number, i: number): boolean =>
        token === marks.yes || token === marks.no || i > scoresAt;
      return [...prompt.map(() => 0.3), ...answer.map((token, i) => (decides(token, i) ? 4 : 1))];
    },
  );
}

function chatExample(
  tokenizer: LlamaTokenizer,
  user: string,
  assistant: string,
  weigh: (prompt: readonly number[], answer: readonly number[]) => number[],
): Example {
  const prompt = tokenizer.chat([{ role: "user", content: user }]);
  const tokens = tokenizer.chat(
    [
      { role: "user", content: user },
      { role: "assistant", content: assistant },
    ],
    { addGenerationPrompt: false },
  );
  return { tokens, weights: weigh(prompt, tokens.slice(prompt.length)) };
}
