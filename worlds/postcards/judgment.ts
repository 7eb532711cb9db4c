/**
 * Judgments of the postcards world as text, in the three parts of a generative reward model's output:
 * principles with weights, a critique, scores.
 *
 *   principles question 3 thanks 2 topic 2 greeting 1
 *   critique question yes no thanks yes no topic yes no greeting yes no
 *   scores 10 1
 *
 *   judgment  = "principles" { criterion weight } "critique" { criterion verdict^n } "scores" number^n
 *   weight    = "1" | "2" | "3"
 *   verdict   = "yes" | "no"             the j-th after a criterion is about response j of the panel
 *   number    = "1" | "2" | … | "10"     one per response, in the order of the panel
 *
 * (one line in truth, single spaces; n is the size of the panel, 1 to 4.) The critique names the principles'
 * criteria in their order. Score = 1 + 9 · weighted share of the criteria met, rounded.
 *
 * `annotate` writes what an annotator would who knows the rules but slips now and then. The slips are what
 * makes a model trained on such judgments worth sampling more than once: a slip is seldom made twice.
 */
import type { Random } from "../../lib/core/random.js";
import { type Principle, principlesOf, verdicts, weightedShare } from "./oracle.js";
import { type Query, renderQuery } from "./query.js";

export interface Judgment {
  principles: readonly Principle[];
  /** `met[c][r]`: does response r meet the c-th principle? */
  met: readonly (readonly boolean[])[];
  /** Integers 1 to 10, one per response. */
  scores: readonly number[];
}

export interface Slips {
  /** Chance that one verdict is turned round. */
  verdict: number;
  /** Chance that one principle's weight is off by one (within 1 to 3). */
  weight: number;
}

export const noSlips: Slips = { verdict: 0, weight: 0 };

/** The user message for a panel: the query and the numbered responses. */
export function renderPanel(query: Query, responses: readonly string[]): string {
  return [
    renderQuery(query),
    ...responses.flatMap((text, i) => [`response ${i + 1}`, ...(text === "" ? [] : [text]), "."]),
  ].join(" ");
}

export function annotate(
  query: Query,
  responses: readonly string[],
  slips: Slips = noSlips,
  random?: Random,
): Judgment {
  const slip = (chance: number): boolean => chance > 0 && random !== undefined && random.next() < chance;
  const principles = principlesOf(query).map(({ criterion, weight }) => ({
    criterion,
    weight: slip(slips.weight) ? misweigh(weight, random?.next() ?? 0) : weight,
  }));
  const truth = responses.map((text) => verdicts(query, text));
  const met = principles.map((_, c) => truth.map((v) => v[c]?.met !== slip(slips.verdict)));
  const scores = responses.map((_, r) => {
    const share = weightedShare(
      principles,
      met.map((row) => row[r] ?? false),
    );
    return 1 + Math.round(9 * share);
  });
  return { principles, met, scores };
}

export function renderJudgment(judgment: Judgment): string {
  const { principles, met, scores } = judgment;
  return [
    "principles",
    ...principles.flatMap(({ criterion, weight }) => [criterion, `${weight}`]),
    "critique",
    ...principles.flatMap(({ criterion }, c) => [
      criterion,
      ...(met[c] ?? []).map((yes) => (yes ? "yes" : "no")),
    ]),
    "scores",
    ...scores.map(String),
  ].join(" ");
}

function misweigh(weight: number, draw: number): number {
  if (weight === 1 || weight === 3) return 2;
  return draw < 0.5 ? 1 : 3;
}
