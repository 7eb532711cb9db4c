/**
 * How fast a small Llama trains here. Per core means per second of processor time, so that what else runs on the
 * machine changes the figures little; the wall-clock rate is given too.
 */
import { availableParallelism } from "node:os";
import { createRandom } from "../lib/core/random.js";
import type { LlamaConfig } from "../lib/llama/config.js";
import { initialWeights } from "../lib/llama/initial-weights.js";
import { createKernels, panelFloats } from "../lib/llama/kernels.js";
import { crossEntropyCoefficients } from "../lib/llama/losses.js";
import { createLlamaTraining } from "../lib/llama/training.js";

export interface TrainingFigures {
  parameters: number;
  threads: number;
  /** Tokens of a sequence, on average. */
  sequence_tokens: number;
  /** Forward, backward and optimiser step, every token a target. */
  train_tokens_per_s_per_core: number;
  /** By the clock, all threads together. */
  train_tokens_per_s: number;
  /** Of the same, counting 6 operations per parameter and token (attention left out). */
  train_gflops_per_core: number;
  /** Log-probabilities only. */
  evaluate_tokens_per_s_per_core: number;
  /** One thread multiplying 1000 × 96 by 96 × 512. */
  gemm_gflops: number;
}

/** About 350,000 parameters. */
export const config: LlamaConfig = {
  vocabSize: 128,
  hiddenSize: 96,
  intermediateSize: 256,
  layers: 3,
  heads: 4,
  kvHeads: 4,
  headDim: 24,
  ropeTheta: 10000,
  rmsNormEps: 1e-5,
  maxPositions: 256,
  bosTokenId: 0,
  eosTokenId: 1,
  padTokenId: 2,
  head: "lm",
};

/** Takes about 2 · `seconds`; `threads` default to the cores. */
export async function benchTraining(
  options: { threads?: number; seconds?: number } = {},
): Promise<TrainingFigures> {
  const { threads = availableParallelism(), seconds = 5 } = options;
  const random = createRandom(1);
  const sequences = Array.from({ length: 64 }, () => ({
    tokens: Int32Array.from({ length: 90 + random.below(21) }, () => random.below(config.vocabSize)),
  }));
  const tokens = sequences.reduce((sum, s) => sum + s.tokens.length, 0);
  const { coefficients } = crossEntropyCoefficients(
    sequences.map((s) => new Float32Array(s.tokens.length).fill(1)),
  );
  await using training = createLlamaTraining({ config, weights: initialWeights(config, 1), threads });
  const train = async (): Promise<void> => {
    await training.accumulate(sequences, coefficients);
    await training.apply({ learningRate: 1e-3 });
  };
  const measure = async (work: () => Promise<unknown>): Promise<{ perCore: number; wall: number }> => {
    // The first rounds run unoptimised code.
    for (let i = 0; i < 3; i++) await work();
    const from = performance.now();
    const cpuFrom = process.cpuUsage();
    let done = 0;
    while (performance.now() - from < seconds * 1000) {
      await work();
      done += tokens;
    }
    const { user, system } = process.cpuUsage(cpuFrom);
    return { perCore: (done * 1e6) / (user + system), wall: (done * 1000) / (performance.now() - from) };
  };
  const trained = await measure(train);
  const evaluated = await measure(() => training.evaluate(sequences));
  return {
    parameters: training.parameters,
    threads,
    sequence_tokens: Math.round(tokens / sequences.length),
    train_tokens_per_s_per_core: Math.round(trained.perCore),
    train_tokens_per_s: Math.round(trained.wall),
    train_gflops_per_core: Number(((6 * training.parameters * trained.perCore) / 1e9).toFixed(1)),
    evaluate_tokens_per_s_per_core: Math.round(evaluated.perCore),
    gemm_gflops: Number(gemmGflops().toFixed(1)),
  };
}

function gemmGflops(): number {
  const [rows, k, n] = [1000, 96, 512];
  const kernels = createKernels();
  const [a, panels, c] = [rows * k, panelFloats(n, k), rows * n].map((count) => kernels.alloc(count)) as [
    number,
    number,
    number,
  ];
  kernels.f32.fill(0.5, a >>> 2, (panels >>> 2) + n * k);
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 60; i++) {
    const from = performance.now();
    for (let j = 0; j < 5; j++) kernels.fn.gemm(a, k * 4, rows, k, panels, n, c, n * 4, 0);
    best = Math.min(best, (performance.now() - from) / 5);
  }
  return (2 * rows * k * n) / best / 1e6;
}
