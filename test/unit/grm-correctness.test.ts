import { expect, test } from "vitest";
import { isCorrect } from "../../lib/grm/correctness.js";

test("correctness: the labelled best must be strictly above all others; how the others rank does not matter", () => {
  expect(isCorrect([3, 9, 8], { t: "best", index: 1 })).toBe(true);
  expect(isCorrect([8, 9, 3], { t: "best", index: 1 })).toBe(true);
  expect(isCorrect([8, 9, 3], { t: "best", index: 0 })).toBe(false);
});

test("correctness: a tie at the top is wrong", () => {
  expect(isCorrect([9, 9], { t: "best", index: 0 })).toBe(false);
  expect(isCorrect([9, 9], { t: "best", index: 1 })).toBe(false);
});

test("correctness: one response is right when its score equals the label", () => {
  expect(isCorrect([1], { t: "score", value: 1 })).toBe(true);
  expect(isCorrect([0], { t: "score", value: 1 })).toBe(false);
  expect(isCorrect([1, 0], { t: "score", value: 1 })).toBe(false);
});

test("correctness: what could not be parsed is wrong", () => {
  expect(isCorrect(null, { t: "best", index: 0 })).toBe(false);
  expect(isCorrect([9, null], { t: "best", index: 0 })).toBe(false);
  expect(isCorrect([], { t: "score", value: 1 })).toBe(false);
  expect(isCorrect([9, 1], { t: "best", index: 5 })).toBe(false);
});
