/**
 * `covote spct rft` and `covote spct rl`: a run of the training loop with the reward model as the one that learns,
 * on a cluster started here. The last checkpoint goes to `--out`, everything else stays in the run folder.
 */
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import { withConfig } from "../options.js";
import type { Terminal } from "../terminal.js";
import { runTraining } from "../train/run-training.js";
import { copyWhole, newFolder } from "./new-folder.js";

type Method = "rft" | "rl";

interface SpctFlags {
  base?: string;
  out?: string;
  runs: string;
  seed?: string;
  steps?: string;
  resume?: string;
  processes?: boolean;
  hinted?: boolean;
  corpus?: string;
  corpusShare?: string;
  withoutRejection?: boolean;
  withoutPrinciples?: boolean;
  json?: boolean;
  config?: string;
  set?: string[];
}

const descriptions: Record<Method, string> = {
  rft: "Rejective fine-tuning: the reward model imitates its own right judgments of panels that are not too easy",
  rl: "Rule-based reinforcement: +1 for a judgment that puts the best response strictly on top, −1 for any other",
};

/** What suits small models; a configuration file or `--set` says otherwise. */
export const recipes: Record<Method, Record<string, unknown>> = {
  rft: {
    "training.steps": 150,
    "training.groupsPerStep": 32,
    "training.groupSize": 8,
    "training.learningRate": 1e-3,
  },
  rl: {
    "training.steps": 60,
    "training.groupsPerStep": 32,
    "training.groupSize": 8,
    "training.learningRate": 3e-4,
    "training.klWeight": 0.08,
  },
};

export function trainGrmCommand(terminal: Terminal, method: Method): Command {
  const command = withConfig(new Command(method))
    .description(descriptions[method])
    .argument("[data]", "preferences, JSONL; or postcards, the demo world's", "postcards")
    .option("--base <folder>", "checkpoint to begin with (default: grm.checkpoint)")
    .option("--out <folder>", "where the trained checkpoint goes; a new folder")
    .option("--runs <folder>", "where run folders are made", "runs")
    .option("--seed <number>", "seed of the run")
    .option("--steps <count>", "optimiser steps")
    .option("--resume <folder>", "go on with an interrupted run")
    .option("--processes", "every service a process of its own")
    .option("--json", "print the summary as one JSON object, nothing else");
  if (method === "rft") {
    command
      .option("--hinted", "also learn from judgments that were told the best response")
      .option("--corpus <data>", "examples to mix in, JSONL; or postcards, postcards-hinted")
      .option("--corpus-share <share>", "share of the corpus in each batch (default: 0.5)")
      .option("--without-rejection", "imitate wrong judgments too, for comparison")
      .option("--without-principles", "imitate critique and scores alone, for comparison");
  }
  return command
    .addHelpText("after", `\nExample:\n  covote spct ${method} prefs.jsonl --out models/mine-${method}\n`)
    .action(async (data: string, flags: SpctFlags) => {
      const out = flags.out === undefined ? null : newFolder(flags.out);
      await runTraining(terminal, {
        ...flags,
        out: flags.runs,
        title: `covote spct ${method}`,
        again: flags.out === undefined ? [] : ["--out", flags.out],
        fixed: {
          "training.role": "grm",
          "training.method": method === "rft" ? "rft" : "grpo",
          "training.hinted": flags.hinted,
          "training.corpus": flags.corpus,
          "training.corpusShare": flags.corpusShare,
          "training.rejection": flags.withoutRejection === true ? false : undefined,
          "training.principles": flags.withoutPrinciples === true ? false : undefined,
          "training.prompts": data,
          "grm.checkpoint": flags.base,
        },
        recipe: recipes[method],
        finished: async ({ config, path }) => {
          if (out === null) return;
          const last = join(path, "checkpoints", `step-${config.training.steps}`);
          await copyWhole(out, (folder) => cp(last, folder, { recursive: true }));
        },
      });
      if (out !== null && flags.json !== true) terminal.stdout.write(`  Checkpoint  ${out}\n\n`);
    });
}
