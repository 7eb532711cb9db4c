/**
 * Replay: what k recorded votes would have given, item by item, through the same tally that live votes go
 * through.
 *
 * - An item's k votes are drawn without replacement, by the seed and the item's name alone: neither other
 *   items nor their order matter, and the draw for k votes is the beginning of the draw for k + 1.
 * - Failed votes stand among the votes that are drawn from, as they do in life; drawn, they count for nothing.
 * - An item with fewer than k votes uses all that it has, and is counted as short.
 */
import { createRandom, seedFrom } from "../core/random.js";
import type { RecordedItem } from "./recorded-votes.js";
import { tally } from "./tally.js";

export interface ReplayOptions {
  /** Votes drawn per item, at least 1. */
  k: number;
  /** Votes kept by meta score, 1..k; null is plain voting. */
  metaKeep: number | null;
  /** 32-bit unsigned. */
  seed: number;
}

export interface ReplayedItem {
  item: string;
  best: number | null;
  /** Mean score of the kept votes per response; null where no drawn vote scored it. */
  rewards: (number | null)[];
  /** Sum of the same scores. */
  sums: (number | null)[];
  /** The response with the highest reward, a tie decided by the seed; null when none has a reward. */
  pick: number | null;
  /** No single response has the highest reward: the top is shared, or nothing could be judged at all. */
  tied: boolean;
  /** All responses with the highest reward. */
  top: number[];
  votesDrawn: number;
  /** Drawn votes that scored at least one response. */
  votesUsable: number;
  /** Votes that count for at least one reward: usable ones that the meta filter kept. */
  votesUsed: number;
}

export function replayItem(recorded: RecordedItem, options: ReplayOptions): ReplayedItem {
  const random = createRandom(seedFrom("tally", options.seed, recorded.item));
  const drawn = random.shuffle(recorded.votes).slice(0, options.k);
  const counted = { votesDrawn: drawn.length, votesUsable: drawn.filter(isUsable).length };
  const { item, best, responses } = recorded;
  if (responses === 0) {
    return { item, best, rewards: [], sums: [], pick: null, tied: true, top: [], ...counted, votesUsed: 0 };
  }
  const result = tally(drawn, { responses, metaKeep: options.metaKeep });
  const [first, ...others] = result.best;
  return {
    item,
    best,
    rewards: result.rewards.map((reward) => reward.value),
    sums: result.rewards.map((reward) => reward.sum),
    pick: first === undefined ? null : random.pick(result.best),
    tied: first === undefined || others.length > 0,
    top: result.best,
    ...counted,
    votesUsed: result.keptVoteIds.length,
  };
}

export interface ReplaySummary {
  items: number;
  /** Items whose best response is known: accuracies are over these. */
  labelled: number;
  /** Share of labelled items whose best response is picked; a tie that it shares counts as one half. */
  accuracy: number | null;
  /** The same with every tie wrong (arXiv 2504.02495, Eq. 10). */
  strictAccuracy: number | null;
  /** Share of all items that are tied. */
  tieRate: number | null;
  /** Items with fewer than k votes. */
  shortItems: number;
  /** Items of which no response could be judged; they count as tied. */
  unjudgedItems: number;
}

export interface ReplayTotals {
  add(replayed: ReplayedItem): void;
  summary(): ReplaySummary;
}

/** Totals over a replay with `k` votes per item. */
export function createReplayTotals(k: number): ReplayTotals {
  const counts = { items: 0, labelled: 0, halves: 0, strict: 0, ties: 0, shortItems: 0, unjudgedItems: 0 };
  return {
    add({ best, tied, top, votesDrawn }) {
      counts.items++;
      if (tied) counts.ties++;
      if (votesDrawn < k) counts.shortItems++;
      if (top.length === 0) counts.unjudgedItems++;
      if (best === null) return;
      counts.labelled++;
      const right = top.includes(best);
      if (right && !tied) counts.strict++;
      // Half points, so that the sum stays whole. With nothing judged, a coin has to decide.
      if (tied && (right || top.length === 0)) counts.halves++;
    },
    summary() {
      const { items, labelled, halves, strict, ties, shortItems, unjudgedItems } = counts;
      const share = (part: number, whole: number): number | null => (whole === 0 ? null : part / whole);
      return {
        items,
        labelled,
        accuracy: share(strict + halves / 2, labelled),
        strictAccuracy: share(strict, labelled),
        tieRate: share(ties, items),
        shortItems,
        unjudgedItems,
      };
    },
  };
}

function isUsable(vote: RecordedItem["votes"][number]): boolean {
  return vote.scores?.some((score) => score !== null) ?? false;
}
