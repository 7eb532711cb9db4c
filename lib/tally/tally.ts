/**
 * Tally: votes in, rewards out.
 *
 * - S*_i = Σ over the kept votes of S_{v,i} (arXiv 2504.02495, Eq. 14). The reward is the mean over the same
 *   votes, because responses need not have equally many: panels, failures and deadlines see to that.
 * - With a meta RM, each response keeps the `metaKeep` votes with the highest meta score among those that
 *   scored it. Equal meta scores are decided by vote id. A vote without a meta score ranks behind every vote
 *   that has one, since the filter vouches only for what it has seen; where no vote of a response has one,
 *   nothing can be filtered and plain voting applies.
 * - The result depends on the set of votes only: not on their order, and not on how often one came.
 * - A response that no vote scored has no reward: null, never a number. Ties stay ties.
 */
import { invalid } from "../core/errors.js";
import { exactSum, mean, standardDeviation } from "./sums.js";

export interface CountedVote {
  /** Survives retries: votes of the same id count once. */
  id: string;
  /** Indices of the judged responses, in the order in which they were shown. */
  order: readonly number[];
  /** Aligned with `order`; a null entry is a response that the vote failed to score. Null: an unusable vote. */
  scores: readonly (number | null)[] | null;
  /** The meta RM's logit that the vote is right; absent or null when it did not rate the vote. */
  meta?: number | null;
}

export interface TallyOptions {
  /** Responses in the group. */
  responses: number;
  /** Votes kept per response, the best by meta score; null is plain voting. */
  metaKeep: number | null;
  /**
   * Where not every two responses can be compared (steps with wholes, for one): a kind for each, and only those of one
   * kind count in `agreement`. Left out: all are of one kind.
   */
  kinds?: readonly number[];
}

export interface CountedReward {
  /** Mean score of the kept votes. */
  value: number;
  /** Sum of their scores. */
  sum: number;
  /** Votes behind the value. */
  kept: number;
  /** Votes that scored the response. */
  usable: number;
  /** Votes that showed the response and gave it no score. */
  failed: number;
  /** Standard deviation of the kept scores (of the population: one vote has 0). */
  spread: number;
  /**
   * How far the kept votes agree, 0..1: of all their comparisons of this response with another one (better,
   * worse, equal), the share that goes with the most frequent verdict on that pair. 1 when there is nothing
   * to compare with.
   */
  agreement: number;
}

export interface MissingReward {
  value: null;
  sum: null;
  kept: 0;
  usable: 0;
  failed: number;
  spread: null;
  agreement: null;
}

export interface Tally {
  /** One per response. */
  rewards: (CountedReward | MissingReward)[];
  /** Votes that count for at least one response, sorted. */
  keptVoteIds: string[];
  /** Responses with the highest reward: more than one is a tie, none means that nothing was judged. */
  best: number[];
}

/** Throws `invalid_argument` for votes that no group of `responses` can have: a caller's error, not a judge's. */
export function tally(votes: readonly CountedVote[], options: TallyOptions): Tally {
  checkOptions(options);
  const distinct = distinctVotes(votes, options.responses);
  const kept = new Set<string>();
  let whole = true;
  const rewards = Array.from({ length: options.responses }, (_, response) => {
    const usable = distinct.filter((vote) => typeof vote.scoreOf[response] === "number");
    const failed = distinct.reduce((sum, vote) => sum + (vote.scoreOf[response] === null ? 1 : 0), 0);
    if (usable.length === 0) return missing(failed);
    const counted = keepBest(usable, options.metaKeep);
    for (const vote of counted) kept.add(vote.id);
    const scores = counted.map((vote) => vote.scoreOf[response] as number);
    whole &&= scores.every(Number.isSafeInteger);
    return {
      value: mean(scores),
      sum: exactSum(scores),
      kept: counted.length,
      usable: usable.length,
      failed,
      spread: standardDeviation(scores),
      agreement: agreement(counted, response, options),
    };
  });
  const values = rewards.map((reward) => reward.value);
  return { rewards, keptVoteIds: [...kept].sort(), best: highest(values, whole ? 0 : rounding) };
}

/** How far apart, as a share of their size, two means of decimal fractions may lie that are meant to be equal. */
const rounding = 1e-12;

/**
 * Indices of the highest values; nulls are left out. Values that differ by at most `slack`, as a share of their
 * size, are equal: 0.1 + 0.2 ties with 0.3. Means of whole numbers need none: what is equal is equal to the bit.
 */
export function highest(values: readonly (number | null)[], slack: number = rounding): number[] {
  const top = values.reduce<number>(
    (best, value) => (value !== null && value > best ? value : best),
    -Infinity,
  );
  return values.flatMap((value, index) => {
    if (value === null) return [];
    const same = value === top || top - value <= slack * Math.max(Math.abs(top), Math.abs(value));
    return same ? [index] : [];
  });
}

interface DistinctVote {
  id: string;
  meta: number | null;
  /** By response; null where the vote showed the response and failed to score it, undefined where it did not show it. */
  scoreOf: readonly (number | null | undefined)[];
}

/** One vote per id, sorted by id, permutations undone. */
function distinctVotes(votes: readonly CountedVote[], responses: number): DistinctVote[] {
  const byId = new Map<string, CountedVote>();
  for (const vote of votes) {
    checkVote(vote, responses);
    const known = byId.get(vote.id);
    if (known === undefined || preferred(vote, known)) byId.set(vote.id, vote);
  }
  return [...byId.values()]
    .sort((a, b) => (a.id < b.id ? -1 : 1))
    .map((vote) => ({ id: vote.id, meta: vote.meta ?? null, scoreOf: scoresByResponse(vote, responses) }));
}

function scoresByResponse({ order, scores }: CountedVote, responses: number): (number | null | undefined)[] {
  const scoreOf = new Array<number | null | undefined>(responses).fill(undefined);
  order.forEach((response, index) => {
    scoreOf[response] = scores?.[index] ?? null;
  });
  return scoreOf;
}

/**
 * Which of two records of one vote counts: the one with scores, then the one with a meta score, then the
 * smaller in writing, so that the choice does not depend on which came first.
 */
function preferred(vote: CountedVote, known: CountedVote): boolean {
  const rank = (each: CountedVote): number =>
    (each.scores === null ? 0 : 2) + (each.meta === undefined || each.meta === null ? 0 : 1);
  if (rank(vote) !== rank(known)) return rank(vote) > rank(known);
  const written = (each: CountedVote): string => JSON.stringify([each.scores, each.meta ?? null, each.order]);
  return written(vote) < written(known);
}

function keepBest(usable: readonly DistinctVote[], metaKeep: number | null): readonly DistinctVote[] {
  if (metaKeep === null || metaKeep >= usable.length) return usable;
  if (usable.every((vote) => vote.meta === null)) return usable;
  const rank = (vote: DistinctVote): number => vote.meta ?? -Infinity;
  // Sorting is stable and `usable` is sorted by id, so equal meta scores keep the order of ids.
  return [...usable].sort((a, b) => (rank(a) === rank(b) ? 0 : rank(b) - rank(a))).slice(0, metaKeep);
}

function agreement(
  counted: readonly DistinctVote[],
  response: number,
  { responses, kinds }: TallyOptions,
): number {
  let together = 0;
  let all = 0;
  for (let other = 0; other < responses; other++) {
    if (other === response || kinds?.[other] !== kinds?.[response]) continue;
    let better = 0;
    let worse = 0;
    let equal = 0;
    for (const { scoreOf } of counted) {
      const score = scoreOf[other];
      if (score === undefined || score === null) continue;
      const own = scoreOf[response] as number;
      if (own > score) better++;
      else if (own < score) worse++;
      else equal++;
    }
    together += Math.max(better, worse, equal);
    all += better + worse + equal;
  }
  return all === 0 ? 1 : together / all;
}

function missing(failed: number): MissingReward {
  return { value: null, sum: null, kept: 0, usable: 0, failed, spread: null, agreement: null };
}

function checkOptions({ responses, metaKeep }: TallyOptions): void {
  if (!Number.isInteger(responses) || responses < 1) {
    throw invalid("responses", `must be a whole number of at least 1, got ${responses}`);
  }
  if (metaKeep !== null && (!Number.isInteger(metaKeep) || metaKeep < 1)) {
    throw invalid(
      "metaKeep",
      `must be a whole number of at least 1, or null for plain voting, got ${metaKeep}`,
    );
  }
}

function checkVote(vote: CountedVote, responses: number): void {
  vote.order.forEach((response, index) => {
    if (!Number.isInteger(response) || response < 0 || response >= responses) {
      throw invalid(
        "order",
        `vote ${vote.id}: ${response} is not the index of one of ${responses} responses`,
      );
    }
    if (vote.order.indexOf(response) < index) {
      throw invalid("order", `vote ${vote.id}: response ${response} comes twice`);
    }
  });
  if (vote.scores !== null) {
    if (vote.scores.length !== vote.order.length) {
      throw invalid(
        "scores",
        `vote ${vote.id}: ${vote.scores.length} scores for ${vote.order.length} responses`,
      );
    }
    const wrong = vote.scores.find((score) => score !== null && !Number.isFinite(score));
    if (wrong !== undefined) throw invalid("scores", `vote ${vote.id}: ${wrong} is not a finite number`);
  }
  if (vote.meta !== undefined && vote.meta !== null && !Number.isFinite(vote.meta)) {
    throw invalid("meta", `vote ${vote.id}: ${vote.meta} is not a finite number`);
  }
}
