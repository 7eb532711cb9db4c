import fc from "fast-check";
import { expect, test } from "vitest";
import { exactSum, mean, standardDeviation } from "../../lib/tally/sums.js";

const finite = fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e15, max: 1e15 });

test("sums: small terms are not lost beside large ones", () => {
  expect(exactSum([1e16, 1, -1e16])).toBe(1);
  expect(exactSum([0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])).toBe(1);
  expect(exactSum([])).toBe(0);
  // The exact sum is half-way between two doubles but for the last term, which decides.
  expect(exactSum([2 ** 53, 1, 2 ** -60])).toBe(2 ** 53 + 2);
  expect(exactSum([2 ** 53, 1, -(2 ** -60)])).toBe(2 ** 53);
});

test("sums: no order of the terms changes the sum", () => {
  fc.assert(
    fc.property(fc.array(finite, { maxLength: 20 }), (values) => {
      const sum = exactSum(values);
      expect(exactSum([...values].reverse())).toBe(sum);
      expect(exactSum([...values].sort((a, b) => a - b))).toBe(sum);
    }),
  );
});

test("sums: whole numbers agree with arithmetic of whole numbers", () => {
  const huge = fc.integer({ min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER });
  fc.assert(
    fc.property(fc.array(huge, { maxLength: 20 }), (values) => {
      expect(exactSum(values)).toBe(Number(values.reduce((sum, value) => sum + BigInt(value), 0n)));
    }),
  );
});

test("sums: mean and deviation stay finite for any finite numbers", () => {
  const any = fc.double({ noNaN: true, noDefaultInfinity: true });
  fc.assert(
    fc.property(fc.array(any, { minLength: 1, maxLength: 20 }), (values) => {
      expect(Number.isFinite(mean(values))).toBe(true);
      expect(standardDeviation(values)).toBeGreaterThanOrEqual(0);
      expect(Number.isFinite(standardDeviation(values))).toBe(true);
    }),
  );
  expect(standardDeviation([2, 4, 4, 4, 5, 5, 7, 9])).toBe(2);
});
