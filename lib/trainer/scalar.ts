/**
 * A trainer of models with a scalar head: binary cross-entropy on whether a judgment is right, or the Bradley-Terry loss
 * on which of two sequences is better.
 */
import type { StepOptions, StepReport } from "./trainer.js";

export interface RatedSequence {
  /** The conversation with the judgment; the head is read after its last token, as a served model is. */
  tokenIds: ArrayLike<number>;
  /** Index of the judgment's first token. */
  firstRead: number;
  /** Chance that the judgment is right, 0..1: a label is 0 or 1. */
  target: number;
  /**
   * What the author of the judgment gave each of its tokens, as natural logarithms; null when that is not known.
   * One for each of the first tokens from `firstRead` on; the sequence may be longer.
   */
  logprobs: ArrayLike<number> | null;
}

export interface ScalarLoss {
  /** Weight of the cross-entropy after the last token. */
  last: number;
  /** Weight of the mean cross-entropy after each token of the judgment, with the same target; 0 is none. */
  every: number;
  /**
   * Weight of half the squared distance between the head after each token but the last and that token's
   * log-probability: what the model finds out about single tokens there, it can add up later. Only sequences that
   * have log-probabilities count. 0 is none.
   */
  likelihood: number;
}

export interface PreferenceBatch {
  sequences: readonly ArrayLike<number>[];
  /** At least one. */
  pairs: readonly { better: number; worse: number }[];
}

export interface ScalarTrainer {
  readonly parameters: number;
  /** Longest sequence. */
  readonly maxPositions: number;
  step(): number;
  /** One optimiser step. Metrics: `loss`, `accuracy` (at 0, after the last token), `likelihood_loss`, `grad_norm`. */
  stepBinary(
    batch: readonly RatedSequence[],
    loss: ScalarLoss,
    options: StepOptions & { weightDecay?: number },
  ): Promise<StepReport>;
  /**
   * One optimiser step with the Bradley-Terry loss on the head after the last token of each sequence; pairs are
   * indices of sequences. Metrics: `loss`, `accuracy` (pairs in the right order), `grad_norm`.
   */
  stepPreference(
    batch: PreferenceBatch,
    options: StepOptions & { weightDecay?: number },
  ): Promise<StepReport>;
  /** The head after the last token of each sequence. */
  score(sequences: readonly ArrayLike<number>[]): Promise<number[]>;
  /** Multiplies what the head says by a factor above 0; nothing else changes. */
  scaleHead(factor: number): Promise<void>;
  /** Writes a Hugging Face checkpoint of the current weights; atomic. */
  export(folder: string, metadata?: Readonly<Record<string, string>>): Promise<void>;
  /** Writes weights, optimiser state and step so that `restore` continues bit for bit. */
  save(folder: string): Promise<void>;
  restore(folder: string): Promise<void>;
  close(): Promise<void>;
}
