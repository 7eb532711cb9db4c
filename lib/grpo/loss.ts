/**
 * The GRPO loss and its gradient with respect to the new log-probabilities.
 *
 * Per token, with log-ratio d = log π − log π_old, ratio r = e^d and advantage A of the sequence:
 *
 *     policy = −min( w(r)·A, clip(r, 1 − clipLow, 1 + clipHigh)·A )        PPO, arXiv 1707.06347, Eq. 7
 *     kl     = e^q − q − 1,  q = log π_ref − log π                         k3, arXiv 2402.03300, Eq. 4
 *     loss   = aggregate(policy + klWeight·kl)
 *
 * - Unequal clip bounds: DAPO ("clip-higher"), arXiv 2503.14476, Eq. 10.
 * - w(r) = r, unless `importanceCap` c is set: then w(r) = r up to c and c·(1 + ln(r/c)) above it, whose
 *   gradient with respect to log π is min(r, c): the truncated importance weight of IMPALA (arXiv 1802.01561,
 *   section 4.1). It bounds what one stale token can do where the clip does not, that is for A < 0.
 * - Old log-probabilities are the sampler's own, so r corrects for stale weights and for differences between
 *   sampling and training engines alike.
 *
 * Where we differ from all: d and q are held within ±20 (no gradient beyond), so that no sum overflows.
 */
import { invalid } from "../core/errors.js";

export interface GrpoLossOptions {
  /** The ratio is clipped from below at 1 − clipLow; 0..1. */
  clipLow: number;
  /** The ratio is clipped from above at 1 + clipHigh; at least 0. */
  clipHigh: number;
  /** β, the weight of the KL term; 0 switches it off. */
  klWeight: number;
  /**
   * How tokens are averaged. `sequence`: mean over a sequence's tokens, then over sequences (GRPO, arXiv
   * 2402.03300). `token`: mean over all tokens (DAPO, arXiv 2503.14476). `constant`: sum over all tokens
   * divided by sequences × maxTokens, so that length has no influence on a token's weight (Dr. GRPO, arXiv
   * 2503.20783).
   */
  aggregation: "token" | "sequence" | "constant";
  /** Upper bound of a token's importance weight, at least 1 + clipHigh (below, the clip acts); null: none. */
  importanceCap: number | null;
  /** Needed by `constant`: the bound of a response's length, in tokens. */
  maxTokens?: number;
}

export interface GrpoLossInput {
  /** Per sequence, one per target token: log-probabilities under the weights in training. */
  logprobs: readonly Float32Array[];
  /** The same tokens under the sampler's weights, as it reported them. */
  oldLogprobs: readonly ArrayLike<number>[];
  /** The same tokens under the reference weights; may be null when klWeight is 0. */
  refLogprobs: readonly ArrayLike<number>[] | null;
  /** One per sequence. */
  advantages: readonly number[];
}

export interface GrpoLoss {
  loss: number;
  /** ∂loss/∂logprobs, shaped like `logprobs`. */
  dLogprobs: Float32Array[];
  metrics: GrpoLossMetrics;
}

/** A type, not an interface, so that it can stand where any record of numbers is taken. */
export type GrpoLossMetrics = {
  loss: number;
  /** The loss without the KL term. */
  policy_loss: number;
  /** Mean k3 estimate of KL(π‖π_ref) per token, in nats; 0 without a reference. */
  kl: number;
  /** Mean k3 estimate of KL(π_old‖π) per token, in nats: how far this step's weights are from the sampler's. */
  old_kl: number;
  /** Share of tokens whose policy gradient the clip cut off, and its two parts. */
  clip_fraction: number;
  clip_low_fraction: number;
  clip_high_fraction: number;
  /** Share of tokens above the importance cap. */
  truncated_fraction: number;
  ratio_mean: number;
  ratio_max: number;
  tokens: number;
  sequences: number;
};

/** Throws `invalid_argument` for shapes that do not match and for numbers that are not finite. */
export function grpoLoss(input: GrpoLossInput, options: GrpoLossOptions): GrpoLoss {
  checkOptions(options, input.refLogprobs !== null);
  checkShapes(input);
  const weights = tokenWeights(
    input.logprobs.map((each) => each.length),
    options,
  );
  const sums = { policy: 0, kl: 0, klMean: 0, oldKl: 0, low: 0, high: 0, truncated: 0, ratio: 0 };
  let ratioMax = 0;
  let tokens = 0;
  const dLogprobs = input.logprobs.map((logprobs, sequence) => {
    const weight = weights[sequence] as number;
    const advantage = input.advantages[sequence] as number;
    const old = input.oldLogprobs[sequence] as ArrayLike<number>;
    const reference = input.refLogprobs?.[sequence];
    tokens += logprobs.length;
    return logprobs.map((logprob, index) => {
      const policy = policyTerm(logprob - (old[index] as number), advantage, options);
      sums.policy += weight * policy.loss;
      if (policy.clipped === "low") sums.low++;
      if (policy.clipped === "high") sums.high++;
      if (policy.truncated) sums.truncated++;
      sums.ratio += policy.ratio;
      ratioMax = Math.max(ratioMax, policy.ratio);
      sums.oldKl += k3(logprob - (old[index] as number)).value;
      if (reference === undefined) return weight * policy.gradient;
      const kl = k3((reference[index] as number) - logprob);
      sums.kl += weight * kl.value;
      sums.klMean += kl.value;
      // ∂q/∂log π = −1.
      return weight * (policy.gradient - options.klWeight * kl.slope);
    });
  });
  const loss = sums.policy + options.klWeight * sums.kl;
  const per = (sum: number): number => (tokens === 0 ? 0 : sum / tokens);
  return {
    loss,
    dLogprobs,
    metrics: {
      loss,
      policy_loss: sums.policy,
      kl: per(sums.klMean),
      old_kl: per(sums.oldKl),
      clip_fraction: per(sums.low + sums.high),
      clip_low_fraction: per(sums.low),
      clip_high_fraction: per(sums.high),
      truncated_fraction: per(sums.truncated),
      ratio_mean: per(sums.ratio),
      ratio_max: ratioMax,
      tokens,
      sequences: input.logprobs.length,
    },
  };
}

const largestLogRatio = 20;

interface PolicyTerm {
  loss: number;
  /** With respect to log π. */
  gradient: number;
  ratio: number;
  clipped: "low" | "high" | null;
  truncated: boolean;
}

function policyTerm(difference: number, advantage: number, options: GrpoLossOptions): PolicyTerm {
  const logRatio = Math.min(largestLogRatio, Math.max(-largestLogRatio, difference));
  const ratio = Math.exp(logRatio);
  const cap = options.importanceCap;
  const truncated = cap !== null && ratio > cap;
  const weight = truncated ? cap * (1 + logRatio - Math.log(cap)) : ratio;
  const slope = truncated ? cap : ratio;
  const bounded = Math.min(1 + options.clipHigh, Math.max(1 - options.clipLow, ratio));
  const free = weight * advantage;
  const held = bounded * advantage;
  if (held < free) {
    return { loss: -held, gradient: 0, ratio, clipped: ratio > bounded ? "high" : "low", truncated };
  }
  const outside = logRatio !== difference;
  return { loss: -free, gradient: outside ? 0 : -advantage * slope, ratio, clipped: null, truncated };
}

/** e^x − x − 1 and its derivative. */
function k3(difference: number): { value: number; slope: number } {
  const x = Math.min(largestLogRatio, Math.max(-largestLogRatio, difference));
  const grown = Math.expm1(x);
  return { value: grown - x, slope: x === difference ? grown : 0 };
}

/** What one token of each sequence counts in the loss. Sequences without tokens do not count. */
function tokenWeights(lengths: readonly number[], options: GrpoLossOptions): number[] {
  const filled = lengths.filter((length) => length > 0).length;
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  return lengths.map((length) => {
    if (length === 0) return 0;
    if (options.aggregation === "sequence") return 1 / (filled * length);
    if (options.aggregation === "token") return 1 / tokens;
    return 1 / (filled * (options.maxTokens as number));
  });
}

function checkOptions(options: GrpoLossOptions, hasReference: boolean): void {
  const { clipLow, clipHigh, klWeight, importanceCap, maxTokens } = options;
  if (!(clipLow >= 0 && clipLow <= 1)) throw invalid("clipLow", `must be within 0 to 1, got ${clipLow}`);
  if (!(clipHigh >= 0 && clipHigh < Infinity))
    throw invalid("clipHigh", `must be at least 0, got ${clipHigh}`);
  if (!(klWeight >= 0 && klWeight < Infinity))
    throw invalid("klWeight", `must be at least 0, got ${klWeight}`);
  if (klWeight > 0 && !hasReference) throw invalid("refLogprobs", "a klWeight above 0 needs a reference");
  if (importanceCap !== null && !(importanceCap >= 1 + clipHigh && importanceCap < Infinity)) {
    const problem = `must be at least 1 + clipHigh (${1 + clipHigh}), or null for none, got ${importanceCap}`;
    throw invalid("importanceCap", problem);
  }
  if (options.aggregation === "constant" && !(maxTokens !== undefined && maxTokens >= 1)) {
    throw invalid("maxTokens", "the constant aggregation needs the bound of a response's length, at least 1");
  }
}

function checkShapes({ logprobs, oldLogprobs, refLogprobs, advantages }: GrpoLossInput): void {
  const count = logprobs.length;
  const lists = { oldLogprobs, ...(refLogprobs === null ? {} : { refLogprobs }) };
  if (advantages.length !== count) throw invalid("advantages", `${advantages.length} for ${count} sequences`);
  const wrong = advantages.findIndex((advantage) => !Number.isFinite(advantage));
  if (wrong >= 0) throw invalid(`advantages[${wrong}]`, `${advantages[wrong]} is not a finite number`);
  for (const [sequence, values] of logprobs.entries()) checkFinite(`logprobs[${sequence}]`, values);
  for (const [name, list] of Object.entries(lists)) {
    if (list.length !== count) throw invalid(name, `${list.length} for ${count} sequences`);
    list.forEach((values, sequence) => {
      const tokens = (logprobs[sequence] as Float32Array).length;
      if (values.length !== tokens) {
        throw invalid(`${name}[${sequence}]`, `${values.length} values for ${tokens} tokens`);
      }
      checkFinite(`${name}[${sequence}]`, values);
    });
  }
}

function checkFinite(field: string, values: ArrayLike<number>): void {
  for (let index = 0; index < values.length; index++) {
    if (!Number.isFinite(values[index])) {
      throw invalid(`${field}[${index}]`, `${values[index]} is not a finite number`);
    }
  }
}
