/**
 * The supervised loop behind the checkpoints that `covote models train` makes: AdamW on weighted
 * cross-entropy, learning rate with a short rise and a linear fall.
 *
 * Same examples, same settings, same bytes: nothing depends on the number of threads or on the clock.
 */
import { crossEntropyCoefficients, crossEntropyLoss } from "../../lib/llama/losses.js";
import type { LlamaTraining } from "../../lib/llama/training.js";

/** A sequence with one weight per token; 0 leaves a token out of the loss. */
export interface Example {
  tokens: readonly number[];
  weights: readonly number[];
}

export interface SupervisedOptions {
  steps: number;
  /** Sequences per step. */
  batch: number;
  /** Highest learning rate; reached after `warmup` steps, then falling in a line to a fiftieth. */
  learningRate: number;
  warmup: number;
  weightDecay: number;
  beta2: number;
}

export interface SupervisedProgress {
  /** Steps done, 1 … steps. */
  step: number;
  steps: number;
  /** Mean loss per unit of weight, smoothed over some twenty steps. */
  loss: number;
  /** Tokens seen so far. */
  tokens: number;
}

export async function trainSupervised(
  training: LlamaTraining,
  draw: (step: number) => Example,
  options: SupervisedOptions,
  onStep?: (progress: SupervisedProgress) => void | Promise<void>,
): Promise<{ tokens: number; loss: number }> {
  const { steps } = options;
  let tokens = 0;
  let loss = Number.NaN;
  for (let step = 0; step < steps; step++) {
    const examples = Array.from({ length: options.batch }, () => draw(step));
    const { coefficients } = crossEntropyCoefficients(examples.map((example) => example.weights));
    const { outputs } = await training.accumulate(
      examples.map((example) => ({ tokens: example.tokens, targets: example.weights })),
      coefficients,
    );
    await training.apply({
      learningRate: learningRate(step, options),
      weightDecay: options.weightDecay,
      beta2: options.beta2,
    });
    const now = crossEntropyLoss(coefficients, outputs);
    loss = Number.isNaN(loss) ? now : 0.95 * loss + 0.05 * now;
    for (const example of examples) tokens += example.tokens.length;
    await onStep?.({ step: step + 1, steps, loss, tokens });
  }
  return { tokens, loss };
}

function learningRate(step: number, options: SupervisedOptions): number {
  const rise = Math.min(1, (step + 1) / options.warmup);
  const fall = 1 - 0.98 * (step / options.steps);
  return options.learningRate * rise * fall;
}
