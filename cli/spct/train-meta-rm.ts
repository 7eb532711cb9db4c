/**
 * Training a meta RM on labelled judgments, step by step, from wherever it was stopped.
 *
 * - Which judgments a step learns from follows from the seed and the step alone: the data is gone through in an
 *   order of its own each time.
 * - The state is kept every `saveEvery` steps and at a stop, under a name that appears whole or not at all; the
 *   lines of `metrics.jsonl` go no further than the state after a restart.
 */
import { appendFileSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CovoteError } from "../../lib/core/errors.js";
import { createRandom, seedFrom } from "../../lib/core/random.js";
import { learningRateAt } from "../../lib/grpo/schedule.js";
import type { RatedSequence, ScalarTrainer } from "../../lib/trainer/scalar.js";

export interface MetaRmRecipe {
  steps: number;
  /** Judgments per step. */
  batch: number;
  /** Highest learning rate; reached after `warmupSteps`, then falling in a line to a fiftieth. */
  learningRate: number;
  warmupSteps: number;
}

export interface MetaRmStep {
  /** Counted from 1. */
  step: number;
  steps: number;
  loss: number;
  accuracy: number;
  readings_loss: number;
  grad_norm: number;
  learning_rate: number;
}

export interface TrainMetaRmOptions {
  trainer: ScalarTrainer;
  examples: readonly RatedSequence[];
  recipe: MetaRmRecipe;
  seed: number;
  /** Holds `state/` and `metrics.jsonl`. */
  folder: string;
  saveEvery: number;
  signal: AbortSignal;
  onStep(step: MetaRmStep): void;
}

/** Resolves with all steps; rejects with `cancelled` at the signal, with the state kept. */
export async function trainMetaRm(options: TrainMetaRmOptions): Promise<MetaRmStep[]> {
  const { trainer, examples, recipe, seed, folder, signal } = options;
  const { steps } = recipe;
  const done = await resume(trainer, folder);
  const metrics = join(folder, "metrics.jsonl");
  const draw = createDraw(examples, seed);
  let kept = trainer.step();
  while (trainer.step() < steps) {
    if (signal.aborted) {
      await keep(trainer, folder);
      throw new CovoteError("cancelled", "stopped");
    }
    const at = trainer.step();
    const batch = Array.from({ length: recipe.batch }, (_, i) => draw(at * recipe.batch + i));
    const learningRate = learningRateAt(at, {
      peak: recipe.learningRate,
      warmupSteps: recipe.warmupSteps,
      totalSteps: steps,
      decay: "linear",
      floor: 0.02,
    });
    const report = await trainer.stepBinary(batch, { learningRate, maxGradNorm: 2, weightDecay: 0.01 });
    const { loss = 0, accuracy = 0, readings_loss = 0, grad_norm = 0 } = report.metrics;
    const step: MetaRmStep = {
      ...{ step: report.step, steps, loss, accuracy, readings_loss, grad_norm },
      learning_rate: learningRate,
    };
    done.push(step);
    appendFileSync(metrics, `${JSON.stringify(step)}\n`);
    options.onStep(step);
    if (report.step - kept >= options.saveEvery || report.step === steps) {
      await keep(trainer, folder);
      kept = report.step;
    }
  }
  return done;
}

/** The n-th example of an endless walk through the data, in a new order each round. */
function createDraw<T>(examples: readonly T[], seed: number): (n: number) => T {
  let round = -1;
  let order: T[] = [];
  return (n) => {
    const wanted = Math.floor(n / examples.length);
    if (wanted !== round) {
      round = wanted;
      order = createRandom(seedFrom("meta RM order", seed, round)).shuffle(examples);
    }
    return order[n % examples.length] as T;
  };
}

async function keep(trainer: ScalarTrainer, folder: string): Promise<void> {
  const state = join(folder, "state");
  const fresh = join(folder, "state.new");
  const former = join(folder, "state.old");
  rmSync(fresh, { recursive: true, force: true });
  await trainer.save(fresh);
  rmSync(former, { recursive: true, force: true });
  if (existsSync(state)) renameSync(state, former);
  renameSync(fresh, state);
  rmSync(former, { recursive: true, force: true });
}

/** Restores what is kept; resolves with the steps up to there. */
async function resume(trainer: ScalarTrainer, folder: string): Promise<MetaRmStep[]> {
  // Killed between two renames: the state before is whole.
  const kept = ["state", "state.old"].map((name) => join(folder, name)).find((path) => existsSync(path));
  if (kept !== undefined) await trainer.restore(kept);
  const path = join(folder, "metrics.jsonl");
  const lines = existsSync(path) ? readFileSync(path, "utf8").split("\n") : [];
  const steps = lines.slice(0, trainer.step()).map((line) => JSON.parse(line) as MetaRmStep);
  writeFileSync(path, steps.map((step) => `${JSON.stringify(step)}\n`).join(""));
  return steps;
}
