/**
 * What a meta RM can learn from the other judgments of the same panel, its peers, beside the label of Eq. 10
 * (arXiv 2504.02495).
 *
 * The label is one bit: it doesn't say which slip made a judgment wrong, and a judgment can be right by luck. The
 * peers say more, and nobody had to label anything for it: the mean of their scores is what the author thinks of a
 * response when it doesn't slip. A judgment that scores a response far above that has slipped in its favour.
 *
 * - `peerGaps`: per response, how far above the judgment's own score that mean is.
 * - `peerTargets`: the logit of the target is c ± a + b · margin, with + for right ones; c is the logit of the share
 *   of right ones, so that a model that knows nothing says that; the margin is by how many points the peers put the
 *   response that this judgment puts first above their best other one (negative: they don't). With b = 0 it is
 *   the label, smoothed by a.
 */
import { invalid } from "../core/errors.js";

export interface PeerJudgment {
  right: boolean;
  /** In the order that all judgments of the panel were shown; null when it could not be parsed. */
  scores: readonly number[] | null;
  /** Judgments with the same number are on the same panel, shown in the same order. */
  panel: number;
}

export interface PeerTargetOptions {
  /** a, above 0; Infinity leaves labels as they are. */
  right: number;
  /** b, 0 or more, per point of score. */
  peers: number;
}

/** Per judgment and response: mean score of the peers − own score, in points; null without peers or scores. */
export function peerGaps(judgments: readonly PeerJudgment[]): (number[] | null)[] {
  return withPeers(judgments, (scores, peers) => scores.map((score, r) => (peers[r] as number) - score));
}

/** One target per judgment, 0..1. A judgment without peers, and one that puts nothing first, has margin 0. */
export function peerTargets(
  judgments: readonly PeerJudgment[],
  { right, peers }: PeerTargetOptions,
): number[] {
  if (!(right > 0)) throw invalid("right", `must be above 0, got ${right}`);
  if (!(peers >= 0)) throw invalid("peers", `must be at least 0, got ${peers}`);
  const share = judgments.filter((judgment) => judgment.right).length / judgments.length;
  const base = share > 0 && share < 1 ? Math.log(share / (1 - share)) : 0;
  const margins = withPeers(judgments, marginOfFirst);
  return judgments.map((judgment, i) => {
    const logit = base + (judgment.right ? right : -right) + peers * (margins[i] ?? 0);
    return 1 / (1 + Math.exp(-logit));
  });
}

function withPeers<T>(
  judgments: readonly PeerJudgment[],
  tell: (scores: readonly number[], peers: readonly number[]) => T,
): (T | null)[] {
  const panels = new Map<number, { count: number; sums: number[] }>();
  for (const { panel, scores } of judgments) {
    if (scores === null) continue;
    const { count, sums } = panels.get(panel) ?? { count: 0, sums: scores.map(() => 0) };
    panels.set(panel, { count: count + 1, sums: sums.map((sum, r) => sum + (scores[r] as number)) });
  }
  return judgments.map(({ panel, scores }) => {
    const all = panels.get(panel);
    if (scores === null || all === undefined || all.count < 2) return null;
    return tell(
      scores,
      all.sums.map((sum, r) => (sum - (scores[r] as number)) / (all.count - 1)),
    );
  });
}

function marginOfFirst(scores: readonly number[], peers: readonly number[]): number {
  const top = Math.max(...scores);
  const first = scores.indexOf(top);
  if (scores.length < 2 || scores.lastIndexOf(top) !== first) return 0;
  return (peers[first] as number) - Math.max(...peers.filter((_, r) => r !== first));
}
