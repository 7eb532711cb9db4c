/**
 * What was asked, item by item, as a line of recorded votes (lib/tally/recorded-votes.ts): `covote tally` replays the
 * file as it is, and an interrupted evaluation goes on from it.
 *
 * - Beside the fields of recorded votes a line has `asked` (a digest of the item and of how it was asked), `judge`
 *   and `meta_rm` (versions), `greedy` (one layer of votes at temperature 0), `refused` (why it cannot be judged at all)
 *   and `deterministic` (any number of votes would be the one that is there).
 * - A vote has `layer`: votes of one layer judge every response once. With one panel, each vote is a layer.
 * - `principles` are kept where the benchmark says who wrote the responses: the weakness report reads them.
 */
import { createHash } from "node:crypto";
import { invalid } from "../core/errors.js";
import { parseRecordedItem } from "../tally/recorded-votes.js";
import type { CountedVote } from "../tally/tally.js";
import type { Condition } from "./conditions.js";
import type { EvaluationItem } from "./items.js";
import { type TokenUse, tokenUseOf } from "./token-use.js";

export interface AskedVote extends CountedVote {
  layer: string;
  principles: string;
}

export interface AskedItem {
  item: string;
  /** Of the item and of how it was asked. */
  asked: string;
  judge: string;
  /** Empty when no meta RM scored the votes. */
  metaRm: string;
  votes: AskedVote[];
  /** The votes at temperature 0 that judge every response once; none when none were asked for. */
  greedy: CountedVote[];
  /** Why no vote on it is possible: too long for the judge, for example. */
  refused: string | null;
  /** True when no dice decide: its one vote stands for any number of them, and for the one at temperature 0. */
  deterministic?: boolean;
  /** Of `votes`; left out where it is not known. */
  tokens?: TokenUse;
}

export interface AskOptions {
  votes: number;
  temperature: number;
  seed: number;
  panelLimit: number | null;
  greedy: boolean;
  meta: boolean;
  /** Sets of principles drawn apart per query; left out or 0: votes write their own. */
  split?: number;
}

/** `TEXTS-HOW`: what was judged, and how it was asked. */
export function askedDigest(item: EvaluationItem, options: AskOptions): string {
  const { votes, temperature, seed, greedy, meta } = options;
  const panelLimit = item.panelLimit ?? options.panelLimit;
  const texts = digest([item.query, item.responses]);
  const how: unknown[] = [votes, temperature, seed, panelLimit, greedy, meta];
  if (options.split) how.push({ split: options.split });
  // A way of asking: with and without it, judges of the same responses can be compared.
  if (item.reference !== null) how.push({ reference: item.reference });
  return `${texts}-${digest(how)}`;
}

/** Whether both were about the same texts, however they were asked. */
export function sameTexts(asked: string, other: string): boolean {
  return asked.split("-", 1)[0] === other.split("-", 1)[0];
}

function digest(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 16);
}

/** Whether the votes can say anything about the condition. */
export function supports(asked: AskedItem, { k, metaKeep, greedy }: Condition): boolean {
  if (asked.refused !== null) return true;
  if (asked.deterministic === true) return metaKeep === null;
  if (greedy) return asked.greedy.length > 0;
  // Of votes that all failed a meta RM has nothing to rate.
  const isRateable = asked.votes.some(({ scores }) => scores !== null);
  if (metaKeep !== null && asked.metaRm === "" && isRateable) return false;
  return new Set(asked.votes.map(({ layer }) => layer)).size >= k;
}

/** One line, without its end. */
export function renderAskedItem(asked: AskedItem, item: EvaluationItem): string {
  const { target, responses } = item;
  const best =
    target.t === "pick" && target.right.length === 1 && responses.length > 1 ? target.right[0] : null;
  const votes = asked.votes.map(({ scores, order, meta, layer, principles }) => ({
    scores,
    order,
    ...(meta === undefined || meta === null ? {} : { meta }),
    layer,
    ...(principles === "" ? {} : { principles }),
  }));
  return JSON.stringify({
    item: asked.item,
    best,
    // Recorded votes are never an empty list: an item that cannot be judged has one failed vote.
    votes: votes.length > 0 ? votes : [{ scores: null }],
    greedy: asked.greedy.map(({ scores, order }) => ({ scores, order })),
    asked: asked.asked,
    judge: asked.judge,
    meta_rm: asked.metaRm,
    ...(asked.refused === null ? {} : { refused: asked.refused }),
    ...(asked.deterministic === true ? { deterministic: true } : {}),
    ...(asked.tokens === undefined ? {} : { tokens: asked.tokens }),
  });
}

/** Throws `invalid_argument` that names the field. */
export function parseAskedItem(line: string): AskedItem {
  const recorded = parseRecordedItem(line);
  const value = JSON.parse(line) as Record<string, unknown>;
  const { asked, judge, meta_rm, refused, greedy } = value;
  if (typeof asked !== "string")
    throw invalid("asked", "is missing: these votes were not recorded by covote eval");
  const extras = value.votes as { layer?: unknown; principles?: unknown }[];
  const isRefused = typeof refused === "string";
  const tokens = tokenUseOf(value.tokens);
  return {
    item: recorded.item,
    asked,
    judge: typeof judge === "string" ? judge : "",
    metaRm: typeof meta_rm === "string" ? meta_rm : "",
    votes: isRefused
      ? []
      : recorded.votes.map((vote, place) => {
          const { layer, principles } = extras[place] ?? {};
          return {
            ...vote,
            layer: typeof layer === "string" ? layer : vote.id,
            principles: typeof principles === "string" ? principles : "",
          };
        }),
    greedy: greedyOf(greedy),
    refused: isRefused ? refused : null,
    ...(value.deterministic === true ? { deterministic: true } : {}),
    ...(tokens === undefined ? {} : { tokens }),
  };
}

function greedyOf(value: unknown): CountedVote[] {
  if (value === undefined || value === null || (Array.isArray(value) && value.length === 0)) return [];
  return parseRecordedItem(JSON.stringify({ item: "greedy", votes: value })).votes;
}
