/**
 * `covote spct sft`: supervised fine-tuning of a reward model on a corpus, without a cluster. It makes the base that
 * SPCT begins with, for example one that has seen hints.
 */
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { Command } from "commander";
import { CovoteError, invalid } from "../../lib/core/errors.js";
import { learningRateAt } from "../../lib/grpo/schedule.js";
import { shippedCheckpoint } from "../../lib/host/shipped.js";
import { checkpointFolder, openConfiguredCheckpoint } from "../../lib/runtime/checkpoints.js";
import { openLlamaTrainer } from "../../lib/trainer/llama.js";
import { openCorpus } from "../../services/grpo-learner/corpus.js";
import { type ConfigFlags, compileFlags, numberFlag, withConfig } from "../options.js";
import { interruption, type Terminal } from "../terminal.js";
import { copyWhole, newFolder } from "./new-folder.js";

interface SftFlags extends ConfigFlags {
  base?: string;
  out: string;
  steps: string;
  batch: string;
  learningRate: string;
  seed: string;
  json?: boolean;
}

const warmupSteps = 10;
const maxGradNorm = 1;
/** Steps between two lines of progress. */
const tellEvery = 10;

export function sftCommand(terminal: Terminal): Command {
  return withConfig(new Command("sft"))
    .description("Supervised fine-tuning on a corpus: makes a base to begin with")
    .argument("[corpus]", "examples, JSONL; or postcards, postcards-hinted", shippedCheckpoint)
    .option("--base <folder>", "checkpoint to begin with (default: grm.checkpoint)")
    .requiredOption("--out <folder>", "where the trained checkpoint goes; a new folder")
    .option("--steps <count>", "optimiser steps", "200")
    .option("--batch <count>", "examples per step", "64")
    .option("--learning-rate <rate>", "highest learning rate, falling to 0", "0.002")
    .option("--seed <number>", "seed of the corpus's order", "1")
    .option("--json", "print the summary as one JSON object, nothing else")
    .addHelpText(
      "after",
      '\nExample:\n  covote spct sft postcards-hinted --out models/hinted\n\nA line of a corpus: {"query": text or messages, "answer": text}\n',
    )
    .action(async (name: string, flags: SftFlags) => {
      const out = newFolder(flags.out);
      const whole = (flag: string, text: string, most: number): number =>
        numberFlag(flag, text, { whole: true, least: 1, most }) as number;
      const steps = whole("--steps", flags.steps, 1_000_000);
      const batch = whole("--batch", flags.batch, 65_536);
      const peak = numberFlag("--learning-rate", flags.learningRate, { least: 0, most: 1 }) as number;
      if (peak === 0) throw invalid("--learning-rate", "must be more than 0");
      const seed = numberFlag("--seed", flags.seed, { whole: true, least: 0, most: 2 ** 32 - 1 }) as number;
      const config = compileFlags(flags, { "grm.checkpoint": flags.base }, terminal.env);
      const { checkpoint, tokenizer } = await openConfiguredCheckpoint(config, "grm");
      const corpus = openCorpus({
        ...{ name, field: "[corpus]", seed, tokenizer, principles: true },
        maxPositions: checkpoint.config.maxPositions,
      });
      const interrupted = interruption(terminal);
      const startedMs = performance.now();
      const trainer = await openLlamaTrainer({
        checkpoint: resolve(checkpointFolder(config, "grm")),
        threads: availableParallelism(),
      });
      let loss = Number.NaN;
      try {
        for (let step = 0; step < steps; step++) {
          if (interrupted.signal.aborted) throw new CovoteError("cancelled", "interrupted; nothing was kept");
          const learningRate = learningRateAt(step, {
            ...{ peak, warmupSteps, decay: "linear", floor: 0, totalSteps: steps },
          });
          const report = await trainer.stepSupervised(corpus.draw(step, batch), {
            learningRate,
            maxGradNorm,
          });
          loss = report.metrics.loss ?? Number.NaN;
          if (flags.json !== true && ((step + 1) % tellEvery === 0 || step + 1 === steps)) {
            terminal.stdout.write(`step ${step + 1} of ${steps}  loss ${loss.toFixed(4)}\n`);
          }
        }
        await copyWhole(out, (folder) => trainer.export(folder));
      } finally {
        interrupted.release();
        await trainer.close();
      }
      const seconds = (performance.now() - startedMs) / 1000;
      terminal.stdout.write(
        flags.json === true
          ? `${JSON.stringify({ corpus: name, seed, steps, batch, loss, seconds, folder: out })}\n`
          : `  Checkpoint  ${out}\n`,
      );
    });
}
