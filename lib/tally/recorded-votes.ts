/**
 * Recorded votes: one line of JSON per item, as `covote tally` reads it.
 *
 *     {"item": "x", "best": 0, "votes": [{"judge": "a", "scores": [3, 7], "order": [1, 0], "meta": 0.4}]}
 *
 * - `scores[i]` belongs to response `order[i]`; without `order`, to response i. A null in place of a score is a
 *   failed score, null in place of the list a failed vote. Scores are any finite numbers.
 * - `best`, `judge`, `order` and `meta` may be absent or null. Other fields are left alone: files of votes
 *   often carry more.
 */
import { invalid } from "../core/errors.js";
import type { CountedVote } from "./tally.js";

export interface RecordedItem {
  item: string;
  /** Index of the response that is known to be best; null when the item has no label. */
  best: number | null;
  /** Responses: one more than the highest index that any vote or the label speaks of. */
  responses: number;
  /** In the order of the line; their ids are their places in it. */
  votes: CountedVote[];
}

/** A response index above this is taken for a mistake. */
const mostResponses = 10_000;

/** Reads one line; throws `invalid_argument` naming the field, `votes[3].scores[1]`. */
export function parseRecordedItem(line: string): RecordedItem {
  const value = parseJson(line);
  if (!isRecord(value)) throw invalid("line", `must be a JSON object, got ${describe(value)}`);
  const { item, best, votes } = value;
  if (typeof item !== "string" || item === "") throw invalid("item", `must be a text, got ${describe(item)}`);
  if (!Array.isArray(votes)) throw invalid("votes", `must be a list, got ${describe(votes)}`);
  if (votes.length === 0) throw invalid("votes", "is empty; a failed vote is recorded with scores: null");
  const label = best === undefined || best === null ? null : index("best", best);
  const parsed = votes.map((vote: unknown, place) => parseVote(vote, `votes[${place}]`, place));
  const indices = parsed.flatMap((vote) => vote.order);
  const responses = indices.reduce((most, each) => Math.max(most, each + 1), 0);
  if (label !== null && responses > 0 && label >= responses) {
    throw invalid(
      "best",
      `is ${label}, but the votes speak of ${responses} responses (0 to ${responses - 1})`,
    );
  }
  for (const [place, vote] of parsed.entries()) {
    if (vote.implied && vote.scores !== null && vote.order.length !== responses) {
      const problem = `${vote.order.length} scores for ${responses} responses; say which ones with order`;
      throw invalid(`votes[${place}].scores`, problem);
    }
  }
  return {
    item,
    best: label,
    responses: Math.max(responses, label === null ? 0 : label + 1),
    votes: parsed.map(({ id, order, scores, meta }) => ({ id, order, scores, meta })),
  };
}

interface ParsedVote {
  id: string;
  order: number[];
  /** True when the line gave no order. */
  implied: boolean;
  scores: (number | null)[] | null;
  meta: number | null;
}

function parseVote(value: unknown, field: string, place: number): ParsedVote {
  if (!isRecord(value)) throw invalid(field, `must be an object, got ${describe(value)}`);
  const { judge, scores, order, meta } = value;
  if (judge !== undefined && judge !== null && typeof judge !== "string") {
    throw invalid(`${field}.judge`, `must be a text, got ${describe(judge)}`);
  }
  if (meta !== undefined && meta !== null) finite(`${field}.meta`, meta);
  if (scores === undefined) throw invalid(`${field}.scores`, "is missing; a failed vote has scores: null");
  const list = scores === null ? null : parseScores(scores, `${field}.scores`);
  const given = order === undefined || order === null ? null : parseOrder(order, `${field}.order`);
  if (given !== null && list !== null && given.length !== list.length) {
    throw invalid(`${field}.order`, `has ${given.length} entries for ${list.length} scores`);
  }
  return {
    // Padded, so that ids sort as the votes stand in the line.
    id: String(place).padStart(9, "0"),
    order: given ?? (list ?? []).map((_, response) => response),
    implied: given === null,
    scores: list,
    meta: (meta as number | null | undefined) ?? null,
  };
}

function parseScores(value: unknown, field: string): (number | null)[] {
  if (!Array.isArray(value)) throw invalid(field, `must be a list or null, got ${describe(value)}`);
  if (value.length === 0) throw invalid(field, "is empty; a failed vote has scores: null");
  if (value.length > mostResponses)
    throw invalid(field, `at most ${mostResponses} scores, got ${value.length}`);
  return value.map((score: unknown, place) => (score === null ? null : finite(`${field}[${place}]`, score)));
}

function parseOrder(value: unknown, field: string): number[] {
  if (!Array.isArray(value))
    throw invalid(field, `must be a list of response indices, got ${describe(value)}`);
  const order = value.map((entry: unknown, place) => index(`${field}[${place}]`, entry));
  const twice = order.find((entry, place) => order.indexOf(entry) !== place);
  if (twice !== undefined) throw invalid(field, `names response ${twice} twice`);
  return order;
}

function index(field: string, value: unknown): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value >= mostResponses) {
    throw invalid(field, `must be the index of a response (0 or more), got ${describe(value)}`);
  }
  return value;
}

function finite(field: string, value: unknown): number {
  if (typeof value !== "number" || !Number.isFinite(value)) {
    throw invalid(field, `must be a finite number or null, got ${describe(value)}`);
  }
  return value;
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message.replace(/\s+/g, " ").slice(0, 120) : String(cause);
    throw invalid("line", `is not JSON: ${problem}`);
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  // JSON knows no infinity, but reads 1e999 as one.
  const text = typeof value === "number" ? String(value) : JSON.stringify(value);
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
