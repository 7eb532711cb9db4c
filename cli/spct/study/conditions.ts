/** The conditions that judges are compared under. */
import type { Condition } from "../../../lib/evaluation/conditions.js";
import { keepsOf } from "../../../lib/evaluation/keep-sweep.js";

/** Votes that the meta RM keeps: half of them. */
export const metaKeepRule = "half";

export const greedy: Condition = { name: "greedy", k: 1, metaKeep: null, greedy: true };

export function votesAt(k: number): Condition {
  return { name: `vote@${k}`, k, metaKeep: null, greedy: false };
}

export function metaAt(k: number, keep = Math.max(1, Math.floor(k / 2))): Condition {
  return {
    name: keep === Math.floor(k / 2) ? `meta@${k}` : `meta@${k}/${keep}`,
    k,
    metaKeep: keep,
    greedy: false,
  };
}

/** The columns of the main table. */
export const columns: readonly Condition[] = [
  greedy,
  votesAt(1),
  votesAt(8),
  votesAt(32),
  metaAt(8),
  metaAt(32),
];

/** k_meta of 1, k/4, k/2 and k. */
export function keepSweepOf(k: number): Condition[] {
  return keepsOf(k).map((keep) => (keep === "all" ? votesAt(k) : metaAt(k, keep)));
}

/** For the plots. */
export const curves: readonly Condition[] = [1, 2, 4, 8, 16, 32]
  .flatMap((k) => [votesAt(k), metaAt(k)])
  .filter(({ k, metaKeep }) => k > 1 || metaKeep === null);
