/**
 * What a learner does with the groups of a step: reinforcement (GRPO), or imitation of what was right (rejective
 * fine-tuning).
 */
import { CovoteError } from "../../lib/core/errors.js";
import type { DropReason, LedgerBalance } from "../../lib/grpo/ledger.js";
import type { GrpoLossOptions } from "../../lib/grpo/loss.js";
import type { StepOptions, StepReport, TrainedSequence, Trainer } from "../../lib/trainer/trainer.js";
import type { Experience } from "../../lib/wire/gen/covote/v1/policy.js";
import type { GroupMetrics } from "./group-metrics.js";
import { type RejectionBatchOptions, rejectionBatch } from "./rejection-batch.js";
import { trainingBatch } from "./training-batch.js";

export interface LearningMethod {
  /**
   * Whether the samplers go on with the weights that the run began with (arXiv 2504.02495: the judgments that are
   * imitated all come from one model). Nothing is stale then.
   */
  readonly frozen: boolean;
  /** `step`: optimiser steps taken so far. */
  prepare(groups: readonly Experience[], step: number): PreparedStep;
  /** After each step; throws when the run has taught nothing and will teach nothing. */
  check(balance: LedgerBalance, at: RunPosition): void;
}

export interface RunPosition {
  /** The last step is taken. */
  isEnd: boolean;
  /** Groups after which each item of the data was asked about once; Infinity when nobody knows. */
  round: number;
  /** Sums of the last steps' metrics. */
  totals: Readonly<Record<string, number>>;
}

export interface PreparedStep {
  /** One per group: why it is not trained on, or null. */
  dropped: (DropReason | null)[];
  metrics: GroupMetrics;
  /** Null: there is nothing to train on. */
  train: ((trainer: Trainer, options: StepOptions) => Promise<StepReport>) | null;
}

export interface GrpoOptions {
  maxStaleness: number;
  normalise: "std" | "none";
  loss: GrpoLossOptions;
}

export function grpo({ maxStaleness, normalise, loss }: GrpoOptions): LearningMethod {
  return {
    frozen: false,
    prepare: (groups, step) => {
      const { batch, dropped, metrics } = trainingBatch(groups, { version: step, maxStaleness, normalise });
      const train: PreparedStep["train"] = (trainer, options) => trainer.stepGrpo(batch, loss, options);
      return { dropped, metrics, train: batch.sequences.length === 0 ? null : train };
    },
    check: () => undefined,
  };
}

/** Supervised examples beside the judgments that are imitated. */
export interface Corpus {
  /** `count` examples for the step; the same whenever it is asked. */
  draw(step: number, count: number): TrainedSequence[];
}

export interface RejectiveOptions extends RejectionBatchOptions {
  /** With its share of each batch's sequences, 0 up to but not 1. */
  corpus?: { examples: Corpus; share: number };
}

export function rejectiveFineTuning({ corpus, ...selection }: RejectiveOptions = {}): LearningMethod {
  return {
    frozen: true,
    prepare: (groups, step) => {
      const { sequences, dropped, metrics } = rejectionBatch(groups, selection);
      // A corpus alone would teach, and pass for a run that has learned from its own judgments.
      if (sequences.length === 0) return { dropped, metrics, train: null };
      const mixed = corpus === undefined ? 0 : corpusCount(sequences.length, corpus.share);
      const batch = [...sequences, ...(corpus?.examples.draw(step, mixed) ?? [])];
      return {
        dropped,
        metrics: corpus === undefined ? metrics : { ...metrics, rft_corpus: mixed },
        train: (trainer, options) => trainer.stepSupervised(batch, options),
      };
    },
    check: ({ trained, dropped }, { isEnd, round, totals }) => {
      if (trained > 0 || !(isEnd || dropped.rejected >= round)) return;
      const groups = `${dropped.rejected + dropped.null} groups: ${dropped.rejected} rejected, ${dropped.null} without a judgment`;
      const of = (name: string): number => (totals[`rft_${name}`] ?? 0) + (totals[`rft_hinted_${name}`] ?? 0);
      const found = reasons.filter((name) => of(name) > 0);
      const judgments = found.map((name) => `${of(name)} ${name.replaceAll("_", " ")}`).join(", ");
      throw new CovoteError(
        "invalid_argument",
        `training.prompts: nothing is left to learn from after rejection (${groups}; ` +
          `of the last ${of("sampled")} judgments ${judgments || "none"}); the model was not trained`,
        { field: "training.prompts" },
      );
    },
  };
}

const reasons = ["wrong", "tied", "unparsable", "too_easy"] as const;

/** Examples beside `kept` judgments, so that they are `share` of both together. */
export function corpusCount(kept: number, share: number): number {
  return Math.round((kept * share) / (1 - share));
}
