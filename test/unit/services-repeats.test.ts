import { expect, test } from "vitest";
import { createRepeats } from "../../services/vote-aggregator/repeats.js";

test("repeats are likely for a minute after one was seen, and at no other time", () => {
  let now = 5_000;
  const repeats = createRepeats({ monotonic: () => now });
  expect(repeats.likely()).toBe(false);
  repeats.seen();
  now += 59_999;
  expect(repeats.likely()).toBe(true);
  now += 1;
  expect(repeats.likely()).toBe(false);
});
