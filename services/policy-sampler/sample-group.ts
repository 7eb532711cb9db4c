/** Samples one group: G responses to one query, all by one version of the policy. */
import { CovoteError } from "../../lib/core/errors.js";
import { seedFrom } from "../../lib/core/random.js";
import type { Generation, GenerativeEngine } from "../../lib/engine/engine.js";
import type { ChatMessage } from "../../lib/grm/chat.js";
import type { Cost, Response } from "../../lib/wire/gen/covote/v1/common.js";

export interface GroupRequest {
  id: string;
  messages: readonly ChatMessage[];
  groupSize: number;
  temperature: number;
  maxTokens: number;
  seed: number;
}

export interface SampledGroup {
  responses: Response[];
  /** Name of the version that sampled all of them. */
  version: string;
  cost: Cost;
}

/** Rejects with `unavailable` when the weights changed between two responses: sample it again. */
export async function sampleGroup(
  engine: GenerativeEngine,
  request: GroupRequest,
  signal: AbortSignal,
): Promise<SampledGroup> {
  const { id, messages, groupSize, maxTokens, temperature, seed } = request;
  const generations = await Promise.all(
    Array.from({ length: groupSize }, (_, i) =>
      engine.generate(
        { id: `${id}-${i}`, messages, maxTokens, temperature, seed: seedFrom(seed, i) },
        { signal },
      ),
    ),
  );
  const versions = new Set(generations.map((g) => g.version));
  const [version] = versions;
  if (version === undefined || versions.size !== 1) {
    throw new CovoteError("unavailable", `the weights changed while group ${id} was sampled`);
  }
  return { responses: generations.map(toResponse), version, cost: costOf(generations) };
}

function toResponse(generation: Generation): Response {
  return {
    text: generation.text,
    tokens: {
      promptIds: [...generation.promptIds],
      responseIds: [...generation.tokenIds],
      logprobs: [...generation.logprobs],
    },
  };
}

function costOf(generations: readonly Generation[]): Cost {
  const sum = (of: (g: Generation) => number): number => generations.reduce((total, g) => total + of(g), 0);
  return {
    votes: 0,
    promptTokens: sum((g) => g.promptIds.length),
    cachedTokens: sum((g) => g.cachedTokens),
    completionTokens: sum((g) => g.tokenIds.length),
    engineMs: sum((g) => g.engineMs),
  };
}
