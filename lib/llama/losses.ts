/**
 * Supervised losses as coefficients for `LlamaTraining`: each gives dLoss/dOutput from plain numbers. Pure.
 */
import { invalid } from "../core/errors.js";

/**
 * Weighted cross-entropy, loss = − Σ w · logp / Σ w: coefficients for `accumulate`, before any forward.
 * `weights[i][t]` weighs token t of sequence i as a target (0: not a target; position 0 never is one) and serves
 * as `targets` of the sequence too.
 */
export function crossEntropyCoefficients(weights: readonly ArrayLike<number>[]): {
  coefficients: Float32Array[];
  /** Σ w. */
  total: number;
} {
  let total = 0;
  for (const row of weights) for (let t = 1; t < row.length; t++) total += row[t] as number;
  if (!(total > 0)) throw invalid("weights", "no token has a weight; at least one must be a target");
  const coefficients = weights.map((row) => Float32Array.from(row, (w, t) => (t === 0 ? 0 : -w / total)));
  return { coefficients, total };
}

/** The loss of log-probabilities with coefficients from `crossEntropyCoefficients`, in nats per unit of weight. */
export function crossEntropyLoss(
  coefficients: readonly Float32Array[],
  logprobs: readonly Float32Array[],
): number {
  let loss = 0;
  coefficients.forEach((row, i) => {
    for (let t = 1; t < row.length; t++) {
      const c = row[t] as number;
      if (c !== 0) loss += c * (logprobs[i]?.[t] as number);
    }
  });
  return loss;
}

export interface BinaryLoss {
  /** Mean over items (weighted), in nats. */
  loss: number;
  /** dLoss/dScore per item. */
  coefficients: number[];
  /** Share of items on the right side of 0, weighted. */
  accuracy: number;
}

/**
 * Binary cross-entropy of scores (logits) against labels in [0, 1]: mean of log(1 + e^s) − label · s, in the form
 * that does not overflow. `weights` default to 1 each.
 */
export function binaryCrossEntropy(
  scores: readonly number[],
  labels: readonly number[],
  weights?: readonly number[],
): BinaryLoss {
  if (labels.length !== scores.length)
    throw invalid("labels", `${labels.length} for ${scores.length} scores`);
  const weight = (i: number): number => weights?.[i] ?? 1;
  const total = scores.reduce((sum, _, i) => sum + weight(i), 0);
  if (!(total > 0)) throw invalid("weights", "must sum to more than 0");
  let loss = 0;
  let right = 0;
  const coefficients = scores.map((s, i) => {
    const label = labels[i] as number;
    const share = weight(i) / total;
    loss += share * (Math.max(s, 0) - label * s + Math.log1p(Math.exp(-Math.abs(s))));
    if (s > 0 === label > 0.5) right += weight(i);
    return share * (1 / (1 + Math.exp(-s)) - label);
  });
  return { loss, coefficients, accuracy: right / total };
}

/**
 * Bradley-Terry loss of scores on pairs whose better one is known: mean of −log σ(better − worse) over the pairs.
 * `accuracy` is the share of pairs in the right order.
 */
export function bradleyTerry(
  scores: readonly number[],
  pairs: readonly { better: number; worse: number }[],
): BinaryLoss {
  if (pairs.length === 0) throw invalid("pairs", "none; give at least one");
  const at = (index: number): number => {
    const score = scores[index];
    if (score === undefined) throw invalid("pairs", `names score ${index} of ${scores.length}`);
    return score;
  };
  const margins = binaryCrossEntropy(
    pairs.map(({ better, worse }) => at(better) - at(worse)),
    pairs.map(() => 1),
  );
  const coefficients = scores.map(() => 0);
  pairs.forEach(({ better, worse }, pair) => {
    const share = margins.coefficients[pair] as number;
    coefficients[better] = (coefficients[better] as number) + share;
    coefficients[worse] = (coefficients[worse] as number) - share;
  });
  return { ...margins, coefficients };
}
