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
import type { RatedSequence, ScalarLoss, ScalarTrainer } from "./scalar.js";
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
    stepBinary: async (batch, loss, options) => {
      const { outputs } = await training.forward(
        batch.map(({ tokenIds, firstRead }) => ({
          tokens: tokenIds,
          targets: Uint8Array.from(tokenIds, (_, t) => (t >= firstRead ? 1 : 0)),
        })),
      );
      const { coefficients, metrics } = scalarLoss(batch, outputs, loss);
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
  weights: ScalarLoss,
): { coefficients: Float32Array[]; metrics: Record<string, number> } {
  const coefficients = batch.map(({ tokenIds }) => new Float32Array(tokenIds.length));
  const add = (i: number, t: number, value: number): void => {
    const row = coefficients[i] as Float32Array;
    row[t] = (row[t] as number) + value;
  };
  const output = (i: number, t: number): number => outputs[i]?.[t] as number;
  const targets = batch.map(({ target }) => target);

  const ends = batch.map(({ tokenIds }) => tokenIds.length - 1);
  const last = binaryCrossEntropy(
    ends.map((t, i) => output(i, t)),
    targets,
  );
  ends.forEach((t, i) => {
    add(i, t, weights.last * (last.coefficients[i] as number));
  });
  let loss = weights.last * last.loss;

  if (weights.every > 0) {
    // Each sequence counts the same, however long its judgment is.
    const reads = batch.flatMap(({ firstRead, tokenIds }, i) =>
      Array.from({ length: tokenIds.length - firstRead }, (_, k) => ({
        i,
        t: firstRead + k,
        weight: 1 / (tokenIds.length - firstRead),
      })),
    );
    const every = binaryCrossEntropy(
      reads.map(({ i, t }) => output(i, t)),
      reads.map(({ i }) => targets[i] as number),
      reads.map(({ weight }) => weight),
    );
    reads.forEach(({ i, t }, r) => {
      add(i, t, weights.every * (every.coefficients[r] as number));
    });
    loss += weights.every * every.loss;
  }

  let likelihood = 0;
  const told = weights.likelihood > 0 ? batch.filter(({ logprobs }) => logprobs !== null).length : 0;
  batch.forEach(({ firstRead, logprobs, tokenIds }, i) => {
    if (told === 0 || logprobs === null) return;
    // After the last token the head answers for the whole.
    const count = Math.min(logprobs.length, tokenIds.length - 1 - firstRead);
    const share = 1 / (told * count);
    for (let k = 0; k < count; k++) {
      const distance = output(i, firstRead + k) - (logprobs[k] as number);
      likelihood += 0.5 * share * distance * distance;
      add(i, firstRead + k, weights.likelihood * share * distance);
    }
  });
  loss += weights.likelihood * likelihood;
  return { coefficients, metrics: { loss, accuracy: last.accuracy, likelihood_loss: likelihood } };
}
