import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type PeerJudgment, peerGaps, peerTargets } from "../../lib/spct/peer-targets.js";

const judged = (right: boolean, scores: number[] | null, panel = 0): PeerJudgment => ({
  right,
  scores,
  panel,
});
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

describe("what the peers of a judgment say", () => {
  test("is the mean of their scores, as a distance from its own", () => {
    expect(peerGaps([judged(true, [9, 3]), judged(true, [7, 5]), judged(false, [2, 6])])).toEqual([
      [-4.5, 2.5],
      [-1.5, -0.5],
      [6, -2],
    ]);
  });

  test("is nothing where nobody else judged the panel, or could be understood", () => {
    expect(peerGaps([judged(true, [9, 3], 0), judged(true, [7, 5], 1), judged(false, null, 1)])).toEqual([
      null,
      null,
      null,
    ]);
  });

  test("never depends on the judgments of another panel", () => {
    const scores = fc.array(fc.integer({ min: 1, max: 10 }), { minLength: 3, maxLength: 3 });
    fc.assert(
      fc.property(fc.array(scores, { minLength: 2 }), fc.array(scores), (mine, others) => {
        const own = mine.map((each) => judged(true, each, 0));
        const rest = others.map((each) => judged(true, each, 1));
        expect(peerGaps([...own, ...rest]).slice(0, mine.length)).toEqual(peerGaps(own));
      }),
    );
  });
});

describe("targets with peers", () => {
  test("are higher for a judgment whose first place the peers share", () => {
    const targets = peerTargets(
      [judged(true, [9, 3]), judged(true, [8, 5]), judged(false, [2, 6]), judged(false, [5, 5])],
      { right: 0.7, peers: 0.5 },
    );
    const logits = [
      0.7 + 0.5 * (5 - 16 / 3),
      0.7 + 0.5 * (16 / 3 - 14 / 3),
      -0.7 + 0.5 * (13 / 3 - 22 / 3),
      -0.7,
    ];
    targets.forEach((target, i) => {
      expect(target).toBeCloseTo(sigmoid(logits[i] as number), 12);
    });
  });

  test("where most are right, most is expected of all", () => {
    const alone = [true, true, true, false].map((right, panel) => judged(right, [9, 3], panel));
    const targets = peerTargets(alone, { right: 0.7, peers: 0.5 });
    expect(targets[0]).toBeCloseTo(sigmoid(Math.log(3) + 0.7), 12);
    expect(targets[3]).toBeCloseTo(sigmoid(Math.log(3) - 0.7), 12);
  });

  test("without peers they are labels", () => {
    const one = fc.record({
      right: fc.boolean(),
      scores: fc.array(fc.integer({ min: 1, max: 10 }), { minLength: 2, maxLength: 2 }),
      panel: fc.nat({ max: 3 }),
    });
    fc.assert(
      fc.property(fc.array(one), (judgments) => {
        const targets = peerTargets(judgments, { right: Number.POSITIVE_INFINITY, peers: 0 });
        expect(targets).toEqual(judgments.map(({ right }) => Number(right)));
      }),
    );
  });

  test("numbers that make no sense are refused", () => {
    expect(() => peerTargets([], { right: 0, peers: 1 })).toThrow("right: must be above 0");
    expect(() => peerTargets([], { right: 1, peers: -1 })).toThrow("peers: must be at least 0");
  });
});
