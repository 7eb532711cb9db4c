/**
 * The postcards grammar without principles: critique and scores alone, for the comparison with and without them
 * (arXiv 2504.02495, table 4).
 *
 *     critique question yes no thanks yes no scores 9 2
 *
 * The prompt is that of `postcards`; which of the two forms a model answers in is a matter of its training. Criteria
 * come from the same closed list, none twice, each with one verdict per response.
 */
import type { Grammar, ParsedJudgment, ParseFailure, ParseFailureKind } from "./judgment.js";
import { parseFailure, quoted } from "./judgment.js";
import { postcards } from "./postcards.js";

const others = new Set(["principles", "critique", "scores", "response", ".", "yes", "no"]);
const criteria = new Set(postcards.words.filter((word) => !others.has(word) && !/^\d+$/.test(word)));

export const postcardsCritique: Grammar = {
  ...postcards,
  name: "postcards-critique",
  version: "postcards-critique-1",
  // There are no principles to draw apart.
  split: null,
  parse: parseCritique,
  // Five criteria over n responses are 7 + 6n words and the end token; a little room is left.
  maxTokens: (n) => 13 + 6 * n,
};

/** A judgment of `postcards` as one of this grammar: without what stands before its critique. */
export function withoutPrinciples<T>(judgment: readonly T[], critique: T): readonly T[] {
  return judgment.slice(Math.max(0, judgment.indexOf(critique)));
}

function parseCritique(text: string, n: number): ParsedJudgment | ParseFailure {
  const words = text.split(/\s+/).filter((word) => word !== "");
  const scoresAt = words.indexOf("scores");
  const critique =
    words[0] === "critique" ? words.slice(1, scoresAt < 0 ? words.length : scoresAt).join(" ") : "";
  const failure = (kind: ParseFailureKind, message: string): ParseFailure =>
    parseFailure(kind, message, { critique });
  let at = 0;
  const unexpected = (kind: ParseFailureKind, due: string): ParseFailure => {
    const word = words[at];
    if (word === undefined) return failure("truncated", `the text ends where ${due} is due`);
    return failure(kind, `${quoted(word)} where ${due} is due (word ${at + 1})`);
  };

  if (words.length === 0) return failure("empty", "the judgment is empty");
  if (words[at] !== "critique") return unexpected("bad_critique", "`critique`");
  at++;
  const named = new Set<string>();
  for (let criterion = words[at]; criterion !== undefined && criteria.has(criterion); criterion = words[at]) {
    if (named.has(criterion)) return failure("bad_critique", `criterion ${criterion} comes twice`);
    named.add(criterion);
    at++;
    for (let response = 1; response <= n; response++, at++) {
      if (words[at] === "yes" || words[at] === "no") continue;
      return unexpected("bad_critique", `a verdict on response ${response} for ${criterion}`);
    }
  }
  if (named.size === 0) return unexpected("bad_critique", "a criterion");
  if (words[at] !== "scores") return unexpected("missing_scores", "a criterion or `scores`");
  at++;
  const scores: number[] = [];
  for (; at < words.length && scores.length < n; at++) {
    const word = words[at] as string;
    if (!/^(?:0|[1-9]\d*)$/.test(word))
      return unexpected("not_integer", `the score of response ${scores.length + 1}`);
    const score = Number(word);
    if (score < 1 || score > 10)
      return failure("out_of_range", `score ${quoted(word)} is not within 1 to 10`);
    scores.push(score);
  }
  if (scores.length < n) return failure("wrong_count", `${scores.length} scores for ${n} responses`);
  if (at < words.length)
    return failure("trailing_text", `${quoted(words[at] as string)} after the last score`);
  return { ok: true, scores, principles: "", critique };
}
