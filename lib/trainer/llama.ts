/**
 * The embedded trainer: a small Llama from a checkpoint folder, trained in worker threads.
 *
 * The reference of the KL term is the checkpoint that it was opened with, also after `restore`.
 */
import { invalid } from "../core/errors.js";
import { grpoLoss } from "../grpo/loss.js";
import type { ForwardResult } from "../llama/batch.js";
import { type Checkpoint, openCheckpoint, saveCheckpoint } from "../llama/checkpoint.js";
import { crossEntropyCoefficients, crossEntropyLoss } from "../llama/losses.js";
import type { TrainingSequence } from "../llama/shards.js";
import { createLlamaTraining } from "../llama/training.js";
import { encodeWeights } from "../llama/weights.js";
import { restoreTraining, saveTraining } from "./llama-state.js";
import type { StepOptions, StepReport, TrainedSequence, Trainer } from "./trainer.js";

export interface LlamaTrainerOptions {
  /** Folder of a Hugging Face checkpoint of a language model. */
  checkpoint: string;
  /** Worker threads; results do not depend on it. */
  threads: number;
  /** Temperature that responses are sampled at: log-probabilities are taken at the same. Default 1. */
  temperature?: number;
  /** Decoupled weight decay. Default 0. */
  weightDecay?: number;
}

export async function openLlamaTrainer(options: LlamaTrainerOptions): Promise<Trainer> {
  const { temperature = 1, weightDecay = 0, threads } = options;
  const start = await openCheckpoint(options.checkpoint);
  const { config } = start;
  if (config.head !== "lm")
    throw invalid(options.checkpoint, "has a scalar head; GRPO trains a language model");
  const training = createLlamaTraining({ config, weights: start.weights, threads });
  const reference = createLlamaTraining({ config, weights: start.weights, threads });
  let step = 0;

  const apply = async (
    { learningRate, maxGradNorm }: StepOptions,
    metrics: Record<string, number>,
  ): Promise<StepReport> => {
    const applied = await training.apply({ learningRate, clip: maxGradNorm, weightDecay });
    step = applied.step;
    return { step, metrics: { ...metrics, grad_norm: applied.gradNorm } };
  };
  const weightsOf = async (): Promise<Uint8Array> =>
    encodeWeights(config, await training.weights(), { dtype: "float32" });

  return {
    parameters: training.parameters,
    step: () => step,
    stepGrpo: async (batch, loss, stepOptions) => {
      const sequences = batch.sequences.map(toTraining);
      const needsReference = loss.klWeight > 0;
      const refLogprobs = needsReference
        ? targetsOf(batch.sequences, (await reference.evaluate(sequences, { temperature })).outputs)
        : null;
      const forward = await training.forward(sequences, { temperature, entropies: true });
      const result = grpoLoss(
        {
          logprobs: targetsOf(batch.sequences, forward.outputs),
          oldLogprobs: batch.oldLogprobs,
          refLogprobs,
          advantages: batch.advantages,
        },
        loss,
      );
      await training.backward(result.dLogprobs.map((gradient, i) => padded(batch.sequences[i], gradient)));
      return apply(stepOptions, { ...result.metrics, entropy: meanEntropy(batch.sequences, forward) });
    },
    stepSupervised: async (sequences, stepOptions) => {
      const weights = sequences.map(({ tokenIds, firstTarget, weights: given }) =>
        Float32Array.from(tokenIds, (_, i) => (i < firstTarget ? 0 : (given?.[i - firstTarget] ?? 1))),
      );
      const { coefficients } = crossEntropyCoefficients(weights);
      const { outputs } = await training.accumulate(sequences.map(toTraining), coefficients);
      return apply(stepOptions, { loss: crossEntropyLoss(coefficients, outputs) });
    },
    weights: weightsOf,
    initialWeights: async () => encodeWeights(config, start.weights, { dtype: "float32" }),
    export: async (folder) => {
      const checkpoint: Checkpoint = { ...start, weights: await training.weights() };
      await saveCheckpoint(folder, checkpoint, { dtype: "float32", metadata: { step: String(step) } });
    },
    save: (folder) => saveTraining(training, folder),
    restore: async (folder) => {
      step = await restoreTraining(training, folder);
    },
    close: async () => {
      await Promise.all([training.close(), reference.close()]);
    },
  };
}

function toTraining({ tokenIds, firstTarget }: TrainedSequence): TrainingSequence {
  return { tokens: tokenIds, targets: Uint8Array.from(tokenIds, (_, i) => (i >= firstTarget ? 1 : 0)) };
}

/** The part of each sequence's values that belongs to its targets. */
function targetsOf(sequences: readonly TrainedSequence[], values: readonly Float32Array[]): Float32Array[] {
  return values.map((row, i) => row.subarray(sequences[i]?.firstTarget ?? 0));
}

/** Values of targets, with zeros where the prompt stands. */
function padded(sequence: TrainedSequence | undefined, values: Float32Array): Float32Array {
  const row = new Float32Array(sequence?.tokenIds.length ?? values.length);
  row.set(values, row.length - values.length);
  return row;
}

/** Mean entropy per target, in nats. */
function meanEntropy(sequences: readonly TrainedSequence[], forward: ForwardResult): number {
  const rows = targetsOf(sequences, forward.entropies ?? []);
  const count = rows.reduce((total, row) => total + row.length, 0);
  const sum = rows.reduce((total, row) => total + row.reduce((a, b) => a + b, 0), 0);
  return count === 0 ? 0 : sum / count;
}
