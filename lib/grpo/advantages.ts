/**
 * Group-relative advantages.
 *
 * DeepSeekMath (arXiv 2402.03300, section 4.1.2): A_i = (r_i − mean(r)) / std(r) within the group of one query.
 * Dr. GRPO (arXiv 2503.20783) leaves the division out, because it weighs easy and hard queries up: `none`.
 *
 * Where we differ: a response without a reward (null) takes no part in mean or std and gets a null advantage,
 * and a group that teaches nothing is marked instead of divided by a small epsilon.
 */
import { invalid } from "../core/errors.js";

export interface AdvantageOptions {
  /** `std`: the sample standard deviation (n − 1), as common trainers take it. */
  normalise: "std" | "none";
  /** Rewards whose standard deviation is not above this have no spread. Default 1e-6. */
  minSpread?: number;
}

export interface GroupAdvantages {
  /** One per reward; null where the reward is null. All null when the group is degenerate. */
  advantages: (number | null)[];
  /** True when the group has nothing to learn from and is to be dropped. */
  degenerate: boolean;
  /** Why: fewer than two rewards, or all of them equal. Null for a group worth learning from. */
  reason: "null" | "no_spread" | null;
  metrics: {
    /** Mean reward; null when there is none. */
    reward_mean: number | null;
    /** Sample standard deviation of the rewards; null when there are fewer than two. */
    reward_std: number | null;
    rewards: number;
    nulls: number;
  };
}

export function groupAdvantages(
  rewards: readonly (number | null)[],
  options: AdvantageOptions,
): GroupAdvantages {
  const known = rewards.filter((reward) => reward !== null);
  const wrong = known.find((reward) => !Number.isFinite(reward));
  if (wrong !== undefined)
    throw invalid("rewards", `${wrong} is not a finite number; a missing reward is null`);
  const count = known.length;
  const mean = count === 0 ? null : known.reduce((sum, reward) => sum + reward / count, 0);
  const std =
    mean === null || count < 2
      ? null
      : Math.sqrt(known.reduce((sum, reward) => sum + (reward - mean) ** 2, 0) / (count - 1));
  const metrics = { reward_mean: mean, reward_std: std, rewards: count, nulls: rewards.length - count };
  if (mean === null || std === null || std <= (options.minSpread ?? 1e-6)) {
    const reason = std === null ? "null" : "no_spread";
    return { advantages: rewards.map(() => null), degenerate: true, reason, metrics };
  }
  const scale = options.normalise === "std" ? std : 1;
  const advantages = rewards.map((reward) => (reward === null ? null : (reward - mean) / scale));
  return { advantages, degenerate: false, reason: null, metrics };
}
