/**
 * When a judgment is right (arXiv 2504.02495, Eq. 10): the rule behind rejection, the ±1 reward of the GRM's
 * training, and the labels of the meta RM.
 */

/** What is known about the responses of one item. */
export type CorrectnessLabel =
  /** Two responses or more: the index of the best one. */
  | { t: "best"; index: number }
  /** One response: the score that a right judgment gives (1 for a right answer, 0 for a wrong one). */
  | { t: "score"; value: number };

/**
 * True when the labelled best response scores strictly above every other one (a tie at the top is wrong), or,
 * for a single response, when its score equals the label. Scores are in the item's own order; null stands for
 * a judgment that could not be parsed, which is wrong, as is one that left any response without a score.
 */
export function isCorrect(scores: readonly (number | null)[] | null, label: CorrectnessLabel): boolean {
  if (scores === null || scores.length === 0 || scores.includes(null)) return false;
  if (label.t === "score") return scores.length === 1 && scores[0] === label.value;
  const best = scores[label.index];
  if (best === undefined || best === null || scores.length < 2) return false;
  return scores.every((score, index) => index === label.index || (score as number) < best);
}
