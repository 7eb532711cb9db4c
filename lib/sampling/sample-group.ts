/** Samples one group: G responses to one query, all by one version of the policy. */
import { CovoteError, invalid } from "../core/errors.js";
import { seedFrom } from "../core/random.js";
import type { Generation, GenerativeEngine } from "../engine/engine.js";
import type { ChatMessage } from "../grm/chat.js";
import { checkTemperature, judgingLimits } from "../grm/limits.js";
import type { Cost, Response } from "../wire/gen/covote/v1/common.js";

export interface GroupRequest {
  id: string;
  messages: readonly ChatMessage[];
  groupSize: number;
  temperature: number;
  maxTokens: number;
  seed: number;
  /** Of the span that samples it, for the engine. */
  traceparent?: string | undefined;
}

export interface SampledGroup {
  responses: Response[];
  /** Name of the version that sampled all of them. */
  version: string;
  cost: Cost;
}

/** A group, or why there can be none. */
export interface SampledOrRefused extends SampledGroup {
  /** Empty when the group was sampled; otherwise there are no responses. */
  refusal: string;
}

/** How often a group is begun anew because the weights changed between two of its responses. */
const maxTries = 3;

/** Throws `invalid_argument`, with the field's name in the request, for what no engine could sample. */
export function checkSampling({
  groupSize,
  temperature,
}: Pick<GroupRequest, "groupSize" | "temperature">): void {
  if (!(groupSize >= 1 && groupSize <= 64)) throw invalid("group_size", `must be 1 to 64, got ${groupSize}`);
  checkTemperature("temperature", temperature, judgingLimits.temperature);
}

/** Rejects with `unavailable` when the weights changed under it each time. */
export async function sampleGroup(
  engine: GenerativeEngine,
  request: GroupRequest,
  signal: AbortSignal,
): Promise<SampledGroup> {
  for (let tries = 1; ; tries++) {
    const generations = await generateAll(engine, request, signal);
    const [version, ...others] = new Set(generations.map((g) => g.version));
    if (version !== undefined && others.length === 0) {
      return { responses: generations.map(toResponse), version, cost: costOf(generations) };
    }
    if (tries === maxTries) {
      throw new CovoteError("unavailable", `the weights changed while group ${request.id} was sampled`);
    }
  }
}

/**
 * As `sampleGroup`, except that a request which no engine of this model could serve resolves, with the reason.
 * Every other error rejects: another try may go well.
 */
export async function sampleOrRefuse(
  engine: GenerativeEngine,
  request: GroupRequest,
  signal: AbortSignal,
): Promise<SampledOrRefused> {
  const { version } = engine.version();
  try {
    return { ...(await sampleGroup(engine, request, signal)), refusal: "" };
  } catch (thrown) {
    const { code, message } = CovoteError.from(thrown);
    if (code !== "invalid_argument") throw thrown;
    return { responses: [], version, cost: costOf([]), refusal: message };
  }
}

/** All or none: when one fails, the others are not left running. */
async function generateAll(
  engine: GenerativeEngine,
  request: GroupRequest,
  signal: AbortSignal,
): Promise<Generation[]> {
  const { id, messages, groupSize, maxTokens, temperature, seed, traceparent } = request;
  const trace = traceparent === undefined ? {} : { traceparent };
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  try {
    return await Promise.all(
      Array.from({ length: groupSize }, (_, i) =>
        engine.generate(
          { id: `${id}-${i}`, messages, maxTokens, temperature, seed: seedFrom(seed, i), ...trace },
          { signal: either },
        ),
      ),
    );
  } catch (thrown) {
    failed.abort();
    throw thrown;
  }
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
    promptTokens: sum((g) => g.promptTokens),
    cachedTokens: sum((g) => g.cachedTokens),
    completionTokens: sum((g) => g.completionTokens),
    engineMs: sum((g) => g.engineMs),
  };
}
