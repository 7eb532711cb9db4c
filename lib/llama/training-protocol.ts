/** What the training thread and its workers say to each other. Weights and gradients are shared memory. */
import type { ErrorCode } from "../core/errors.js";
import type { LlamaConfig } from "./config.js";
import type { PassOptions } from "./network.js";
import type { TrainingSequence } from "./shards.js";
import type { UpdateOptions } from "./update.js";

export interface WorkerSetup {
  config: LlamaConfig;
  /** Float32, layout order. Changes only while no job is running. */
  weights: SharedArrayBuffer;
  /** Bytes of activations a worker may keep between forward and backward; more is computed again. */
  keepBytes: number;
  maxMebibytes: number;
}

/** Where a shard's gradient goes: over what is there, or added to it. */
export interface GradientSlot {
  buffer: SharedArrayBuffer;
  fresh: boolean;
}

export type Job =
  | {
      /** Outputs of a shard. `keep`: also what a later `backward` with the same `shard` needs. */
      t: "forward";
      shard: number;
      sequences: TrainingSequence[];
      options: PassOptions;
      keep: boolean;
      /** Changes whenever the weights did. */
      weights: number;
    }
  | { t: "backward"; shard: number; coefficients: Float32Array; slot: GradientSlot }
  | {
      /** Forward and backward at once, with coefficients known beforehand. */
      t: "accumulate";
      sequences: TrainingSequence[];
      options: PassOptions;
      coefficients: Float32Array;
      slot: GradientSlot;
      weights: number;
    }
  | { t: "drop" }
  | {
      t: "update";
      moment1: SharedArrayBuffer;
      moment2: SharedArrayBuffer;
      gradients: SharedArrayBuffer[];
      step: number;
      options: UpdateOptions;
    };

export interface JobResult {
  /** One number per target (`lm`) or per sequence (`scalar`), in order. */
  outputs?: Float32Array;
  entropies?: Float32Array;
  gradNorm?: number;
}

export type Answer =
  | { t: "done"; result: JobResult }
  | { t: "failed"; code: ErrorCode; message: string; stack: string | undefined };
