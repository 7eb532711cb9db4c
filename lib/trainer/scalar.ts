/**
 * A trainer of models with a scalar head: binary cross-entropy on whether a judgment is right, or the Bradley-Terry loss
 * on which of two sequences is better.
 */
import type { StepOptions, StepReport } from "./trainer.js";

export interface RatedSequence {
  /** The conversation with the judgment; the head is read after its last token, as a served model is. */
  tokenIds: ArrayLike<number>;
  /** Chance that the judgment is right, 0..1: a label is 0 or 1. */
  target: number;
  /**
   * What the head should say after tokens on the way: what a model finds out about parts of a judgment, it can add
   * up at the end. Half the squared distance, times `weight`, counts beside the cross-entropy.
   */
  readings: readonly Reading[];
}

export interface Reading {
  /** Index of a token before the last. */
  at: number;
  value: number;
  weight: number;
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
  /** One optimiser step. Metrics: `loss`, `accuracy` (at 0, after the last token), `readings_loss`, `grad_norm`. */
  stepBinary(
    batch: readonly RatedSequence[],
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
