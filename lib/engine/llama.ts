/** The embedded engine: a small Llama from a checkpoint folder, in a thread of its own. */

import { createHash } from "node:crypto";
import { basename, resolve } from "node:path";
import { invalid } from "../core/errors.js";
import type { ChatMessage } from "../grm/chat.js";
import { type Checkpoint, openCheckpoint } from "../llama/checkpoint.js";
import { type Inference, openInference } from "../llama/inference.js";
import { createTokenizer, type LlamaTokenizer } from "../llama/tokenizer.js";
import { decodeWeights } from "../llama/weights.js";
import type { EngineStats, GenerativeEngine, ServedWeights } from "./engine.js";

export interface LlamaEngineOptions {
  /** Folder of a Hugging Face checkpoint. */
  checkpoint: string;
  /** Requests run side by side. */
  slots: number;
}

export async function openLlamaEngine(options: LlamaEngineOptions): Promise<GenerativeEngine> {
  const { checkpoint, slots } = options;
  const model = await openCheckpoint(checkpoint);
  if (model.config.head !== "lm") {
    throw invalid(
      checkpoint,
      "has a scalar head; a policy or reward model that writes needs a language model",
    );
  }
  const tokenizer = createTokenizer(model);
  const { version, inference } = await openServed(model, slots, nameOf(checkpoint));
  const { maxPositions } = model.config;
  const promptIds = (messages: readonly ChatMessage[]): number[] => tokenizer.chat(messages);

  return {
    slots,
    maxPositions,
    countTokens: (messages) => promptIds(messages).length,
    generate: async ({ messages, maxTokens, temperature, seed, opening, stop: words }, { signal }) => {
      const startedAt = performance.now();
      const prompt = promptIds(messages);
      if (opening !== undefined) prompt.push(...tokenizer.encode(opening));
      const stop = [tokenizer.eosTokenId];
      if (words !== undefined) for (const word of words) stop.push(stopToken(tokenizer, word));
      const sample = await inference.generate({ prompt, maxTokens, temperature, seed, stop }, { signal });
      return {
        text: tokenizer.decode(sample.tokens, { skipSpecial: true }),
        promptIds: Uint32Array.from(prompt),
        tokenIds: sample.tokens,
        logprobs: sample.logprobs,
        promptTokens: prompt.length,
        completionTokens: sample.tokens.length,
        finish: sample.finish,
        cachedTokens: sample.cachedTokens,
        version: sample.version,
        engineMs: performance.now() - startedAt,
        decodeMs: sample.decodeMs,
      };
    },
    ...version,
    stats: () => statsOf(inference),
    died: inference.died,
    close: () => inference.close(),
  };
}

function stopToken(tokenizer: LlamaTokenizer, word: string): number {
  const [token, ...more] = tokenizer.encode(word);
  if (token !== undefined && more.length === 0 && token !== tokenizer.unknownTokenId) return token;
  throw invalid("stop", `${JSON.stringify(word)} is not one token of this model`);
}

/** What weights without a version of their own are called, with their digest: the name of their folder. */
export function nameOf(checkpoint: string): string {
  return basename(resolve(checkpoint));
}

/** The weights part that generating and scoring engines share. */
export async function openServed(model: Checkpoint, slots: number, name: string) {
  const { config, metadata } = model;
  let served = { number: 0, version: metadata.version ?? `${name}-${digestOf(model.weights)}` };
  const inference = await openInference({ config, weights: model.weights, version: served.version, slots });
  return {
    inference,
    version: {
      load: async ({ number, version, safetensors }: ServedWeights): Promise<void> => {
        const { weights } = decodeWeights(config, safetensors, version);
        await inference.load(weights, version);
        served = { number, version };
      },
      version: () => served,
    },
  };
}

/** Two checkpoints of one folder name are not the same judge. */
function digestOf(weights: Float32Array): string {
  const bytes = new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength);
  return createHash("sha256").update(bytes).digest("hex").slice(0, 8);
}

export function statsOf(inference: Inference): EngineStats {
  const { running, waiting, generatedTokens, prefilledTokens, cachedTokens, busyMs } = inference.stats();
  return {
    running,
    waiting,
    slots: inference.slots,
    generatedTokens,
    promptTokens: prefilledTokens + cachedTokens,
    busyMs,
  };
}
