import fc from "fast-check";
import { expect, test } from "vitest";
import { groupAdvantages } from "../../lib/grpo/advantages.js";

const reward = fc.double({ noNaN: true, noDefaultInfinity: true, min: -100, max: 100 });

test("advantages: reward minus mean over the sample standard deviation, or not divided", () => {
  const rewards = [1, 2, 3, 6];
  const std = Math.sqrt((4 + 1 + 0 + 9) / 3);
  expect(groupAdvantages(rewards, { normalise: "none" }).advantages).toEqual([-2, -1, 0, 3]);
  expect(groupAdvantages(rewards, { normalise: "std" })).toMatchObject({
    advantages: [-2 / std, -1 / std, 0, 3 / std],
    degenerate: false,
    reason: null,
    metrics: { reward_mean: 3, reward_std: std, rewards: 4, nulls: 0 },
  });
});

test("advantages: a null reward takes no part and gets a null advantage", () => {
  const masked = groupAdvantages([1, null, 3], { normalise: "none" });
  expect(masked.advantages).toEqual([-1, null, 1]);
  expect(masked.metrics).toMatchObject({ reward_mean: 2, rewards: 2, nulls: 1 });
});

test("advantages: a group without two rewards or without spread teaches nothing, and says why", () => {
  const of = (rewards: (number | null)[]) => groupAdvantages(rewards, { normalise: "std" });
  expect(of([null, null])).toMatchObject({ degenerate: true, reason: "null", advantages: [null, null] });
  expect(of([5, null])).toMatchObject({ degenerate: true, reason: "null", advantages: [null, null] });
  expect(of([5, 5, 5])).toMatchObject({
    degenerate: true,
    reason: "no_spread",
    advantages: [null, null, null],
  });
  expect(of([0.1 + 0.2, 0.3])).toMatchObject({ degenerate: true, reason: "no_spread" });
  expect(of([])).toMatchObject({ degenerate: true, reason: "null", metrics: { reward_mean: null } });
  expect(() => of([1, Number.NaN])).toThrow("rewards: NaN is not a finite number");
});

test("advantages: they sum to zero, and divided by std their squares sum to n - 1", () => {
  fc.assert(
    fc.property(fc.array(fc.option(reward), { maxLength: 20 }), (rewards) => {
      const { advantages, degenerate } = groupAdvantages(rewards, { normalise: "std", minSpread: 1e-3 });
      const known = advantages.filter((advantage) => advantage !== null);
      if (degenerate) {
        expect(known).toEqual([]);
        return;
      }
      expect(advantages.map((advantage) => advantage === null)).toEqual(rewards.map((each) => each === null));
      expect(known.reduce((sum, advantage) => sum + advantage, 0)).toBeCloseTo(0, 6);
      expect(known.reduce((sum, advantage) => sum + advantage ** 2, 0)).toBeCloseTo(known.length - 1, 6);
    }),
  );
});

test("advantages: adding a constant to all rewards or scaling them changes nothing under std", () => {
  fc.assert(
    fc.property(fc.array(reward, { minLength: 2, maxLength: 8 }), reward, (rewards, shift) => {
      const plain = groupAdvantages(rewards, { normalise: "std", minSpread: 1e-3 });
      const moved = groupAdvantages(
        rewards.map((each) => 2 * each + shift),
        { normalise: "std", minSpread: 2e-3 },
      );
      if (plain.degenerate || moved.degenerate) return;
      moved.advantages.forEach((advantage, index) => {
        expect(advantage).toBeCloseTo(plain.advantages[index] as number, 6);
      });
    }),
  );
});
