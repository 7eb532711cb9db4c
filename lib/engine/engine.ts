/**
 * An inference engine: what generates a policy's responses and a reward model's votes, and what scores votes.
 *
 * - Every request is one sample (n = 1) with its own id and seed, so it can be cancelled alone.
 * - A request is served by one version of the weights, and the answer says which.
 * - Errors are CovoteErrors: `invalid_argument` (the request can never be served: too long, unknown words),
 *   `overloaded`, `unavailable` (the engine is gone; another one may serve it), `cancelled`.
 */
import type { ChatMessage } from "../grm/chat.js";

export interface GenerateRequest {
  /** Unique among the requests in flight. */
  id: string;
  messages: readonly ChatMessage[];
  /** Upper bound of the completion, in tokens. */
  maxTokens: number;
  /** 0 = greedy. */
  temperature: number;
  seed: number;
  /** What the answer is made to begin with; it is part of the prompt's tokens, not of the text. Default: nothing. */
  opening?: string;
  /** Words, each one token of the model, that end the answer as its own end does; they stay in the text. */
  stop?: readonly string[];
  /** When the answer is of no use any more, in milliseconds since the epoch. Default: as long as the engine waits. */
  deadlineAtMs?: number;
  /** W3C trace context of what asks, for servers that trace. */
  traceparent?: string;
}

export interface Generation {
  text: string;
  /** Empty where a server does not tell; see `untrainable`. */
  promptIds: Uint32Array;
  /** Sampled token ids, stop token included when one ended the text; empty where a server does not tell. */
  tokenIds: Uint32Array;
  /** Natural logarithms, under the distribution that was sampled from (temperature applied); empty likewise. */
  logprobs: Float32Array;
  /** Tokens of the prompt and of the completion, also where their ids are not told. */
  promptTokens: number;
  completionTokens: number;
  finish: "stop" | "length";
  /** Prompt tokens whose keys and values came from the prefix cache. */
  cachedTokens: number;
  /** The version of the weights that sampled every token. */
  version: string;
  /** Time in the engine, queueing included, in milliseconds. */
  engineMs: number;
  /** The part of it between the first token and the last; left out: the engine does not say when these were. */
  decodeMs?: number;
}

export interface EngineStats {
  running: number;
  waiting: number;
  slots: number;
  generatedTokens: number;
  promptTokens: number;
  /** Time with at least one request running, in milliseconds. */
  busyMs: number;
}

/** Weights to serve: a number that grows, a name for records, and the safetensors bytes. */
export interface ServedWeights {
  number: number;
  version: string;
  safetensors: Uint8Array;
}

/**
 * Resolves with the reason when the engine has ended by itself and will not serve again: its process has to be
 * started anew. Absent for engines that may come back.
 */
export type Died = Promise<Error>;

export interface GenerativeEngine {
  generate(request: GenerateRequest, options: { signal?: AbortSignal }): Promise<Generation>;
  /**
   * Serves these weights to every request accepted from now on; a failure leaves the old ones serving. Absent where
   * somebody else decides which weights are served.
   */
  load?(weights: ServedWeights): Promise<void>;
  version(): { number: number; version: string };
  stats(): EngineStats;
  /** Requests the engine runs side by side; more are queued inside. May change: servers come and go. */
  readonly slots: number;
  /** Longest prompt plus completion, in tokens. */
  readonly maxPositions: number;
  /** Why its answers are no data to train on: token ids or log-probabilities are missing. Absent: they are not. */
  readonly untrainable?: string;
  /** `countTokens` may only guess, not too high: a server knows better, and refuses what is too long. */
  readonly guesses?: boolean;
  /** Tokens of a prompt; throws `invalid_argument` when the text has words that the model does not know. */
  countTokens(messages: readonly ChatMessage[]): number | Promise<number>;
  readonly died?: Died;
  close(): Promise<void>;
}

/** A reward model with a scalar head. */
export interface ScalarEngine {
  /** One raw logit per conversation. Items that cannot be scored are CovoteErrors, in place. */
  score(
    conversations: readonly (readonly ChatMessage[])[],
    options: { signal?: AbortSignal },
  ): Promise<(number | Error)[]>;
  /** As of a generative engine. */
  load?(weights: ServedWeights): Promise<void>;
  version(): { number: number; version: string };
  stats(): EngineStats;
  readonly died?: Died;
  close(): Promise<void>;
}
