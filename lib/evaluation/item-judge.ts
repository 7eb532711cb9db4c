/**
 * What an evaluation asks: a judge of items. The reward service behind gRPC is one, each baseline another; the figures,
 * the votes file and the comparisons are the same for all.
 */
import type { AskedItem, AskOptions } from "./asked-votes.js";
import type { EvaluationItem } from "./items.js";

export type Answer =
  /** `whole`: false when the deadline cut it short. An item that can never be judged has `refused` in `asked`. */
  | { t: "asked"; asked: AskedItem; whole: boolean }
  /** For a passing reason; the next run asks again. */
  | { t: "failed"; reason: string };

export interface ItemJudge {
  /** Items that it should have in flight at least, to be busy. */
  readonly itemsInFlight?: number;
  /**
   * `plan.votes` votes on the item and, where `plan.greedy` says so, one judgment at temperature 0. A judge whose
   * answer no dice decide gives one vote and says so (`AskedItem.deterministic`). `digest` is the item's name in
   * seeds and in the votes file. Rejects when the judge is gone or the signal is aborted.
   */
  ask(item: EvaluationItem, plan: AskOptions, digest: string, signal: AbortSignal): Promise<Answer>;
}
