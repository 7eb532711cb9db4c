/**
 * The prompt of the postcards grammar, and the words that it is made of: the query, then the numbered responses.
 *
 * Every word is one token of the small Llama, so a response must not be able to say a word that structures the
 * prompt: such words become `<unk>`.
 */
import { invalid } from "../core/errors.js";
import type { JudgedInput } from "./judgment.js";

export const criteria = new Set([
  "short",
  "long",
  "question",
  "thanks",
  "number",
  "colour",
  "topic",
  "greeting",
]);
export const scoreWords = Array.from({ length: 10 }, (_, i) => String(i + 1));
const specialTokens = ["<pad>", "<s>", "</s>", "<user>", "<assistant>"];
export const judgmentWords = ["principles", "critique", "scores", "response"];
const forbiddenInResponse = new Set([".", "query", ...judgmentWords, ...specialTokens]);
const forbiddenInQuery = new Set([...judgmentWords, ...specialTokens]);

export function userTurn({ query, responses, reference, steps }: JudgedInput): string {
  if (reference !== undefined) {
    throw invalid("reference", "the postcards grammar has no place for a reference answer; leave it out");
  }
  if (steps?.some((each) => each.length > 0)) {
    throw invalid(
      "steps",
      "the postcards grammar has no place for steps; show a response's prefixes instead",
    );
  }
  const [turn] = query;
  if (query.length !== 1 || turn?.role !== "user") {
    throw invalid("query", `the postcards grammar takes exactly one user turn, got ${query.length} turns`);
  }
  const words = [guardedWords(turn.content, forbiddenInQuery)];
  responses.forEach((response, index) => {
    words.push(["response", String(index + 1)], guardedWords(response, forbiddenInResponse), ["."]);
  });
  return words.flat().join(" ");
}

function guardedWords(text: string, forbidden: ReadonlySet<string>): string[] {
  const words = text.split(/\s+/).filter((word) => word !== "");
  return words.map((word) => (forbidden.has(word) ? "<unk>" : word));
}

/** A whole number written in digits, without sign or leading zero; null for anything else. */
export function wholeNumber(word: string | undefined): number | null {
  return word !== undefined && /^(?:0|[1-9]\d*)$/.test(word) ? Number(word) : null;
}
