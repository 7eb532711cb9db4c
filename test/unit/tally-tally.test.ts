import fc from "fast-check";
import { expect, test } from "vitest";
import { type CountedVote, highest, tally } from "../../lib/tally/tally.js";

const plain = (responses: number) => ({ responses, metaKeep: null });

/** The worked example of arXiv 2504.02495, Table 17: the last two votes saw the responses in reverse. */
const table17: CountedVote[] = [
  { id: "1", order: [0, 1], scores: [8, 8], meta: -15.7781 },
  { id: "2", order: [1, 0], scores: [9, 5], meta: 1.3126 },
  { id: "3", order: [1, 0], scores: [10, 7], meta: 1.6739 },
];

test("tally: Table 17's votes sum to 20 and 27; without the vote of the lowest meta score to 12 and 19", () => {
  const all = tally(table17, plain(2));
  expect(all.rewards.map((reward) => reward.sum)).toEqual([20, 27]);
  expect(all.best).toEqual([1]);
  const two = tally(table17, { responses: 2, metaKeep: 2 });
  expect(two.rewards.map((reward) => reward.sum)).toEqual([12, 19]);
  expect(two.rewards.map((reward) => reward.value)).toEqual([6, 9.5]);
  expect(two.keptVoteIds).toEqual(["2", "3"]);
});

test("tally: mean, spread and agreement by hand", () => {
  const { rewards } = tally(table17, plain(2));
  expect(rewards[0]).toMatchObject({ value: 20 / 3, kept: 3, usable: 3, failed: 0 });
  // Scores 8, 5, 7 around 20/3: squares 16/9 + 25/9 + 1/9 = 42/9, over 3.
  expect(rewards[0]?.spread).toBeCloseTo(Math.sqrt(14 / 9), 12);
  // One tie, two for the second response: two of three comparisons agree.
  expect(rewards.map((reward) => reward.agreement)).toEqual([2 / 3, 2 / 3]);
});

test("tally: a response that no vote scored is null, never a number", () => {
  const votes: CountedVote[] = [
    { id: "a", order: [0, 1], scores: [0, null] },
    { id: "b", order: [0, 1], scores: null },
  ];
  const { rewards, best } = tally(votes, plain(3));
  expect(rewards[0]).toMatchObject({ value: 0, kept: 1, usable: 1, failed: 1 });
  expect(rewards[1]).toEqual({
    value: null,
    sum: null,
    kept: 0,
    usable: 0,
    failed: 2,
    spread: null,
    agreement: null,
  });
  expect(rewards[2]).toMatchObject({ value: null, failed: 0 });
  expect(best).toEqual([0]);
  expect(tally([], plain(2))).toMatchObject({ best: [], keptVoteIds: [] });
});

test("tally: responses with different numbers of votes are compared by mean, not by sum", () => {
  const votes: CountedVote[] = [
    { id: "a", order: [0, 1], scores: [6, 9] },
    { id: "b", order: [0, 1], scores: [6, null] },
  ];
  const { rewards, best } = tally(votes, plain(2));
  expect(rewards.map((reward) => reward.sum)).toEqual([12, 9]);
  expect(best).toEqual([1]);
});

test("tally: a tie stays a tie, also where rounding would break it", () => {
  const decimals: CountedVote[] = [
    { id: "a", order: [0, 1], scores: [0.1, 0.3] },
    { id: "b", order: [0, 1], scores: [0.2, 0.2] },
    { id: "c", order: [0, 1], scores: [0.3, 0.1] },
  ];
  expect(tally(decimals, plain(2)).best).toEqual([0, 1]);
  expect(highest([0.1 + 0.2, 0.3, null, 0.299])).toEqual([0, 1]);
  expect(highest([-5, -5.000001])).toEqual([0]);
});

test("tally: whole scores are compared exactly, however large", () => {
  const votes: CountedVote[] = [
    { id: "a", order: [0, 1], scores: [1_700_000_000_000, 1_700_000_000_001] },
    { id: "b", order: [0, 1], scores: [5, 5] },
  ];
  expect(tally(votes, plain(2)).best).toEqual([1]);
  const thirds: CountedVote[] = [
    { id: "a", order: [0, 1], scores: [3, 3] },
    { id: "b", order: [0, 1], scores: [3, 3] },
    { id: "c", order: [0, 1], scores: [4, 4] },
    ...["d", "e", "f"].map((id, i) => ({ id, order: [1], scores: [i === 0 ? 4 : 3] })),
  ];
  // 10/3 of three votes and 20/6 of six.
  expect(tally(thirds, plain(2)).best).toEqual([0, 1]);
});

test("tally: recorded scores may be any finite numbers", () => {
  const votes: CountedVote[] = [
    { id: "a", order: [0, 1], scores: [1e308, -1e308] },
    { id: "b", order: [0, 1], scores: [1e308, 1e308] },
  ];
  const { rewards, best } = tally(votes, plain(2));
  expect(rewards.map((reward) => reward.value)).toEqual([1e308, 0]);
  expect(rewards.every((reward) => Number.isFinite(reward.spread))).toBe(true);
  expect(best).toEqual([0]);
});

test("meta filter: each response keeps the best among the votes that scored it", () => {
  const votes: CountedVote[] = [
    { id: "a", order: [0, 1], scores: [1, 1], meta: 5 },
    { id: "b", order: [0, 1], scores: [2, 2], meta: 4 },
    { id: "c", order: [2, 3], scores: [3, 3], meta: -1 },
    { id: "d", order: [2, 3], scores: [9, 9], meta: -2 },
  ];
  const result = tally(votes, { responses: 4, metaKeep: 1 });
  expect(result.rewards.map((reward) => reward.value)).toEqual([1, 1, 3, 3]);
  expect(result.keptVoteIds).toEqual(["a", "c"]);
});

test("meta filter: equal meta scores are decided by vote id; failed votes take no place", () => {
  const votes: CountedVote[] = [
    { id: "z", order: [0], scores: [9], meta: 1 },
    { id: "a", order: [0], scores: [4], meta: 1 },
    { id: "b", order: [0], scores: null, meta: 3 },
  ];
  expect(tally(votes, { responses: 1, metaKeep: 1 }).keptVoteIds).toEqual(["a"]);
  expect(tally(votes, { responses: 1, metaKeep: 2 }).keptVoteIds).toEqual(["a", "z"]);
});

test("meta filter: a vote without a meta score ranks last; where no vote has one, voting is plain", () => {
  const votes: CountedVote[] = [
    { id: "a", order: [0], scores: [4] },
    { id: "b", order: [0], scores: [5], meta: -20 },
    { id: "c", order: [0], scores: [6], meta: null },
  ];
  expect(tally(votes, { responses: 1, metaKeep: 1 }).keptVoteIds).toEqual(["b"]);
  expect(tally(votes, { responses: 1, metaKeep: 2 }).keptVoteIds).toEqual(["a", "b"]);
  const unrated = votes.map(({ id, order, scores }) => ({ id, order, scores }));
  expect(tally(unrated, { responses: 1, metaKeep: 1 }).rewards[0]).toMatchObject({ value: 5, kept: 3 });
});

test("tally: votes that no group can have are the caller's error, named", () => {
  const vote = (changes: Partial<CountedVote>) => [{ id: "v", order: [0, 1], scores: [1, 2], ...changes }];
  expect(() => tally(vote({ order: [0, 2] }), plain(2))).toThrow("order: vote v: 2 is not the index");
  expect(() => tally(vote({ order: [1, 1] }), plain(2))).toThrow("order: vote v: response 1 comes twice");
  expect(() => tally(vote({ scores: [1] }), plain(2))).toThrow("scores: vote v: 1 scores for 2 responses");
  expect(() => tally(vote({ scores: [1, Number.NaN] }), plain(2))).toThrow("NaN is not a finite number");
  expect(() => tally(vote({ meta: Infinity }), plain(2))).toThrow("meta: vote v: Infinity");
  expect(() => tally([], { responses: 0, metaKeep: null })).toThrow("responses: must be");
  expect(() => tally([], { responses: 1, metaKeep: 0 })).toThrow("metaKeep: must be");
});

const score = fc.oneof(
  fc.integer({ min: 1, max: 10 }),
  fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 }),
);
const groupOfVotes = fc
  .integer({ min: 1, max: 5 })
  .chain((responses) =>
    fc.record({
      responses: fc.constant(responses),
      metaKeep: fc.option(fc.integer({ min: 1, max: 8 })),
      votes: fc.array(
        fc.record({
          id: fc.integer({ min: 0, max: 12 }).map(String),
          order: fc.shuffledSubarray(Array.from({ length: responses }, (_, index) => index)),
          draws: fc.array(fc.option(score, { freq: 8 }), { minLength: responses, maxLength: responses }),
          failed: fc.boolean(),
          meta: fc.option(fc.integer({ min: -3, max: 3 })),
        }),
        { maxLength: 12 },
      ),
    }),
  )
  .map(({ responses, metaKeep, votes }) => ({
    options: { responses, metaKeep },
    votes: votes.map(
      ({ id, order, draws, failed, meta }): CountedVote => ({
        id,
        order,
        scores: failed && draws[0] === null ? null : draws.slice(0, order.length),
        meta,
      }),
    ),
  }));

test("tally: the order in which votes come in changes nothing", () => {
  fc.assert(
    fc.property(groupOfVotes, fc.infiniteStream(fc.nat()), ({ votes, options }, keys) => {
      const keyed = votes.map((vote) => ({ vote, key: keys.next().value as number }));
      const shuffled = keyed.sort((a, b) => a.key - b.key).map(({ vote }) => vote);
      expect(tally(shuffled, options)).toEqual(tally(votes, options));
    }),
  );
});

test("tally: a vote that comes again changes nothing", () => {
  fc.assert(
    fc.property(groupOfVotes, fc.nat(), ({ votes, options }, at) => {
      const again =
        votes.length === 0 ? votes : [...votes, votes[at % votes.length] as CountedVote, ...votes];
      expect(tally(again, options)).toEqual(tally(votes, options));
    }),
  );
});

test("tally: the order in which a vote saw the responses changes nothing", () => {
  fc.assert(
    fc.property(groupOfVotes, fc.nat(), ({ votes, options }, turn) => {
      // One record per id, so that which of two contradicting records counts is not the question here.
      const distinct = [...new Map(votes.map((vote) => [vote.id, vote])).values()];
      const turned = distinct.map((vote): CountedVote => {
        const by = vote.order.length === 0 ? 0 : turn % vote.order.length;
        const rotate = <T>(list: readonly T[]): T[] => [...list.slice(by), ...list.slice(0, by)];
        return {
          ...vote,
          order: rotate(vote.order),
          scores: vote.scores === null ? null : rotate(vote.scores),
        };
      });
      expect(tally(turned, options)).toEqual(tally(distinct, options));
    }),
  );
});

test("tally: keeping as many votes as there are is plain voting", () => {
  fc.assert(
    fc.property(groupOfVotes, ({ votes, options }) => {
      const kept = tally(votes, { ...options, metaKeep: Math.max(1, votes.length) });
      expect(kept).toEqual(tally(votes, { ...options, metaKeep: null }));
    }),
  );
});

test("tally: the sum of k scores of 1 to 10 lies within k to 10k, and the reward is sum over votes", () => {
  const scored = fc.array(fc.array(fc.integer({ min: 1, max: 10 }), { minLength: 3, maxLength: 3 }), {
    minLength: 1,
    maxLength: 32,
  });
  fc.assert(
    fc.property(scored, (lists) => {
      const votes = lists.map((scores, index) => ({ id: String(index), order: [0, 1, 2], scores }));
      for (const reward of tally(votes, plain(3)).rewards) {
        expect(reward.sum).toBeGreaterThanOrEqual(lists.length);
        expect(reward.sum).toBeLessThanOrEqual(10 * lists.length);
        expect(reward.value).toBe((reward.sum as number) / lists.length);
        expect(reward.agreement).toBeGreaterThan(0);
        expect(reward.agreement).toBeLessThanOrEqual(1);
      }
    }),
  );
});

test("tally: where kinds are told, only those of one kind are compared in the agreement", () => {
  // Two wholes (0, 1) whose order the votes agree on, and a step (2) on which they do not.
  const votes = [
    { id: "a", order: [0, 1, 2], scores: [9, 2, 1] },
    { id: "b", order: [0, 1, 2], scores: [8, 3, 10] },
  ];
  const agreements = (kinds?: readonly number[]): number[] =>
    tally(votes, { responses: 3, metaKeep: null, ...(kinds === undefined ? {} : { kinds }) }).rewards.map(
      (reward) => reward.agreement ?? Number.NaN,
    );
  expect(agreements()).toEqual([0.75, 0.75, 0.5]);
  expect(agreements([0, 0, 1])).toEqual([1, 1, 1]);
});
