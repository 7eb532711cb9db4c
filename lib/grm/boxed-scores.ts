/**
 * Scores in a box: reads `\boxed{8, 7}` from the output of a DeepSeek-GRM-like model.
 *
 * - The LAST box counts: judgments repeat the template, or box marks per criterion, before the scores.
 * - It must hold exactly n whole numbers within the range, separated by commas. Markdown and LaTeX around
 *   them is dressing; anything else in their place is a failure.
 * - One pass backwards to find the box and one forwards to close it: linear in the text.
 */
import type { ParseFailureKind } from "./judgment.js";
import { quoted } from "./judgment.js";

export interface ScoreRange {
  lowest: number;
  highest: number;
}

export type BoxedScores =
  | { ok: true; scores: number[]; at: number }
  | { ok: false; kind: ParseFailureKind; message: string; at: number };

/** `at`: where the last box begins, or the length of the text when there is none. */
export function readBoxedScores(text: string, n: number, range: ScoreRange): BoxedScores {
  const box = lastBox(text);
  const at = box?.at ?? text.length;
  const failure = (kind: ParseFailureKind, message: string): BoxedScores => ({
    ok: false,
    kind,
    message,
    at,
  });
  if (text.trim() === "") return failure("empty", "the judgment is empty");
  if (box === null) return failure("missing_scores", "no \\boxed{…} with scores");
  if (box.content === null) return failure("truncated", "the text ends inside \\boxed{");
  const entries = box.content.replace(dressing, " ").split(/[,，]/);
  if (entries.length === 1 && entries[0]?.trim() === "")
    return failure("missing_scores", "\\boxed{} is empty");
  const scores: number[] = [];
  for (const entry of entries) {
    const written = entry.trim();
    if (!/^[+-]?\d{1,15}$/.test(written)) {
      return failure("not_integer", `${quoted(written)} in the box is not a whole number`);
    }
    scores.push(Number(written));
  }
  if (scores.length !== n) {
    return failure(
      "wrong_count",
      `${scores.length} scores in the box for ${n} response${n === 1 ? "" : "s"}`,
    );
  }
  const outside = scores.find((score) => score < range.lowest || score > range.highest);
  if (outside !== undefined) {
    return failure("out_of_range", `score ${outside} is not within ${range.lowest} to ${range.highest}`);
  }
  return { ok: true, scores, at };
}

/** Replaced by a space, so that it can never join two digits into another number. */
const dressing =
  /\\(?:text|textbf|textit|mathbf|mathrm|mathit|boldsymbol|bm|quad|qquad|left|right)(?![a-z])|\\[,;:!\s]|\\?[{}[\]()]|[*$`~"']/g;

/** The last `\boxed{` and what it holds; null content when it is never closed. */
function lastBox(text: string): { at: number; content: string | null } | null {
  for (let found = text.lastIndexOf("oxed"); found >= 0; found = before(text, found)) {
    const at = boxStart(text, found);
    const open = openingBrace(text, found + 4);
    if (at === null || open === null) continue;
    return { at, content: balanced(text, open + 1) };
  }
  return null;
}

function before(text: string, index: number): number {
  return index === 0 ? -1 : text.lastIndexOf("oxed", index - 1);
}

/** Where `\boxed` starts, given where "oxed" does. A JSON reader may have turned `\b` into a backspace. */
function boxStart(text: string, oxed: number): number | null {
  if (text[oxed - 1] === "\b") return oxed - 1;
  return text[oxed - 1] === "b" && text[oxed - 2] === "\\" ? oxed - 2 : null;
}

/** The brace after `\boxed`, across blanks and LaTeX escapes. */
function openingBrace(text: string, from: number): number | null {
  let at = from;
  while (at < text.length && /[\s\\]/.test(text[at] as string)) at++;
  return text[at] === "{" ? at : null;
}

/** What lies between a brace already opened and the one that closes it. */
function balanced(text: string, from: number): string | null {
  let depth = 1;
  for (let at = from; at < text.length; at++) {
    if (text[at] === "{") depth++;
    else if (text[at] === "}" && --depth === 0) return text.slice(from, at).replace(/\\$/, "");
  }
  return null;
}
