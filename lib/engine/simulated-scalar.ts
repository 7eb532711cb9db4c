/**
 * A simulated scalar engine (meta reward model), for tests and benchmarks; no configuration picks it by default.
 *
 * - The caller's `logit` decides the score; the engine adds time, room and failures.
 * - A call of n conversations takes a slot once, for the time of all their tokens together.
 * - Time follows from the call's first conversation, the fate of each item from its own text.
 */
import { type Clock, systemClock } from "../core/clock.js";
import { CovoteError, invalid } from "../core/errors.js";
import { seedFrom } from "../core/random.js";
import type { ChatMessage } from "../grm/chat.js";
import type { ScalarEngine } from "./engine.js";
import type { SimulatedStats } from "./simulated.js";
import {
  fateOf,
  faultless,
  instant,
  type SimulatedLatency,
  serviceMs,
  validateSimulation,
} from "./simulated-fate.js";
import { createSlots } from "./simulated-slots.js";
import { countWords } from "./simulated-words.js";

export interface SimulatedScalarOptions {
  /** The raw logit of a conversation; what it throws becomes the item's error. */
  logit: (conversation: readonly ChatMessage[]) => number;
  /** `decodeTokensPerS` does not matter: nothing is decoded. */
  latency?: Partial<SimulatedLatency>;
  /** Chances in [0, 1]: an item fails; a call never ends by itself. */
  failures?: { error?: number; hang?: number };
  /** Calls side by side. Default 1. */
  slots?: number;
  /** Most calls waiting; more are `overloaded`. Default 256. */
  queueLimit?: number;
  seed?: number;
  clock?: Clock;
  version?: { number: number; version: string };
}

export interface SimulatedScalarEngine extends ScalarEngine {
  stats(): SimulatedStats;
  kill(): void;
  revive(): void;
}

export function createSimulatedScalarEngine(options: SimulatedScalarOptions): SimulatedScalarEngine {
  const latency = { ...instant, ...options.latency };
  const itemFailures = { ...faultless, error: options.failures?.error ?? 0 };
  const callFailures = { ...faultless, hang: options.failures?.hang ?? 0 };
  validateSimulation(latency, itemFailures);
  validateSimulation(latency, callFailures);
  const { logit, slots = 1, queueLimit = 256, seed = 0 } = options;
  if (!(Number.isInteger(slots) && slots >= 1)) throw invalid("slots", `must be 1 or more, got ${slots}`);
  const line = createSlots({ slots, queueLimit, clock: options.clock ?? systemClock() });
  const random = latency.sigma > 0 || itemFailures.error > 0 || callFailures.hang > 0;
  const ended = { done: 0, cancelled: 0, error: 0, unavailable: 0 };
  let served = options.version ?? { number: 0, version: "simulated" };
  let promptTokens = 0;

  /** Without chance in play no text needs hashing. */
  function seedOf(conversation: readonly ChatMessage[] | undefined): number {
    return random ? seedFrom(seed, ...(conversation ?? []).map((m) => m.content)) : seed;
  }

  function scoreOne(conversation: readonly ChatMessage[]): number | Error {
    if (fateOf(seedOf(conversation), itemFailures) === "error") {
      ended.error += 1;
      return new CovoteError("unavailable", "the simulated engine failed at this item");
    }
    try {
      const score = logit(conversation);
      ended.done += 1;
      return score;
    } catch (thrown) {
      ended.error += 1;
      return CovoteError.from(thrown);
    }
  }

  return {
    score: async (conversations, { signal }) => {
      let prompt = 0;
      for (const conversation of conversations) prompt += countWords(conversation);
      const callSeed = seedOf(conversations[0]);
      const hangs = fateOf(callSeed, callFailures) === "hang";
      const takesMs = hangs ? Infinity : serviceMs(callSeed, { prompt, completion: 0 }, latency);
      const stay = await line.occupy(takesMs, signal);
      if (stay.end === "done" || stay.servedMs > 0) promptTokens += prompt;
      if (stay.end === "cancelled") {
        ended.cancelled += conversations.length;
        throw new CovoteError("cancelled", "the call was cancelled");
      }
      if (stay.end === "dead") {
        ended.unavailable += conversations.length;
        throw new CovoteError("unavailable", "the engine died with the call");
      }
      return conversations.map(scoreOne);
    },
    load: (weights) => {
      served = { number: weights.number, version: weights.version };
      return Promise.resolve();
    },
    version: () => ({ ...served }),
    stats: () => ({ ...line.stats(), slots, generatedTokens: 0, promptTokens, ended: { ...ended } }),
    close: () => {
      line.kill();
      return Promise.resolve();
    },
    kill: line.kill,
    revive: line.revive,
  };
}
