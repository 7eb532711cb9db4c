/**
 * How the postcards GRM is made: supervised on annotated panels, in four stages.
 *
 * 1. Panels of one response, then of two: which word of the critique is about what, without the question of
 *    which response is meant.
 * 2. Panels of one to four by writers without vices: the rules.
 * 3. Writers of all kinds: what breaks the rules in less obvious ways.
 * 4. The same, and the annotator slips: the model learns to be unsure, so that its votes at temperature 1 scatter around
 *    the truth and several of them know more than one. Slips from the beginning would hide the rules.
 */
import { createRandom, seedFrom } from "../../lib/core/random.js";
import { initialWeights } from "../../lib/llama/initial-weights.js";
import type { LlamaTokenizer } from "../../lib/llama/tokenizer.js";
import { createLlamaTraining } from "../../lib/llama/training.js";
import { createPanelStream } from "../../worlds/postcards/corpora.js";
import { annotate, noSlips, type Slips } from "../../worlds/postcards/judgment.js";
import { annotatorSlips } from "../../worlds/postcards/slips.js";
import { grmConfig } from "./postcards-checkpoint.js";
import { judgmentExample } from "./postcards-examples.js";
import { type SupervisedProgress, trainSupervised } from "./supervised.js";

export interface GrmRecipe {
  steps: number;
  /** Panels per step. */
  batch: number;
  /** Steps after which the first and the second stage end, and the length of the last one. */
  startingSteps: number;
  plainSteps: number;
  slippingSteps: number;
  slips: Slips;
}

export const grmRecipe: GrmRecipe = {
  steps: 4800,
  batch: 32,
  startingSteps: 300,
  plainSteps: 2000,
  slippingSteps: 900,
  slips: annotatorSlips,
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
    one: createPanelStream(seedFrom("grm one", seed), "train", { size: () => 1, vices: false }),
    two: createPanelStream(seedFrom("grm two", seed), "train", { size: () => 2, vices: false }),
    plain: createPanelStream(seedFrom("grm plain", seed), "train", { vices: false }),
    all: createPanelStream(seedFrom("grm all", seed), "train"),
  };
  const streamAt = (step: number): (typeof streams)["all"] => {
    if (step < recipe.startingSteps / 2) return streams.one;
    if (step < recipe.startingSteps) return streams.two;
    return step < recipe.plainSteps ? streams.plain : streams.all;
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
