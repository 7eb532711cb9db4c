/**
 * Training of a small Llama in worker threads; the calling thread never blocks.
 *
 * - The caller owns the loss: `forward` answers with outputs (log-probabilities of targets, or one number per
 *   sequence), `backward` takes dLoss/dOutput, `apply` takes one optimiser step. When the coefficients are
 *   known beforehand (supervised learning), `accumulate` does forward and backward at once.
 * - Gradients add up until `apply`, so a large batch can come in parts.
 * - Same weights, same batches, same answers, bit for bit: on any machine, with any number of threads.
 * - Calls run one after another in the order made. Memory is bounded: activations beyond `keepMebibytes` per
 *   thread are computed again in `backward`.
 */
import { availableParallelism } from "node:os";
import { CovoteError, invalid } from "../core/errors.js";
import { type ForwardResult, flatten, gather, plain } from "./batch.js";
import { checkConfig, type LlamaConfig } from "./config.js";
import { layoutOf } from "./layout.js";
import { checkSequences, type Shard, shardsOf, type TrainingSequence } from "./shards.js";
import type { GradientSlot, Job } from "./training-protocol.js";
import { createTrainingThreads } from "./training-threads.js";
import type { UpdateOptions } from "./update.js";

export interface LlamaTrainingOptions {
  config: LlamaConfig;
  /** In layout order; copied. */
  weights: Float32Array;
  /** Default: as many as the machine has cores. */
  threads?: number;
  /** Activations kept per thread between `forward` and `backward`. Default 512. */
  keepMebibytes?: number;
  /** Numeric memory of a thread, at most. Default 2048. */
  maxMebibytes?: number;
}

export interface ForwardOptions {
  /** Log-probabilities are those of softmax(logits / temperature). Default 1. */
  temperature?: number;
  /** Also the entropy, in nats, of each target's distribution. Default false. */
  entropies?: boolean;
}

export interface OptimizerState {
  /** Optimiser steps taken. */
  step: number;
  /** In layout order. */
  moment1: Float32Array;
  moment2: Float32Array;
}

export interface Applied {
  /** Optimiser steps taken so far. */
  step: number;
  /** Norm of the gradient before clipping. */
  gradNorm: number;
}

export interface LlamaTraining {
  readonly config: LlamaConfig;
  readonly parameters: number;
  /** Outputs only: nothing is kept, nothing can go backward. */
  evaluate(sequences: readonly TrainingSequence[], options?: ForwardOptions): Promise<ForwardResult>;
  /** Outputs, and what `backward` needs; replaces what an earlier `forward` kept. */
  forward(sequences: readonly TrainingSequence[], options?: ForwardOptions): Promise<ForwardResult>;
  /**
   * Adds to the gradient: dLoss/dOutput in the shape of the last `forward`'s outputs (entries that are not
   * targets are ignored). Once per forward, before `apply` or `load`; `failed_precondition` otherwise.
   */
  backward(coefficients: readonly ArrayLike<number>[]): Promise<void>;
  /** `forward` and `backward` at once. */
  accumulate(
    sequences: readonly TrainingSequence[],
    coefficients: readonly ArrayLike<number>[],
    options?: ForwardOptions,
  ): Promise<ForwardResult>;
  /**
   * One AdamW step with the gradient gathered since the last one, which is then forgotten.
   * `failed_precondition` when nothing was gathered, or when it is not finite (the weights stay as they were).
   */
  apply(options: UpdateOptions): Promise<Applied>;
  /** The gradient gathered so far. */
  gradient(): Promise<Float32Array>;
  /** A copy, in layout order. */
  weights(): Promise<Float32Array>;
  /** Replaces the weights and forgets gathered gradients; optimiser state stays. */
  load(weights: Float32Array): Promise<void>;
  /** A copy; `loadOptimizer` of it continues bit for bit. */
  optimizer(): Promise<OptimizerState>;
  loadOptimizer(state: OptimizerState): Promise<void>;
  /** Ends the threads; calls not yet answered fail with `cancelled`. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** What the last forward kept, and where. */
interface Held {
  sequences: readonly TrainingSequence[];
  shards: readonly Shard[];
  threads: readonly number[];
}

export function createLlamaTraining(options: LlamaTrainingOptions): LlamaTraining {
  const { config } = options;
  checkConfig(config);
  const { size } = layoutOf(config);
  checkNumbers("weights", options.weights, size);
  const threadCount = options.threads ?? availableParallelism();
  if (!Number.isInteger(threadCount) || threadCount < 1)
    throw invalid("threads", `must be at least 1, got ${threadCount}`);

  const shared = (): SharedArrayBuffer => new SharedArrayBuffer(size * 4);
  const weightsBuffer = shared();
  const current = new Float32Array(weightsBuffer);
  current.set(options.weights);
  const threads = createTrainingThreads(threadCount, {
    config,
    weights: weightsBuffer,
    keepBytes: (options.keepMebibytes ?? 512) * 1048576,
    maxMebibytes: options.maxMebibytes ?? 2048,
  });
  let version = 0;
  let step = 0;
  let moments: { moment1: SharedArrayBuffer; moment2: SharedArrayBuffer } | undefined;
  const ensureMoments = () => (moments ??= { moment1: shared(), moment2: shared() });
  const slots: SharedArrayBuffer[] = [];
  /** Slots that hold a part of the gradient being gathered: the first `gathered`. */
  let gathered = 0;
  let held: Held | undefined;

  // One call after another: the tail of the queue never rejects.
  let tail: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const result = tail.then(work);
    tail = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  };

  /** A gradient of which a part failed is worth nothing. */
  const forgetOnFailure = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (thrown) {
      gathered = 0;
      throw CovoteError.from(thrown);
    }
  };

  const slotsFor = (count: number): GradientSlot[] =>
    Array.from({ length: count }, (_, i) => {
      slots[i] ??= shared();
      return { buffer: slots[i], fresh: i >= gathered };
    });

  const cut = (sequences: readonly TrainingSequence[]): Shard[] =>
    shardsOf(sequences.map((s) => s.tokens.length));

  const pass = (given: ForwardOptions = {}) => {
    const { temperature = 1, entropies = false } = given;
    if (!(temperature > 0 && Number.isFinite(temperature))) {
      throw invalid("temperature", `must be above 0, got ${temperature}`);
    }
    return { temperature, entropies };
  };

  const drop = async (): Promise<void> => {
    held = undefined;
    await Promise.all(Array.from({ length: threads.size }, (_, i) => threads.run(i, { t: "drop" })));
  };

  const forward = async (
    sequences: readonly TrainingSequence[],
    given: ForwardOptions | undefined,
    keep: boolean,
  ): Promise<ForwardResult> => {
    checkSequences(config, sequences);
    const options = pass(given);
    if (keep) await drop();
    const shards = cut(sequences);
    const done = await threads.share(
      shards.map(
        ({ from, to }, shard): Job => ({
          t: "forward",
          shard,
          sequences: sequences.slice(from, to).map(plain),
          options,
          keep,
          weights: version,
        }),
      ),
    );
    if (keep) held = { sequences, shards, threads: done.map((d) => d.thread) };
    return gather(
      config,
      sequences,
      shards,
      done.map((d) => d.result),
    );
  };

  return {
    config,
    parameters: size,
    evaluate: (sequences, given) => inTurn(() => forward(sequences, given, false)),
    forward: (sequences, given) => inTurn(() => forward(sequences, given, true)),

    backward: (coefficients) =>
      inTurn(async () => {
        if (held === undefined) {
          throw new CovoteError(
            "failed_precondition",
            "llama: backward needs a forward since the last apply or load",
          );
        }
        const { sequences, shards, threads: owners } = held;
        const flat = shards.map((shard) => flatten(config, sequences, shard, coefficients));
        held = undefined;
        const targets = slotsFor(shards.length);
        await forgetOnFailure(
          Promise.all(
            shards.map((_, shard) =>
              threads.run(owners[shard] as number, {
                t: "backward",
                shard,
                coefficients: flat[shard] as Float32Array,
                slot: targets[shard] as GradientSlot,
              }),
            ),
          ),
        );
        gathered = Math.max(gathered, shards.length);
      }),

    accumulate: (sequences, coefficients, given) =>
      inTurn(async () => {
        checkSequences(config, sequences);
        const options = pass(given);
        const shards = cut(sequences);
        const targets = slotsFor(shards.length);
        const done = await forgetOnFailure(
          threads.share(
            shards.map(
              (shard, i): Job => ({
                t: "accumulate",
                sequences: sequences.slice(shard.from, shard.to).map(plain),
                options,
                coefficients: flatten(config, sequences, shard, coefficients),
                slot: targets[i] as GradientSlot,
                weights: version,
              }),
            ),
          ),
        );
        gathered = Math.max(gathered, shards.length);
        return gather(
          config,
          sequences,
          shards,
          done.map((d) => d.result),
        );
      }),

    apply: (options) =>
      inTurn(async () => {
        if (gathered === 0) {
          throw new CovoteError(
            "failed_precondition",
            "llama: apply needs a backward or accumulate before it",
          );
        }
        if (!(options.learningRate >= 0 && Number.isFinite(options.learningRate))) {
          throw invalid("learningRate", `must be at least 0, got ${options.learningRate}`);
        }
        await drop();
        const gradients = slots.slice(0, gathered);
        gathered = 0;
        const { gradNorm = 0 } = await threads.run(0, {
          t: "update",
          ...ensureMoments(),
          gradients,
          step: step + 1,
          options,
        });
        step += 1;
        version += 1;
        return { step, gradNorm };
      }),

    gradient: () =>
      inTurn(async () => {
        const sum = new Float32Array(size);
        for (const slot of slots.slice(0, gathered)) {
          const part = new Float32Array(slot);
          for (let i = 0; i < size; i++) sum[i] = (sum[i] as number) + (part[i] as number);
        }
        return sum;
      }),

    weights: () => inTurn(async () => current.slice()),

    load: (weights) =>
      inTurn(async () => {
        checkNumbers("weights", weights, size);
        await drop();
        current.set(weights);
        gathered = 0;
        version += 1;
      }),

    optimizer: () =>
      inTurn(async () => {
        const { moment1, moment2 } = ensureMoments();
        return {
          step,
          moment1: new Float32Array(moment1).slice(),
          moment2: new Float32Array(moment2).slice(),
        };
      }),

    loadOptimizer: (state) =>
      inTurn(async () => {
        checkNumbers("moment1", state.moment1, size);
        checkNumbers("moment2", state.moment2, size);
        const { moment1, moment2 } = ensureMoments();
        new Float32Array(moment1).set(state.moment1);
        new Float32Array(moment2).set(state.moment2);
        step = state.step;
      }),

    close: () => threads.close(),
    [Symbol.asyncDispose]: () => threads.close(),
  };
}

function checkNumbers(field: string, values: Float32Array, size: number): void {
  if (values.length !== size) {
    throw invalid(field, `${values.length} numbers for a model of ${size}; pass those of this config`);
  }
}
