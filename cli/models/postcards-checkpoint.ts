/**
 * What the three postcards models have in common: vocabulary, tokenizer, chat template, shapes.
 *
 *   <user> query to friend from river be thanks . <assistant> hey friend … </s>
 */
import type { Checkpoint } from "../../lib/llama/checkpoint.js";
import type { LlamaConfig } from "../../lib/llama/config.js";
import { createTokenizer, type LlamaTokenizer } from "../../lib/llama/tokenizer.js";
import { wordLevelTokenizerJson } from "../../lib/llama/tokenizer-json.js";
import { specialIds, specialWords, words } from "../../worlds/postcards/vocabulary.js";

const chatTemplate = [
  "{%- for message in messages -%}",
  "{%- if not loop.first %} {% endif -%}",
  "{{ '<' + message['role'] + '> ' + message['content'] }}",
  "{%- if message['role'] == 'assistant' %} </s>{% endif -%}",
  "{%- endfor -%}",
  "{%- if add_generation_prompt %} <assistant>{% endif -%}",
].join("\n");

const [pad, unknown, bos, eos, ...others] = specialWords;
const tokenizerFiles = {
  ...wordLevelTokenizerJson(words.slice(specialWords.length), { pad, unknown, bos, eos, others }),
  chatTemplate,
};

const shared = {
  vocabSize: words.length,
  ropeTheta: 10_000,
  rmsNormEps: 1e-5,
  bosTokenId: specialIds.bos,
  eosTokenId: specialIds.eos,
  padTokenId: specialIds.pad,
} as const;

/** 231 k parameters. A query and a card are 26 tokens at most. */
export const policyConfig: LlamaConfig = {
  ...shared,
  hiddenSize: 96,
  intermediateSize: 256,
  layers: 2,
  heads: 4,
  kvHeads: 4,
  headDim: 24,
  maxPositions: 64,
  head: "lm",
};

/** 342 k parameters. Four full cards and their judgment are 111 tokens. */
export const grmConfig: LlamaConfig = { ...policyConfig, layers: 3, maxPositions: 128 };

export const metaRmConfig: LlamaConfig = { ...grmConfig, head: "scalar" };

export function postcardsTokenizer(): LlamaTokenizer {
  return createTokenizer(tokenizerFiles);
}

export function postcardsCheckpoint(config: LlamaConfig, weights: Float32Array): Checkpoint {
  return { ...tokenizerFiles, config, weights, metadata: {} };
}
