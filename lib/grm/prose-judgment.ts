/** Reads a judgment in prose: labelled parts, the last of which holds the scores in a box. */
import { readBoxedScores, type ScoreRange } from "./boxed-scores.js";
import { type ParsedJudgment, type ParseFailure, parseFailure } from "./judgment.js";
import { withoutReasoning } from "./reasoning.js";
import { splitSections } from "./sections.js";

/** Never throws; linear in the text. */
export function parseProseJudgment(
  text: string,
  n: number,
  range: ScoreRange,
): ParsedJudgment | ParseFailure {
  const answer = withoutReasoning(text);
  if (answer === null) return parseFailure("truncated", "the text ends before the reasoning is over");
  const boxed = readBoxedScores(answer, n, range);
  const parts = splitSections(answer, boxed.at);
  return boxed.ok
    ? { ok: true, scores: boxed.scores, ...parts }
    : parseFailure(boxed.kind, boxed.message, parts);
}
