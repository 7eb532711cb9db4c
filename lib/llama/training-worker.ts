/** The thread behind `createLlamaTraining`: one network, one job at a time. */
import { parentPort, workerData } from "node:worker_threads";
import { CovoteError } from "../core/errors.js";
import { createKernels } from "./kernels.js";
import { type Chunk, createNetwork, type Pass, type PassOptions } from "./network.js";
import { chunksOf, type TrainingSequence } from "./shards.js";
import type { Answer, GradientSlot, Job, JobResult, WorkerSetup } from "./training-protocol.js";
import { createUpdate } from "./update.js";

const setup = workerData as WorkerSetup;
const { config } = setup;
const kernels = createKernels({ maxMebibytes: setup.maxMebibytes });
const network = createNetwork(config, kernels);
const weights = new Float32Array(setup.weights);
let update: ReturnType<typeof createUpdate> | undefined;
let bottom = kernels.mark();
let loaded = -1;

interface Kept {
  chunk: Chunk;
  options: PassOptions;
  /** Absent when there was no room: computed again. */
  pass: Pass | undefined;
}
const kept = new Map<number, Kept[]>();

function ensureWeights(version: number): void {
  if (version === loaded) return;
  network.load(weights, { backward: true });
  loaded = version;
}

function drop(): void {
  kept.clear();
  kernels.release(bottom);
}

interface Collector {
  take(pass: Pass): void;
  result(): JobResult;
}

function collector(chunks: readonly Chunk[], options: PassOptions): Collector {
  const rows = chunks.reduce((sum, chunk) => sum + chunk.rows.length, 0);
  const outputs = new Float32Array(rows);
  const entropies = options.entropies && config.head === "lm" ? new Float32Array(rows) : undefined;
  let at = 0;
  return {
    take(pass) {
      const n = pass.chunk.rows.length;
      outputs.set(kernels.floats(pass.outputs, n), at);
      entropies?.set(kernels.floats(pass.entropies, n), at);
      at += n;
    },
    result: () => (entropies === undefined ? { outputs } : { outputs, entropies }),
  };
}

function forward(
  shard: number,
  sequences: TrainingSequence[],
  options: PassOptions,
  keep: boolean,
): JobResult {
  const chunks = chunksOf(config, sequences);
  const collected = collector(chunks, options);
  const keeping: Kept[] = [];
  for (const chunk of chunks) {
    const mark = kernels.mark();
    const pass = network.forward(chunk, options);
    collected.take(pass);
    const room = keep && kernels.used - bottom <= setup.keepBytes;
    if (!room) kernels.release(mark);
    if (keep) keeping.push({ chunk, options, pass: room ? pass : undefined });
  }
  if (keep) kept.set(shard, keeping);
  return collected.result();
}

function backward(shard: number, coefficients: Float32Array, slot: GradientSlot): JobResult {
  const passes = kept.get(shard);
  if (passes === undefined) throw new CovoteError("internal", `llama: nothing kept of shard ${shard}`);
  kept.delete(shard);
  network.gradient().fill(0);
  let at = 0;
  for (const { chunk, options, pass } of passes) {
    const mark = kernels.mark();
    const n = chunk.rows.length;
    network.backward(pass ?? network.forward(chunk, options), coefficients.subarray(at, at + n));
    kernels.release(mark);
    at += n;
  }
  deliver(slot);
  return {};
}

function accumulate(
  sequences: TrainingSequence[],
  options: PassOptions,
  coefficients: Float32Array,
  slot: GradientSlot,
): JobResult {
  const chunks = chunksOf(config, sequences);
  const collected = collector(chunks, options);
  network.gradient().fill(0);
  let at = 0;
  for (const chunk of chunks) {
    const mark = kernels.mark();
    const n = chunk.rows.length;
    const pass = network.forward(chunk, options);
    collected.take(pass);
    network.backward(pass, coefficients.subarray(at, at + n));
    kernels.release(mark);
    at += n;
  }
  deliver(slot);
  return collected.result();
}

function deliver({ buffer, fresh }: GradientSlot): void {
  const into = new Float32Array(buffer);
  const gradient = network.gradient();
  if (fresh) into.set(gradient);
  else for (let i = 0; i < into.length; i++) into[i] = (into[i] as number) + (gradient[i] as number);
}

function run(job: Job): JobResult {
  switch (job.t) {
    case "forward":
      ensureWeights(job.weights);
      return forward(job.shard, job.sequences, job.options, job.keep);
    case "backward":
      return backward(job.shard, job.coefficients, job.slot);
    case "accumulate":
      ensureWeights(job.weights);
      return accumulate(job.sequences, job.options, job.coefficients, job.slot);
    case "drop":
      drop();
      return {};
    case "update": {
      drop();
      if (update === undefined) {
        update = createUpdate(config, kernels);
        bottom = kernels.mark();
      }
      const gradNorm = update({
        weights,
        moment1: new Float32Array(job.moment1),
        moment2: new Float32Array(job.moment2),
        gradients: job.gradients.map((buffer) => new Float32Array(buffer)),
        step: job.step,
        options: job.options,
      });
      return { gradNorm };
    }
  }
}

parentPort?.on("message", (job: Job) => {
  let answer: Answer;
  try {
    answer = { t: "done", result: run(job) };
  } catch (thrown) {
    drop();
    const { code, message, stack } = CovoteError.from(thrown);
    answer = { t: "failed", code, message, stack };
  }
  parentPort?.postMessage(answer);
});
