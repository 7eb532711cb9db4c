/** An engine on the servers of a test, with what they need no say in. */
import { systemClock } from "../../lib/core/clock.js";
import { type Logger, silentLogger } from "../../lib/core/logger.js";
import { createRandom } from "../../lib/core/random.js";
import type { GenerateRequest } from "../../lib/engine/engine.js";
import { type OpenAiEngine, type OpenAiEngineOptions, openOpenAiEngine } from "../../lib/engine/openai.js";
import type { PoolMeter } from "../../lib/engine/pool.js";
import type { EngineServer } from "./engine-server.js";

export interface CountingMeter extends PoolMeter {
  /** By `endpoint outcome`; retries and hedges by their names. */
  readonly counts: Record<string, number>;
}

export function countingMeter(): CountingMeter {
  const counts: Record<string, number> = {};
  const add = (key: string): void => {
    counts[key] = (counts[key] ?? 0) + 1;
  };
  return {
    counts,
    attempt: (endpoint, outcome) => add(`${endpoint} ${outcome}`),
    retried: () => add("retries"),
    hedged: () => add("hedges"),
  };
}

export function engineOn(
  servers: readonly Pick<EngineServer, "url">[],
  over: Partial<OpenAiEngineOptions> & { log?: Logger } = {},
): Promise<OpenAiEngine> {
  return openOpenAiEngine({
    field: "grm.engine",
    endpoints: servers.map(({ url }) => url),
    ...{
      model: null,
      server: "auto",
      apiKey: null,
      ca: null,
      tokenizer: null,
      maxPositions: null,
      tokens: false,
    },
    ...{ connectTimeoutMs: 1000, requestTimeoutMs: 10_000, startTimeoutMs: 1000 },
    ...{ concurrency: 8, retryShare: 0.1, hedgeShare: 0.02 },
    ...{ clock: systemClock(), random: createRandom(1), log: silentLogger, meter: countingMeter() },
    ...over,
  });
}

let requests = 0;

export function ask(over: Partial<GenerateRequest> = {}): GenerateRequest {
  return {
    id: `vote-${requests++}`,
    messages: [{ role: "user", content: "which is better" }],
    ...{ maxTokens: 16, temperature: 0.5, seed: 7 },
    ...over,
  };
}
