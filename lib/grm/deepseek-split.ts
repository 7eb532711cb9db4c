/**
 * Principles of the DeepSeek-GRM format drawn apart: criteria with weights for a query, asked for by a prompt of their
 * own and given to votes in theirs (arXiv 2504.02495, Eq. 8).
 */
import { deepseekCriteriaPrompt, deepseekPrompt } from "./deepseek-prompt.js";
import type { SplitGrammar } from "./judgment.js";
import { withoutReasoning } from "./reasoning.js";
import { splitSections } from "./sections.js";

/** Longer ones would crowd out the responses. In characters. */
const longest = 8192;

export const deepseekSplit: SplitGrammar = {
  prompt: (input) => [{ role: "user", content: deepseekCriteriaPrompt(input) }],
  opening: "",
  stop: [],
  // Criteria take a third of a judgment at most; reasoning before them has the rest.
  maxTokens: 1536,
  read: readCriteria,
  holds: (principles) => readCriteria(principles) === principles,
  ask: (input, principles) => ({
    messages: [{ role: "user", content: deepseekPrompt(input, principles) }],
    opening: "",
  }),
  // A reasoning model's thoughts stay in front, where the parser leaves them out.
  whole(answer, principles) {
    const said = withoutReasoning(answer);
    if (said === null) return answer;
    return `${answer.slice(0, answer.length - said.length)}Specific Criteria:\n${principles}\n\n${said.trimStart()}`;
  },
};

/** Null for anything but criteria with weights: no box, no analysis, no scores. */
function readCriteria(text: string): string | null {
  const said = withoutReasoning(text);
  if (said === null || said.length > longest || said.includes("boxed")) return null;
  const { principles, critique } = splitSections(said, said.length);
  const criteria = principles === "" ? critique : principles;
  // Without a heading the whole text is one part; with one, nothing may follow the criteria.
  if (criteria === "" || (principles !== "" && critique !== "")) return null;
  return /\d\s*%/.test(criteria) ? criteria : null;
}
