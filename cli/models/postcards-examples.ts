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
 * The GRM learns the judgment, above all its verdicts and scores (weight 4; verdicts on the topic, the hardest
 * rule, 8), and a little (0.3) the panel itself: guessing the words of a card is how it finds out early which of them go with which query. Without
 * that it takes three times as many tokens to tell a topic.
 */
export function judgmentExample(panel: Panel, judgment: Judgment, tokenizer: LlamaTokenizer): Example {
  const yes = tokenizer.idOf("yes");
  const no = tokenizer.idOf("no");
  const topic = tokenizer.idOf("topic");
  const scores = tokenizer.idOf("scores");
  const weigh = (answer: readonly number[]): number[] => {
    const scoresAt = answer.indexOf(scores as number);
    let criterion: number | undefined;
    return answer.map((token, i) => {
      if (token === yes || token === no) return criterion === topic ? 8 : 4;
      criterion = token;
      return i > scoresAt ? 4 : 1;
    });
  };
  return chatExample(
    tokenizer,
    renderPanel(panel.query, panel.responses),
    renderJudgment(judgment),
    (prompt, answer) => [...prompt.map(() => 0.3), ...weigh(answer)],
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
