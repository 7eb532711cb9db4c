/** How the postcards policy is made: it imitates a careless writer, and is as careless as he is. */
import { seedFrom } from "../../lib/core/random.js";
import { initialWeights } from "../../lib/llama/initial-weights.js";
import type { LlamaTokenizer } from "../../lib/llama/tokenizer.js";
import { createLlamaTraining } from "../../lib/llama/training.js";
import { createCardStream } from "../../worlds/postcards/corpora.js";
import { policyConfig } from "./postcards-checkpoint.js";
import { cardExample } from "./postcards-examples.js";
import { type SupervisedProgress, trainSupervised } from "./supervised.js";

export const policySteps = 2000;

export async function trainPolicy(
  seed: number,
  tokenizer: LlamaTokenizer,
  threads: number,
  onStep: (progress: SupervisedProgress) => void,
  steps = policySteps,
): Promise<Float32Array> {
  const draw = createCardStream(seedFrom("policy", seed));
  await using training = createLlamaTraining({
    config: policyConfig,
    weights: initialWeights(policyConfig, seedFrom("policy weights", seed)),
    threads,
  });
  await trainSupervised(
    training,
    () => cardExample(draw(), tokenizer),
    { steps, batch: 64, learningRate: 3e-3, warmup: 50, weightDecay: 0.01, beta2: 0.98 },
    onStep,
  );
  return training.weights();
}
