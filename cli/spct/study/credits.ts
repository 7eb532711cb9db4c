/**
 * How right each held-out item was judged, under each condition: what all figures of the study are made from. Pure.
 *
 * An item's credit is the mean over all draws of that many votes from those recorded, ties shared (see draws.ts and
 * credit.ts of lib/evaluation): what `covote eval` computes from the same votes.
 */
import { CovoteError } from "../../../lib/core/errors.js";
import { type AskedItem, parseAskedItem, supports } from "../../../lib/evaluation/asked-votes.js";
import type { Condition } from "../../../lib/evaluation/conditions.js";
import { creditOf } from "../../../lib/evaluation/credit.js";
import { drawOrder, drawOutcomes } from "../../../lib/evaluation/draws.js";
import { sumTokens } from "../../../lib/evaluation/token-use.js";
import { parseRecordedItem } from "../../../lib/tally/recorded-votes.js";

/** One judge's recorded votes on the held-out items. */
export interface JudgeVotes {
  items: readonly VotedItem[];
  seed: number;
}

interface VotedItem {
  asked: AskedItem;
  responses: number;
  best: number;
  order: ReturnType<typeof drawOrder>;
}

/** The text of a votes file; `seed` is that of the evaluation. */
export function readVotes(text: string, seed: number): JudgeVotes {
  const lines = text.split("\n").filter((line) => line !== "");
  const items = lines.map((line): VotedItem => {
    const { best, responses } = parseRecordedItem(line);
    const asked = parseAskedItem(line);
    if (best === null) throw new CovoteError("internal", `${asked.item}: a held-out item without a label`);
    return { asked, responses, best, order: drawOrder(asked, seed) };
  });
  return { items: items.toSorted((a, b) => (a.asked.item < b.asked.item ? -1 : 1)), seed };
}

/** Names of the items, and of the subset that each belongs to, in the order of credits. */
export function itemsOf({ items }: JudgeVotes): { name: string; subset: string }[] {
  return items.map(({ asked, responses }) => ({ name: asked.item, subset: subsetOf(responses) }));
}

/** Tokens that a vote generated, on average, the drawing of principles included; null where nobody counted. */
export function tokensOf({ items }: JudgeVotes): number | null {
  const use = sumTokens(items.map(({ asked }) => asked.tokens));
  return use === null || use.votes === 0 ? null : use.completion / use.votes;
}

export function subsetOf(responses: number): string {
  return responses === 2 ? "pairs" : `lists of ${responses}`;
}

/** 0..1 per item; null when the votes say nothing about the condition. */
export function creditsOf({ items }: JudgeVotes, condition: Condition): Float64Array | null {
  if (!items.every(({ asked }) => supports(asked, condition))) return null;
  return Float64Array.from(items, ({ asked, responses, best, order }) => {
    const outcomes = drawOutcomes(asked, order, responses, condition);
    const target = { t: "pick" as const, right: [best] };
    return outcomes.reduce((sum, outcome) => sum + creditOf(outcome, target).shared, 0) / outcomes.length;
  });
}

/** Item by item; null where one of them is. */
export function meanCredits(all: readonly (Float64Array | null)[]): Float64Array | null {
  const known = all.filter((credits) => credits !== null);
  const [first] = known;
  if (first === undefined || known.length < all.length) return null;
  return first.map((_, item) => known.reduce((sum, credits) => sum + (credits[item] ?? 0), 0) / known.length);
}

export function minus(of: Float64Array | null, against: Float64Array | null): Float64Array | null {
  return of === null || against === null ? null : of.map((credit, item) => credit - (against[item] ?? 0));
}
