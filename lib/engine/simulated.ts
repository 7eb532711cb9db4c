/**
 * A simulated generative engine, for tests and benchmarks; no configuration picks it by default.
 *
 * - The caller's `respond` writes the text; the engine adds time, room and failures.
 * - Time and fate of a request follow from its seed and the engine's, whatever else runs.
 * - Tokens are words. Their ids are hashes, and their log-probabilities are 0: the text is certain.
 * - Instant (the default) it costs microseconds and no timer: what remains is the cost of its surroundings.
 */
import { type Clock, systemClock } from "../core/clock.js";
import { CovoteError, invalid } from "../core/errors.js";
import { uniformAt } from "../core/random.js";
import type { ChatMessage } from "../grm/chat.js";
import type { EngineStats, GenerateRequest, Generation, GenerativeEngine, ServedWeights } from "./engine.js";
import {
  type Fate,
  fateOf,
  faultless,
  instant,
  type SimulatedFailures,
  type SimulatedLatency,
  serviceMs,
  validateSimulation,
} from "./simulated-fate.js";
import { createSlots, type Stay } from "./simulated-slots.js";
import { countWords, wordIds } from "./simulated-words.js";

export interface SimulatedEngineOptions {
  /** The text of a completion; what it throws becomes the request's error. */
  respond: (request: GenerateRequest) => string;
  latency?: Partial<SimulatedLatency>;
  failures?: Partial<SimulatedFailures>;
  /** Requests side by side. Default 8. */
  slots?: number;
  /** Most requests waiting for a slot; more are `overloaded`. Default 1024. */
  queueLimit?: number;
  /** Longest prompt plus completion, in words. Default 32,768. */
  maxPositions?: number;
  /** Prompts whose keys and values are kept: asked again, they are prefilled for nothing. Default 64. */
  cachedPrompts?: number;
  /** Tells engines apart: requests with one seed fare differently on two engines. Default 0. */
  seed?: number;
  /** Spoils a text for `failures.unparsable`. Default: its second half is missing. */
  spoil?: (text: string) => string;
  clock?: Clock;
  version?: { number: number; version: string };
  /** Told when a request leaves the engine: what a direct call would have cost, apart from waiting. */
  left?: (request: GenerateRequest, stay: Stay) => void;
}

export interface SimulatedStats extends EngineStats {
  /** Slot time taken, summed over slots, in milliseconds. */
  slotMs: number;
  /** Requests that ended, by how. `overloaded` and `invalid_argument` ones never began. */
  ended: Record<"done" | "cancelled" | "error" | "unavailable", number>;
}

export interface SimulatedEngine extends GenerativeEngine {
  load(weights: ServedWeights): Promise<void>;
  countTokens(messages: readonly ChatMessage[]): number;
  stats(): SimulatedStats;
  /** Dies as if its process had been killed: every request fails as `unavailable` until `revive`. */
  kill(): void;
  revive(): void;
}

export function createSimulatedEngine(options: SimulatedEngineOptions): SimulatedEngine {
  const latency = { ...instant, ...options.latency };
  const failures = { ...faultless, ...options.failures };
  validateSimulation(latency, failures);
  const { respond, slots = 8, queueLimit = 1024, maxPositions = 32_768, cachedPrompts = 64 } = options;
  if (!(Number.isInteger(slots) && slots >= 1)) throw invalid("slots", `must be 1 or more, got ${slots}`);
  const clock = options.clock ?? systemClock();
  const spoil = options.spoil ?? ((text) => text.slice(0, Math.floor(text.length / 2)));
  // One draw spreads small engine seeds over all bits before they meet the requests' seeds.
  const ownSeed = Math.floor(uniformAt(options.seed ?? 0, 0) * 2 ** 32);
  const line = createSlots({ slots, queueLimit, clock });
  const ended = { done: 0, cancelled: 0, error: 0, unavailable: 0 };
  const cache = new Map<string, true>();
  const idsOf = new WeakMap<readonly ChatMessage[], Uint32Array>();
  let served = options.version ?? { number: 0, version: "simulated" };
  let generatedTokens = 0;
  let promptTokens = 0;

  /** Votes of one ballot bring the same messages. */
  function promptIdsOf(messages: readonly ChatMessage[]): Uint32Array {
    const known = idsOf.get(messages);
    if (known !== undefined) return known;
    const ids = wordIds(messages.map((m) => m.content));
    idsOf.set(messages, ids);
    return ids;
  }

  /** Whether the prompt was kept; keeps it from now on, the longest unused one leaves. */
  function recall(messages: readonly ChatMessage[]): boolean {
    if (cachedPrompts <= 0) return false;
    const key = messages.length === 1 ? messages[0]!.content : messages.map((m) => m.content).join("\n");
    const known = cache.delete(key);
    cache.set(key, true);
    if (cache.size > cachedPrompts) cache.delete(cache.keys().next().value as string);
    return known;
  }

  async function generate(
    request: GenerateRequest,
    { signal }: { signal?: AbortSignal },
  ): Promise<Generation> {
    const arrivedMs = clock.monotonic();
    const shared = promptIdsOf(request.messages);
    const promptIds = opened(shared, request.opening);
    if (promptIds.length + request.maxTokens > maxPositions) {
      throw invalid(
        "messages",
        `${promptIds.length} prompt tokens and ${request.maxTokens} to come exceed the engine's ${maxPositions} positions`,
      );
    }
    const { version } = served;
    const fate = fateOf(request.seed ^ ownSeed, failures);
    const { text, tokenIds, finish } = write(request, fate);
    const cachedTokens = recall(request.messages) ? shared.length : 0;
    const tokens = { prompt: promptIds.length - cachedTokens, completion: tokenIds.length };
    const takesMs = fate === "hang" ? Infinity : serviceMs(request.seed ^ ownSeed, tokens, latency);
    const stay = await line.occupy(takesMs, signal);
    options.left?.(request, stay);
    if (stay.end === "done" || stay.servedMs > 0) promptTokens += promptIds.length;
    if (stay.end !== "done") {
      // What was sampled until then, so that the accounts are honest about wasted work.
      generatedTokens += takesMs < Infinity ? Math.floor((tokenIds.length * stay.servedMs) / takesMs) : 0;
      if (stay.end === "cancelled") {
        ended.cancelled += 1;
        throw new CovoteError("cancelled", `request ${request.id} was cancelled`);
      }
      ended.unavailable += 1;
      throw new CovoteError("unavailable", `the engine died with request ${request.id}`);
    }
    generatedTokens += tokenIds.length;
    if (fate === "error" || fate === "death") {
      ended[fate === "error" ? "error" : "unavailable"] += 1;
      if (fate === "death") line.kill();
      throw new CovoteError("unavailable", `the simulated engine failed at request ${request.id} (${fate})`);
    }
    ended.done += 1;
    return {
      text,
      promptIds,
      tokenIds,
      logprobs: new Float32Array(tokenIds.length),
      promptTokens: promptIds.length,
      completionTokens: tokenIds.length,
      finish,
      cachedTokens,
      version,
      engineMs: clock.monotonic() - arrivedMs,
    };
  }

  /** The completion, cut at `maxTokens`; a text that ends by itself takes one token more, the stop token. */
  function write(
    request: GenerateRequest,
    fate: Fate,
  ): { text: string; tokenIds: Uint32Array; finish: "stop" | "length" } {
    const whole = stopped(respond(request), request.stop);
    const text = fate === "unparsable" ? spoil(whole) : whole;
    const tokenIds = wordIds([text]);
    if (tokenIds.length < request.maxTokens) return { text, tokenIds, finish: "stop" };
    const words = text.split(" ").filter((word) => word !== "");
    return {
      text: words.slice(0, request.maxTokens).join(" "),
      tokenIds: tokenIds.slice(0, request.maxTokens),
      finish: "length",
    };
  }

  return {
    generate,
    load: (weights) => {
      served = { number: weights.number, version: weights.version };
      cache.clear();
      return Promise.resolve();
    },
    version: () => ({ ...served }),
    stats: () => ({ ...line.stats(), slots, generatedTokens, promptTokens, ended: { ...ended } }),
    slots,
    maxPositions,
    countTokens: (messages) => countWords(messages),
    close: () => {
      line.kill();
      return Promise.resolve();
    },
    kill: line.kill,
    revive: line.revive,
  };
}

/** The prompt's tokens with those of the answer's opening behind them. */
function opened(promptIds: Uint32Array, opening: string | undefined): Uint32Array {
  if (opening === undefined || opening === "") return promptIds;
  // Without the frame that a text of its own would have.
  return Uint32Array.from([...promptIds, ...wordIds([opening]).subarray(0, -1)]);
}

/** The text up to the first of the words, and that word. */
function stopped(text: string, stop: readonly string[] = []): string {
  if (stop.length === 0) return text;
  const words = text.split(" ");
  const end = words.findIndex((word) => stop.includes(word));
  return end < 0 ? text : words.slice(0, end + 1).join(" ");
}
