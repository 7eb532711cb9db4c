/**
 * How the postcards GRM is made: supervised on annotated panels, in three stages.
 *
 * 1. Panels of one response, then of two: which word of the critique is about what, without the question of
 *    which response is meant.
 * 2. Panels of one to four, annotated without a slip: the rules.
 * 3. The same with slips: the model learns to be unsure, so that its votes at temperature 1 scatter around
 *    the truth and several of them know more than one. Slips from the beginning would hide the rules.
 */
import { createRandom, seedFrom } from "../../lib/core/random.js";
import { initialWeights } from "../../lib/llama/initial-weights.js";
import type { LlamaTokenizer } from "../../lib/llama/tokenizer.js";
import { createLlamaTraining } from "../../lib/llama/training.js";
import { createPanelStream } from "../../worlds/postcards/corpora.js";
import { annotate, noSlips, type Slips } from "../../worlds/postcards/judgment.js";
import { grmConfig } from "./postcards-checkpoint.js";
import { judgmentExample } from "./postcards-examples.js";
import { type SupervisedProgress, trainSupervised } from "./supervised.js";

export interface GrmRecipe {
  steps: number;
  /** Panels per step. */
  batch: number;
  /** Steps of the first stage, and of the third, at the end. */
  startingSteps: number;
  slippingSteps: number;
  slips: Slips;
}

export const grmRecipe: GrmRecipe = {
  steps: 3600,
  batch: 32,
  startingSteps: 300,
  slippingSteps: 800,
  slips: { verdict: 0.15, weight: 0.08 },
};

export async function trainGrm(
  seed: number,
  tokenizer: LlamaTokenizer,
  threads: number,
  onStep: (progress: SupervisedProgress) => void,
  recipe: GrmRecipe = grmRecipe,
): Promise<Float32Array> {
  const random = createRandom(seedFrom("postcards slips", seed));
  const streams = {
    one: createPanelStream(seedFrom("grm one", seed), "train", () => 1),
    two: createPanelStream(seedFrom("grm two", seed), "train", () => 2),
    mixed: createPanelStream(seedFrom("grm mixed", seed), "train"),
  };
  const streamAt = (step: number): (typeof streams)["mixed"] => {
    if (step >= recipe.startingSteps) return streams.mixed;
    return step < recipe.startingSteps / 2 ? streams.one : streams.two;
  };
  await using training = createLlamaTraining({
    config: grmConfig,
    weights: initialWeights(grmConfig, seedFrom("grm weights", seed)),
    threads,
  });
  await trainSupervised(
    training,
    (step) => {
      const panel = streamAt(step)();
      const slips = step < recipe.steps - recipe.slippingSteps ? noSlips : recipe.slips;
      return judgmentExample(panel, annotate(panel.query, panel.responses, slips, random), tokenizer);
    },
    {
      steps: recipe.steps,
      batch: recipe.batch,
      learningRate: 3e-3,
      warmup: 50,
      weightDecay: 0.05,
      beta2: 0.98,
    },
    onStep,
  );
  return training.weights();
}
