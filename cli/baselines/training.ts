/** What the training of every baseline has in common: what it is given, what it leaves, and its loop of steps. */
import { CovoteError } from "../../lib/core/errors.js";
import { createRandom, seedFrom } from "../../lib/core/random.js";
import type { Grammar } from "../../lib/grm/grammar.js";
import { learningRateAt } from "../../lib/grpo/schedule.js";
import type { Checkpoint } from "../../lib/llama/checkpoint.js";
import type { LlamaTokenizer } from "../../lib/llama/tokenizer.js";
import { openLlamaScalarTrainer } from "../../lib/trainer/llama-scalar.js";
import type { ScalarTrainer } from "../../lib/trainer/scalar.js";
import type { StepOptions, StepReport } from "../../lib/trainer/trainer.js";
import type { LearningItem } from "./items.js";
import type { BaselineJob } from "./kinds.js";

export interface BaselineStep {
  /** Counted from 1. */
  step: number;
  steps: number;
  loss: number;
  grad_norm: number;
  learning_rate: number;
  /** Share of pairs on the right side; not for `pick`. */
  accuracy?: number;
}

export type BaselineProgress =
  | { t: "sampling"; done: number; total: number }
  | ({ t: "training" } & BaselineStep);

export interface TrainingContext {
  job: BaselineJob;
  items: readonly LearningItem[];
  grammar: Grammar;
  base: Checkpoint;
  tokenizer: LlamaTokenizer;
  threads: number;
  /** Holds the checkpoints: `checkpoint/`, and `critic/` where critiques are written. */
  folder: string;
  signal: AbortSignal;
  onProgress(progress: BaselineProgress): void;
}

export interface Trained {
  parameters: number;
  steps: BaselineStep[];
  /** What was learned from and what was left out, by name. */
  counts: Record<string, number>;
}

/** Gradients are scaled down to this norm. */
const maxGradNorm = 2;

/**
 * `epochs` walks through `examples`, each in an order of its own, `job.batch` of them a step. The learning rate rises
 * over the first steps and falls in a line to a fiftieth.
 */
export async function trainSteps<T>(
  { job, signal, onProgress }: Pick<TrainingContext, "job" | "signal" | "onProgress">,
  examples: readonly T[],
  learn: (batch: readonly T[], options: StepOptions, epoch: number) => Promise<StepReport>,
): Promise<BaselineStep[]> {
  const perEpoch = Math.max(1, Math.ceil(examples.length / job.batch));
  const steps = Math.max(1, Math.round(job.epochs * perEpoch));
  const done: BaselineStep[] = [];
  let order: T[] = [];
  for (let at = 0; at < steps; at++) {
    if (signal.aborted) throw new CovoteError("cancelled", "stopped");
    const epoch = Math.floor(at / perEpoch);
    const place = at % perEpoch;
    if (place === 0) order = createRandom(seedFrom("baseline order", job.seed, epoch)).shuffle(examples);
    const learningRate = learningRateAt(at, {
      peak: job.learningRate,
      warmupSteps: Math.min(20, Math.floor(steps / 10)),
      totalSteps: steps,
      decay: "linear",
      floor: 0.02,
    });
    const batch = order.slice(place * job.batch, (place + 1) * job.batch);
    const { metrics } = await learn(batch, { learningRate, maxGradNorm }, epoch);
    const { loss = 0, grad_norm = 0, accuracy } = metrics;
    const step: BaselineStep = {
      ...{ step: at + 1, steps, loss, grad_norm, learning_rate: learningRate },
      ...(accuracy === undefined ? {} : { accuracy }),
    };
    done.push(step);
    onProgress({ t: "training", ...step });
  }
  return done;
}

/** A scalar head on the base, trained by `learn` and written to `checkpoint/`. */
export async function trainHead<T>(
  context: TrainingContext,
  examples: readonly T[],
  learn: (
    trainer: ScalarTrainer,
    batch: readonly T[],
    options: StepOptions & { weightDecay: number },
    epoch: number,
  ) => Promise<StepReport>,
): Promise<Pick<Trained, "parameters" | "steps">> {
  const { base, job, threads, folder } = context;
  const trainer = openLlamaScalarTrainer({
    checkpoint: base,
    extraLayers: job.extraLayers,
    seed: seedFrom("baseline head", job.seed),
    threads,
  });
  try {
    const steps = await trainSteps(context, examples, (batch, options, epoch) =>
      learn(trainer, batch, { ...options, weightDecay: 0.01 }, epoch),
    );
    await trainer.export(`${folder}/checkpoint`, { baseline: job.kind, seed: String(job.seed) });
    return { parameters: trainer.parameters, steps };
  } finally {
    await trainer.close();
  }
}
