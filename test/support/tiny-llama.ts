/** A small random Llama with a word-level tokenizer, for tests that need a real one fast. */
import { createRandom } from "../../lib/core/random.js";
import type { Checkpoint } from "../../lib/llama/checkpoint.js";
import type { LlamaConfig } from "../../lib/llama/config.js";
import { layoutOf } from "../../lib/llama/layout.js";
import { wordLevelTokenizerJson } from "../../lib/llama/tokenizer-json.js";

/** Grouped-query, with a head size that is not hidden / heads. */
export function tinyConfig(overrides: Partial<LlamaConfig> = {}): LlamaConfig {
  return {
    vocabSize: 40,
    hiddenSize: 16,
    intermediateSize: 24,
    layers: 2,
    heads: 4,
    kvHeads: 2,
    headDim: 8,
    ropeTheta: 10000,
    rmsNormEps: 1e-5,
    maxPositions: 96,
    bosTokenId: 2,
    eosTokenId: 3,
    padTokenId: 0,
    head: "lm",
    ...overrides,
  };
}

/** Wide enough that the next token is neither certain nor uniform. */
export function tinyWeights(config: LlamaConfig, seed = 1): Float32Array {
  const random = createRandom(seed);
  const layout = layoutOf(config);
  const weights = Float32Array.from({ length: layout.size }, () => random.normal() * 0.3);
  for (const { name, offset, size } of layout.tensors) {
    if (name.endsWith("norm.weight")) weights.fill(1, offset, offset + size);
  }
  return weights;
}

export function tinyCheckpoint(overrides: Partial<LlamaConfig> = {}): Checkpoint {
  const config = tinyConfig(overrides);
  const specials = {
    pad: "<pad>",
    unknown: "<unk>",
    bos: "<s>",
    eos: "</s>",
    others: ["<user>", "<assistant>"],
  };
  const words = Array.from({ length: config.vocabSize - 6 }, (_, i) => `w${i}`);
  return {
    config,
    weights: tinyWeights(config),
    ...wordLevelTokenizerJson(words, specials),
    chatTemplate:
      "{% for message in messages %}<{{ message.role }}> {{ message.content }} " +
      "{% if message.role == 'assistant' %}{{ eos_token }} {% endif %}{% endfor %}" +
      "{% if add_generation_prompt %}<assistant>{% endif %}",
    metadata: { step: "7" },
  };
}
