/**
 * k, the actuator that works at once: votes per panel so that judging is neither what everything waits for nor idle.
 *
 * Replicas are planned for the preferred k; this takes up what they cannot: whole replicas, a switch under way, a loss.
 * Fewer votes are never a surprise: k stays within its bounds, moves by a quarter at most, and says why.
 */
import type { VoteReason } from "./decision.js";

export interface VoteInputs {
  /** In force. */
  k: number;
  bounds: { min: number; max: number; preferred: number };
  /** Steps per second that the pools and the learner can do besides judging. */
  otherRate: number;
  /** Steps per second that judging could do with one vote per panel. */
  rateAtOne: number;
}

/** Relative difference below which k stays: one vote of eight is worth a change, noise is not. */
const band = 0.1;
const largestStep = 0.25;

export function planVotes({ k, bounds, otherRate, rateAtOne }: VoteInputs): {
  k: number;
  reason: VoteReason;
} {
  const { min, max, preferred } = bounds;
  const now = Math.min(max, Math.max(min, Math.round(k)));
  if (!(otherRate > 0) || !(rateAtOne > 0)) return { k: now, reason: "held" };
  const ideal = Math.min(max, Math.max(min, rateAtOne / otherRate));
  const aim = Math.floor(ideal + 1e-9);
  const most = Math.max(1, Math.round(now * largestStep));
  const next = Math.abs(ideal - now) <= band * now ? now : now + Math.max(-most, Math.min(most, aim - now));
  return {
    k: next,
    reason: next < preferred ? "judging_limits" : next > preferred ? "grm_idle" : "preferred",
  };
}
