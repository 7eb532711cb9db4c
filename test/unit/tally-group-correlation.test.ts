import fc from "fast-check";
import { expect, test } from "vitest";
import { createGroupCorrelation } from "../../lib/tally/group-correlation.js";

const of = (...groups: [x: number[], y: number[]][]): number | null => {
  const correlation = createGroupCorrelation({ memory: 100 });
  for (const [x, y] of groups) correlation.add(x, y);
  return correlation.value();
};

test("what rises together correlates by 1, what falls by -1", () => {
  expect(
    of([
      [1, 2, 3],
      [10, 20, 30],
    ]),
  ).toBeCloseTo(1);
  expect(
    of([
      [1, 2, 3],
      [5, 4, 3],
    ]),
  ).toBeCloseTo(-1);
});

test("differences between groups do not count, only those within", () => {
  // Longer prompts have better answers here; within a group the longer answer is the worse one.
  expect(
    of(
      [
        [1, 2],
        [2, 1],
      ],
      [
        [101, 102],
        [9, 8],
      ],
    ),
  ).toBeCloseTo(-1);
});

test("as long as nothing varies there is no correlation", () => {
  expect(of()).toBeNull();
  expect(
    of(
      [[5], [7]],
      [[], []],
      [
        [3, 3],
        [1, 2],
      ],
    ),
  ).toBeNull();
});

test("old groups are forgotten", () => {
  const correlation = createGroupCorrelation({ memory: 4 });
  correlation.add([1, 2], [1, 2]);
  for (let i = 0; i < 40; i++) correlation.add([1, 2], [2, 1]);
  expect(correlation.value()).toBeLessThan(-0.99);
});

test("it stays within -1 and 1, whatever comes", () => {
  const group = fc.array(fc.tuple(fc.double(), fc.double()), { maxLength: 6 });
  fc.assert(
    fc.property(fc.array(group, { maxLength: 5 }), (groups) => {
      const value = of(...groups.map((g): [number[], number[]] => [g.map(([x]) => x), g.map(([, y]) => y)]));
      if (value !== null) expect(Math.abs(value)).toBeLessThanOrEqual(1);
    }),
  );
});
