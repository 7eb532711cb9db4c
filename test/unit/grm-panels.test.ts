import fc from "fast-check";
import { expect, test } from "vitest";
import { drawPanels, planBallots } from "../../lib/grm/panels.js";

const group = fc.record({
  n: fc.integer({ min: 1, max: 60 }),
  limit: fc.integer({ min: 1, max: 16 }),
  seed: fc.nat(),
});

test("panels: every response is on exactly one panel, sizes differ by at most one, none exceeds the limit", () => {
  fc.assert(
    fc.property(group, ({ n, limit, seed }) => {
      const panels = drawPanels(n, limit, seed);
      const sizes = panels.map((panel) => panel.length);
      expect(panels.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, index) => index));
      expect(Math.max(...sizes)).toBeLessThanOrEqual(limit);
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
      expect(panels.length).toBe(Math.ceil(n / limit));
    }),
  );
});

test("panels: a response stands alone only where no split avoids it", () => {
  fc.assert(
    fc.property(group, ({ n, limit, seed }) => {
      const alone = drawPanels(n, limit, seed).some((panel) => panel.length === 1);
      expect(alone).toBe(n === 1 || limit === 1 || (limit === 2 && n % 2 === 1));
    }),
  );
});

test("panels: another seed draws other panels, the same seed the same", () => {
  expect(drawPanels(12, 4, 1)).toEqual(drawPanels(12, 4, 1));
  expect(drawPanels(12, 4, 1)).not.toEqual(drawPanels(12, 4, 2));
});

const plan = { judgmentId: "j", responses: 2, votes: 8, panelLimit: 4, votesPerBallot: 4, seed: 7 };

test("ballots: each response gets exactly the votes asked for, in ballots no larger than allowed", () => {
  fc.assert(
    fc.property(
      group,
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 1, max: 9 }),
      (g, votes, perBallot) => {
        const ballots = planBallots({
          judgmentId: "j",
          responses: g.n,
          votes,
          panelLimit: g.limit,
          votesPerBallot: perBallot,
          seed: g.seed,
        });
        const counts = new Array<number>(g.n).fill(0);
        for (const ballot of ballots) {
          expect(ballot.voteIds.length).toBeGreaterThanOrEqual(1);
          expect(ballot.voteIds.length).toBeLessThanOrEqual(perBallot);
          expect(ballot.voteSeeds.length).toBe(ballot.voteIds.length);
          for (const response of ballot.order) counts[response]! += ballot.voteIds.length;
        }
        expect(counts).toEqual(new Array<number>(g.n).fill(votes));
        const ids = ballots.flatMap((ballot) => [ballot.ballotId, ...ballot.voteIds]);
        expect(new Set(ids).size).toBe(ids.length);
      },
    ),
  );
});

test("ballots: two orders of a pair are each other's reverse, so each response leads half of the votes", () => {
  const ballots = planBallots(plan);
  expect(ballots.map((ballot) => ballot.voteIds.length)).toEqual([4, 4]);
  expect(ballots[1]?.order).toEqual([...(ballots[0]?.order ?? [])].reverse());
});

test("ballots: over 2n rounds every response has stood twice in every place", () => {
  const ballots = planBallots({ ...plan, responses: 4, votes: 8, votesPerBallot: 1 });
  const places = [0, 1, 2, 3].map((response) =>
    ballots.map((ballot) => ballot.order.indexOf(response)).sort(),
  );
  for (const each of places) expect(each).toEqual([0, 0, 1, 1, 2, 2, 3, 3]);
});

test("ballots: even a few votes that fit one ballot are split over two orders", () => {
  expect(planBallots({ ...plan, votes: 2 }).map((ballot) => ballot.voteIds.length)).toEqual([1, 1]);
  expect(planBallots({ ...plan, votes: 1 })).toHaveLength(1);
  expect(planBallots({ ...plan, responses: 1, votes: 4 })).toHaveLength(1);
});

test("ballots: ids name judgment, round, panel and vote; seeds do not depend on the judgment's id", () => {
  const one = planBallots({ ...plan, responses: 6 });
  expect(one[1]?.ballotId).toBe("j:0:1");
  expect(one[1]?.voteIds[2]).toBe("j:0:1:2");
  const other = planBallots({ ...plan, responses: 6, judgmentId: "other" });
  expect(other.map((ballot) => ballot.voteSeeds)).toEqual(one.map((ballot) => ballot.voteSeeds));
  expect(other.map((ballot) => ballot.order)).toEqual(one.map((ballot) => ballot.order));
});

test("panels and ballots: impossible counts are refused by name", () => {
  expect(() => drawPanels(0, 4, 1)).toThrow("responses: must be a whole number of at least 1, got 0");
  expect(() => planBallots({ ...plan, votes: 0 })).toThrow("votes: must be");
  expect(() => planBallots({ ...plan, panelLimit: 1.5 })).toThrow("panelLimit: must be");
  expect(() => planBallots({ ...plan, votesPerBallot: -1 })).toThrow("votesPerBallot: must be");
});
