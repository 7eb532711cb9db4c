/** What an inference thread and its owner tell each other. Plain data; both directions are sent in bundles. */
import type { ErrorCode } from "../core/errors.js";
import type { LlamaConfig } from "./config.js";

/** How the thread is set up; travels once. */
export interface InferenceSetup {
  config: LlamaConfig;
  weights: Float32Array;
  version: string;
  slots: number;
  prefillRows: number;
  kvBytes: number | undefined;
  maxWaiting: number;
}

/** To the thread. Commands take effect in order, except that `cancel` overtakes. */
export type Command =
  | {
      t: "sample";
      id: string;
      prompt: readonly number[];
      maxTokens: number;
      temperature: number;
      seed: number;
      stop: readonly number[];
    }
  | { t: "score"; id: string; tokens: readonly number[] }
  | { t: "cancel"; id: string }
  | { t: "load"; id: string; weights: Float32Array; version: string };

/** From the thread: how one command ended. A cancelled one gets none. */
export type Reply =
  | {
      t: "sampled";
      id: string;
      tokens: Uint32Array;
      logprobs: Float32Array;
      finish: "stop" | "length";
      promptTokens: number;
      cachedTokens: number;
      decodeMs: number;
      version: string;
    }
  | { t: "scored"; id: string; score: number; version: string }
  | { t: "loaded"; id: string; version: string }
  | { t: "failed"; id: string; code: ErrorCode; message: string };

/** Totals since the start of the thread. */
export interface Totals {
  generatedTokens: number;
  /** Prompt (or scored) tokens run through the model. */
  prefilledTokens: number;
  /** Prompt (or scored) tokens whose keys and values were there already. */
  cachedTokens: number;
  /** Passes through the model. */
  steps: number;
  /** Time spent with work at hand, in milliseconds. */
  busyMs: number;
}

export interface Bundle {
  replies: Reply[];
  totals: Totals;
}

/** The thread's first message. */
export type Ready = { t: "ready" } | { t: "refused"; code: ErrorCode; message: string };
