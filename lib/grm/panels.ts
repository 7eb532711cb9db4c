/**
 * Panels and ballots: which responses are shown together, in which order, and how many votes share an order.
 *
 * - A panel is a list of response indices in the order shown; the votes on it are scored in that order.
 * - In every round each response is on exactly one panel, so after r rounds each has been judged equally often.
 * - Everything follows from the seed: the same input gives the same plan.
 *
 * arXiv 2504.02495 shuffles the responses before each sample (against position bias, for diversity). A fresh
 * shuffle per vote throws away the engine's prefix cache beyond the query, so votes share a few orders that
 * are balanced instead: each order is followed by its reverse, and the pairs rotate.
 */
import { invalid } from "../core/errors.js";
import { createRandom, seedFrom } from "../core/random.js";

/**
 * Panels of one round: a group larger than `panelLimit` is split at random into as few panels as possible,
 * whose sizes differ by at most 1. A panel of one response arises only where no split avoids it: n = 1,
 * panelLimit = 1, or an odd n with panelLimit = 2.
 */
export function drawPanels(n: number, panelLimit: number, seed: number): number[][] {
  checkCount("responses", n);
  checkCount("panelLimit", panelLimit);
  const shuffled = createRandom(seed).shuffle(Array.from({ length: n }, (_, index) => index));
  const count = Math.ceil(n / panelLimit);
  return evenly(n, count).map((size, index, sizes) => {
    const start = sizes.slice(0, index).reduce((sum, each) => sum + each, 0);
    return shuffled.slice(start, start + size);
  });
}

export interface BallotPlanInput {
  judgmentId: string;
  /** Responses in the group. */
  responses: number;
  /** Votes per response. */
  votes: number;
  /** Most responses shown together. */
  panelLimit: number;
  /** Most votes that share one panel and order. */
  votesPerBallot: number;
  seed: number;
}

export interface PlannedBallot {
  /** `judgment:round:panel` */
  ballotId: string;
  /** Response indices in the order shown. */
  order: number[];
  /** `judgment:round:panel:vote`, one per vote of the ballot. */
  voteIds: string[];
  /** One engine seed per vote; it depends on `seed` and the vote's place, not on the judgment's id. */
  voteSeeds: number[];
  /** Votes that earlier rounds give each response: the first vote of this ballot is that one of its panel's. */
  votesBefore: number;
}

/**
 * Dispatch plan of a judgment: `votes` votes per response. The votes are spread over rounds of at most
 * `votesPerBallot`; two votes or more on two responses or more always use at least two rounds, so that no
 * response owes its reward to its place alone. Ballots come round by round.
 */
export function planBallots(input: BallotPlanInput): PlannedBallot[] {
  const { judgmentId, responses, votes, panelLimit, votesPerBallot, seed } = input;
  checkCount("votes", votes);
  checkCount("votesPerBallot", votesPerBallot);
  const fewest = votes > 1 && responses > 1 && panelLimit > 1 ? 2 : 1;
  const rounds = Math.max(fewest, Math.ceil(votes / votesPerBallot));
  let votesBefore = 0;
  return evenly(votes, rounds).flatMap((size, round) => {
    const before = votesBefore;
    votesBefore += size;
    return panelsOfRound(responses, panelLimit, seed, round).map((order, panel) => {
      const ballotId = `${judgmentId}:${round}:${panel}`;
      const indices = Array.from({ length: size }, (_, index) => index);
      return {
        ballotId,
        order,
        voteIds: indices.map((index) => `${ballotId}:${index}`),
        voteSeeds: indices.map((index) => seedFrom("vote", seed, round, panel, index)),
        votesBefore: before,
      };
    });
  });
}

/** Split groups draw new panels each round; a group that fits one panel walks through balanced orders. */
function panelsOfRound(n: number, panelLimit: number, seed: number, round: number): number[][] {
  if (n > panelLimit) return drawPanels(n, panelLimit, seedFrom("panels", seed, round));
  const pair = Math.floor(round / 2);
  const [base] = drawPanels(n, panelLimit, seedFrom("order", seed, Math.floor(pair / n)));
  const turn = pair % n;
  const rotated = [...base!.slice(turn), ...base!.slice(0, turn)];
  return [round % 2 === 0 ? rotated : rotated.reverse()];
}

/** `total` split into `parts` whole numbers that differ by at most 1, the larger ones first. */
function evenly(total: number, parts: number): number[] {
  const small = Math.floor(total / parts);
  const larger = total - small * parts;
  return Array.from({ length: parts }, (_, index) => (index < larger ? small + 1 : small));
}

function checkCount(field: string, value: number): void {
  if (!Number.isInteger(value) || value < 1) {
    throw invalid(field, `must be a whole number of at least 1, got ${value}`);
  }
}
