/**
 * Tokens a second of the embedded Llama on one core, sampling and training, with the model's size.
 *
 * Sampling has the load of judging postcards: four votes on each prompt. Weights are random: speed does not
 * depend on them, and without stop tokens every completion has its full length.
 */
import { createRandom } from "../lib/core/random.js";
import { openInference } from "../lib/llama/inference.js";
import { initialWeights } from "../lib/llama/initial-weights.js";
import { type Bench, figure } from "./bench.js";
import { benchTraining, config } from "./llama-training.js";

const load = { prompts: 96, promptTokens: 70, votesPerPrompt: 4, voteTokens: 44, slots: 64 };
const seconds = 5;

export const benchLlama: Bench = async (say) => {
  say(`sampling for ${seconds} s`);
  const sampled = await benchSampling();
  say(`training for ${2 * seconds} s`);
  const trained = await benchTraining({ threads: 1, seconds });
  const { parameters } = trained;
  return {
    title: `llama: ${whole(parameters)} parameters, ${config.layers} layers, d = ${config.hiddenSize}; one core`,
    figures: [
      figure("sampled tokens a second", whole(sampled)),
      figure("trained tokens a second, forward, backward, AdamW", whole(trained.train_tokens_per_s_per_core)),
      figure("evaluated tokens a second, log-probabilities", whole(trained.evaluate_tokens_per_s_per_core)),
    ],
    json: {
      llama_parameters: parameters,
      llama_layers: config.layers,
      llama_hidden_size: config.hiddenSize,
      sampling_tokens_per_s_per_core: Math.round(sampled),
      training_tokens_per_s_per_core: trained.train_tokens_per_s_per_core,
      training_gflops_per_core: Number(trained.train_gflops_per_core.toFixed(1)),
      evaluating_tokens_per_s_per_core: trained.evaluate_tokens_per_s_per_core,
    },
  };
};

/** Tokens sampled a second by one engine, which is one thread; prompts are read beside and not counted. */
async function benchSampling(): Promise<number> {
  const weights = initialWeights(config, 1);
  const inference = await openInference({ config, weights, version: "bench", slots: load.slots });
  const random = createRandom(1);
  const round = async (): Promise<number> => {
    const prompts = Array.from({ length: load.prompts }, () =>
      Array.from({ length: load.promptTokens }, () => random.below(config.vocabSize)),
    );
    const samples = await Promise.all(
      prompts.flatMap((prompt) =>
        Array.from({ length: load.votesPerPrompt }, () =>
          inference.generate({
            prompt,
            maxTokens: load.voteTokens,
            temperature: 1,
            seed: random.below(2 ** 31),
            stop: [],
          }),
        ),
      ),
    );
    return samples.reduce((sum, sample) => sum + sample.tokens.length, 0);
  };
  try {
    // The first round runs unoptimised code.
    await round();
    const startedMs = performance.now();
    let tokens = 0;
    while (performance.now() - startedMs < seconds * 1000) tokens += await round();
    return (1000 * tokens) / (performance.now() - startedMs);
  } finally {
    await inference.close();
  }
}

function whole(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}
