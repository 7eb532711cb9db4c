/**
 * The embedded trainer of scalar models: a small Llama, made of a language model or gone on with, in worker threads.
 */
import { CovoteError, invalid } from "../core/errors.js";
import { type Checkpoint, saveCheckpoint } from "../llama/checkpoint.js";
import { layoutOf } from "../llama/layout.js";
import { binaryCrossEntropy, bradleyTerry } from "../llama/losses.js";
import { scalarStart } from "../llama/scalar-start.js";
import { createLlamaTraining } from "../llama/training.js";
import { restoreTraining, saveTraining } from "./llama-state.js";
import type { RatedSequence, ScalarTrainer } from "./scalar.js";
import type { StepOptions, StepReport } from "./trainer.js";

export interface LlamaScalarTrainerOptions {
  /** With a scalar head it is gone on with; a language model is given one. */
  checkpoint: Checkpoint;
  /** Layers put on top of a language model's. */
  extraLayers: number;
  /** Of the new weights, 32-bit unsigned. */
  seed: number;
  /** Worker threads; results do not depend on it. */
  threads: number;
}

export function openLlamaScalarTrainer(options: LlamaScalarTrainerOptions): ScalarTrainer {
  const { checkpoint, threads } = options;
  const start = checkpoint.config.head === "scalar" ? checkpoint : scalarStart(checkpoint, options);
  const { config } = start;
  const training = createLlamaTraining({ config, weights: start.weights, threads });
  let step = 0;

  const apply = async (
    { learningRate, maxGradNorm, weightDecay = 0 }: StepOptions & { weightDecay?: number },
    metrics: Record<string, number>,
  ): Promise<StepReport> => {
    const applied = await training.apply({
      learningRate,
      clip: maxGradNorm,
      weightDecay,
      beta2: scalarBeta2,
    });
    step = applied.step;
    return { step, metrics: { ...metrics, grad_norm: applied.gradNorm } };
  };

  return {
    parameters: training.parameters,
    maxPositions: config.maxPositions,
    step: () => step,
    stepBinary: async (batch, options) => {
      const { outputs } = await training.forward(
        batch.map(({ tokenIds, readings }) => {
          const targets = new Uint8Array(tokenIds.length);
          for (const { at } of readings) targets[at] = 1;
          targets[tokenIds.length - 1] = 1;
          return { tokens: tokenIds, targets };
        }),
      );
      const { coefficients, metrics } = scalarLoss(batch, outputs);
      await training.backward(coefficients);
      return apply(options, metrics);
    },
    stepPreference: async ({ sequences, pairs }, options) => {
      const { outputs } = await training.forward(sequences.map((tokens) => ({ tokens })));
      const scores = outputs.map((output) => output[0] as number);
      const { loss, accuracy, coefficients } = bradleyTerry(scores, pairs);
      await training.backward(coefficients.map((coefficient) => [coefficient]));
      return apply(options, { loss, accuracy });
    },
    score: async (sequences) => {
      const { outputs } = await training.evaluate(sequences.map((tokens) => ({ tokens })));
      return outputs.map((output) => output[0] as number);
    },
    scaleHead: async (factor) => {
      if (!(factor > 0 && factor < Infinity)) throw invalid("factor", `must be above 0, got ${factor}`);
      const weights = await training.weights();
      const head = layoutOf(config).byName.get("score.weight");
      if (head === undefined) throw new CovoteError("internal", "a scalar model without a head");
      for (let i = head.offset; i < head.offset + head.size; i++)
        weights[i] = (weights[i] as number) * factor;
      await training.load(weights);
    },
    export: async (folder, metadata = {}) => {
      const weights = await training.weights();
      const steps = { step: String(step), ...metadata };
      await saveCheckpoint(folder, { ...checkpoint, config, weights }, { dtype: "float32", metadata: steps });
    },
    save: (folder) => saveTraining(training, folder),
    restore: async (folder) => {
      step = await restoreTraining(training, folder);
    },
    close: () => training.close(),
  };
}

/** One bit per judgment makes noisy gradients: their squares are averaged for longer than a language model's. */
const scalarBeta2 = 0.98;

/** `outputs[i][t]`: the head after token t of sequence i. Coefficients in the same shape. Pure. */
export function scalarLoss(
  batch: readonly RatedSequence[],
  outputs: readonly ArrayLike<number>[],
): { coefficients: Float32Array[]; metrics: Record<string, number> } {
  const output = (i: number, t: number): number => outputs[i]?.[t] as number;
  const last = binaryCrossEntropy(
    batch.map(({ tokenIds }, i) => output(i, tokenIds.length - 1)),
    batch.map(({ target }) => target),
  );
  let readingsLoss = 0;
  const coefficients = batch.map(({ tokenIds, readings }, i) => {
    const row = new Float32Array(tokenIds.length);
    row[tokenIds.length - 1] = last.coefficients[i] as number;
    for (const { at, value, weight } of readings) {
      const distance = output(i, at) - value;
      const share = weight / batch.length;
      readingsLoss += 0.5 * share * distance * distance;
      row[at] = (row[at] as number) + share * distance;
    }
    return row;
  });
  const loss = last.loss + readingsLoss;
  return { coefficients, metrics: { loss, accuracy: last.accuracy, readings_loss: readingsLoss } };
}
