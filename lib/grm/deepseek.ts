/**
 * The DeepSeek-GRM format (arXiv 2504.02495, section 3 and appendix G): criteria of the model's own with
 * weights, an analysis, and one boxed score of 1 to 10 per response.
 *
 * One response, two or a list go through the same prompt and the same parser. A response given as steps is shown as
 * numbered steps and gets a score for each, then its own. Criteria can be drawn apart: then they stand in the prompt.
 */
import { conversationBlock, referenceBlocks, responseBlocks } from "./deepseek-blocks.js";
import { deepseekPrompt } from "./deepseek-prompt.js";
import { deepseekSplit } from "./deepseek-split.js";
import type { Grammar } from "./judgment.js";
import { withoutControlTokens } from "./neutralise.js";
import { parseProseJudgment } from "./prose-judgment.js";

export const deepseekGrm: Grammar = {
  name: "deepseek-grm",
  version: "deepseek-grm-1",
  maxPanel: 16,
  scoresSteps: true,
  split: deepseekSplit,
  words: [],
  prompt: (input) => [{ role: "user", content: deepseekPrompt(input, null) }],
  parse: (text, n) => parseProseJudgment(text, n, { lowest: 1, highest: 10 }),
  metaConversation({ query, responses, reference, steps, judgmentText }) {
    // The request is kept to one line so that the judgment has room.
    const request = "Score the responses to the last user turn of this conversation.";
    const material = [
      conversationBlock(query),
      ...referenceBlocks(reference),
      responseBlocks(responses, steps),
    ];
    return [
      { role: "user", content: [request, ...material].join("\n\n") },
      { role: "assistant", content: withoutControlTokens(judgmentText) },
    ];
  },
  // Judgments over two responses take 200 to 400 tokens (same paper, appendix); each further response adds
  // a paragraph of analysis, and so does each step.
  maxTokens: (n, steps = 0) => 1536 + 256 * (n + steps),
};
