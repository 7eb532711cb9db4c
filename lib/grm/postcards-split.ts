/**
 * Principles of the postcards grammar drawn apart: the model writes the beginning of a judgment and is stopped where
 * the critique would begin; a vote goes on from there.
 *
 * A model that has learned this grammar has never seen a query without responses and knows no instructions, so it is
 * shown two cards that are always the same: what it writes depends on the query alone.
 */
import type { SplitGrammar } from "./judgment.js";
import { criteria, userTurn, wholeNumber } from "./postcards-prompt.js";

const specimens = ["dear friend we saw the bridge and the boat", "hey here with love so fine"];

export const postcardsSplit: SplitGrammar = {
  prompt: (input) => [{ role: "user", content: userTurn({ ...input, responses: specimens }) }],
  opening: "principles",
  stop: ["critique"],
  // Every criterion of the grammar with its weight, and the word that ends them.
  maxTokens: 2 * criteria.size + 1,
  read(text) {
    const words = wordsOf(text);
    if (words[0] !== "principles" || words.at(-1) !== "critique") return null;
    const principles = words.slice(1, -1).join(" ");
    return holds(principles) ? principles : null;
  },
  holds,
  ask: (input, principles) => ({
    messages: [{ role: "user", content: userTurn(input) }],
    opening: `principles ${principles} critique`,
  }),
  whole: (answer) => answer,
};

function wordsOf(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== "");
}

/** Criteria with their weights, at least one, none twice. */
function holds(principles: string): boolean {
  const named = wordsOf(principles);
  if (named.length === 0 || named.length % 2 !== 0) return false;
  const seen = new Set<string>();
  for (let at = 0; at < named.length; at += 2) {
    const criterion = named[at] as string;
    const weight = wholeNumber(named[at + 1]);
    if (!criteria.has(criterion) || seen.has(criterion)) return false;
    if (weight === null || weight < 1 || weight > 10) return false;
    seen.add(criterion);
  }
  return true;
}
