/**
 * A trainer: holds a model's weights and optimiser, and changes them one step at a time.
 *
 * The learner drives it; what to train on, and with which advantages, is decided outside.
 */
import type { GrpoLossOptions } from "../grpo/loss.js";

export interface TrainedSequence {
  /** Prompt and response. */
  tokenIds: ArrayLike<number>;
  /** Index of the first response token; it and all after it are targets. */
  firstTarget: number;
  /** How much each target counts in `stepSupervised`, one per target, 0 or more. Default: 1 each. */
  weights?: ArrayLike<number>;
}

export interface GrpoBatch {
  sequences: readonly TrainedSequence[];
  /** One per sequence. */
  advantages: readonly number[];
  /** Per sequence, one per target: the sampler's log-probabilities. */
  oldLogprobs: readonly ArrayLike<number>[];
}

export interface StepOptions {
  learningRate: number;
  /** Gradients are scaled down to this global norm. */
  maxGradNorm: number;
}

export interface StepReport {
  /** Optimiser steps taken, this one included. */
  step: number;
  /** `loss`, `grad_norm`, `kl`, `entropy`, `clip_fraction`, `ratio_mean`, `tokens` … */
  metrics: Record<string, number>;
}

export interface Trainer {
  readonly parameters: number;
  step(): number;
  /** One optimiser step with the GRPO loss against the frozen reference (the weights at the start). */
  stepGrpo(batch: GrpoBatch, loss: GrpoLossOptions, options: StepOptions): Promise<StepReport>;
  /** One optimiser step with the weighted mean of the targets' negative log-likelihoods. */
  stepSupervised(sequences: readonly TrainedSequence[], options: StepOptions): Promise<StepReport>;
  /** The current weights as safetensors bytes, ready to serve. */
  weights(): Promise<Uint8Array>;
  /** Those of the checkpoint that it was opened with, also after `restore`. */
  initialWeights(): Promise<Uint8Array>;
  /** Writes a Hugging Face checkpoint of the current weights; atomic. */
  export(folder: string): Promise<void>;
  /** Writes weights, optimiser state and step so that `restore` continues bit for bit; atomic. */
  save(folder: string): Promise<void>;
  restore(folder: string): Promise<void>;
  close(): Promise<void>;
}
