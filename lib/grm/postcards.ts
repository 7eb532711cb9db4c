/**
 * The grammar of the postcards world: a judgment is a line of vocabulary words in three parts.
 *
 *     principles question 3 thanks 2 critique question yes no thanks yes no scores 9 2
 *
 * - Criteria come from a closed list, none twice, each with a weight of 1..10; the critique gives the same
 *   criteria in the same order, each with one verdict per response; then one score of 1..10 per response.
 */
import type { ChatMessage } from "./chat.js";
import type { Grammar, ParsedJudgment, ParseFailure, ParseFailureKind } from "./judgment.js";
import { parseFailure, quoted } from "./judgment.js";
import { criteria, judgmentWords, scoreWords, userTurn, wholeNumber } from "./postcards-prompt.js";
import { postcardsSplit } from "./postcards-split.js";

export const postcards: Grammar = {
  name: "postcards",
  version: "postcards-1",
  maxPanel: 4,
  scoresSteps: false,
  split: postcardsSplit,
  words: [...judgmentWords, ".", "yes", "no", ...scoreWords, ...criteria],
  prompt: (input) => [{ role: "user", content: userTurn(input) }],
  parse: parsePostcards,
  metaConversation(input): ChatMessage[] {
    return [
      { role: "user", content: userTurn(input) },
      { role: "assistant", content: input.judgmentText },
    ];
  },
  // Five criteria over n responses are 18 + 6n words and the end token; a little room is left.
  maxTokens: (n) => 24 + 6 * n,
};

function parsePostcards(text: string, n: number): ParsedJudgment | ParseFailure {
  const words = text.split(/\s+/).filter((word) => word !== "");
  const critiqueAt = words.indexOf("critique");
  const scoresAt = words.indexOf("scores", critiqueAt + 1);
  const part = (from: number, to: number): string => words.slice(from, to < 0 ? words.length : to).join(" ");
  const parts = {
    principles: words[0] === "principles" ? part(1, critiqueAt) : "",
    critique: critiqueAt < 0 ? "" : part(critiqueAt + 1, scoresAt),
  };
  const failure = (kind: ParseFailureKind, message: string): ParseFailure =>
    parseFailure(kind, message, parts);
  let at = 0;
  /** The failure at the current word when something else was due: the end of the text counts as truncated. */
  const unexpected = (kind: ParseFailureKind, due: string): ParseFailure => {
    const word = words[at];
    if (word === undefined) return failure("truncated", `the text ends where ${due} is due`);
    return failure(kind, `${quoted(word)} where ${due} is due (word ${at + 1})`);
  };

  if (words.length === 0) return failure("empty", "the judgment is empty");
  if (words[at] !== "principles") return unexpected("bad_principles", "`principles`");
  at++;
  const named: string[] = [];
  while (criteria.has(words[at] ?? "")) {
    const criterion = words[at] as string;
    if (named.includes(criterion)) return failure("bad_principles", `criterion ${criterion} comes twice`);
    named.push(criterion);
    at++;
    const weight = wholeNumber(words[at]);
    if (weight === null || weight < 1 || weight > 10) {
      return unexpected("bad_principles", `a weight of 1 to 10 for ${criterion}`);
    }
    at++;
  }
  if (named.length === 0) return unexpected("bad_principles", "a criterion");
  if (words[at] !== "critique") return unexpected("bad_principles", "a criterion or `critique`");
  at++;
  for (const criterion of named) {
    if (words[at] !== criterion) return unexpected("bad_critique", `criterion ${criterion}`);
    at++;
    for (let response = 1; response <= n; response++, at++) {
      if (words[at] !== "yes" && words[at] !== "no") {
        return unexpected("bad_critique", `a verdict on response ${response} for ${criterion}`);
      }
    }
  }
  if (words[at] === "yes" || words[at] === "no") return failure("bad_critique", `more than ${n} verdicts`);
  if (words[at] !== "scores") return unexpected("missing_scores", "`scores`");
  at++;
  const scores: number[] = [];
  for (; at < words.length && scores.length < n; at++) {
    const score = wholeNumber(words[at]);
    if (score === null) return unexpected("not_integer", `the score of response ${scores.length + 1}`);
    if (score < 1 || score > 10) {
      return failure("out_of_range", `score ${quoted(words[at] as string)} is not within 1 to 10`);
    }
    scores.push(score);
  }
  if (scores.length < n) return failure("wrong_count", `${scores.length} scores for ${n} responses`);
  if (at < words.length) {
    return wholeNumber(words[at]) === null
      ? failure("trailing_text", `${quoted(words[at] as string)} after the last score`)
      : failure("wrong_count", `more than ${n} scores for ${n} responses`);
  }
  return { ok: true, scores, ...parts };
}
