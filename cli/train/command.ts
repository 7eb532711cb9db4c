/** `covote train` as a command: flags in, display and closing out. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { systemClock } from "../../lib/core/clock.js";
import { invalid } from "../../lib/core/errors.js";
import { newId } from "../../lib/core/ids.js";
import type { CovoteConfig } from "../../lib/host/covote-config.js";
import { type ConfigFlags, compileFlags, withConfig } from "../options.js";
import { renderClosing } from "../run/closing.js";
import { createDisplay, styleFor } from "../run/display.js";
import { createRunFolder, openRunFolder, type RunFolder } from "../run/run-folder.js";
import { train } from "./train.js";

interface TrainFlags extends ConfigFlags {
  seed?: string;
  steps?: string;
  out: string;
  resume?: string;
  processes?: boolean;
  json?: boolean;
}

const help = `
Example:
  covote train --seed 2 --steps 400
  covote train --resume runs/2026-11-21-2-k3V9aQ

A run folder holds config.json, metrics.jsonl, summary.json, samples.json, report.html and checkpoints/.
`;

export function trainCommand(process: NodeJS.Process): Command {
  return withConfig(new Command("train"))
    .description(
      "Train a policy online from the votes of a generative reward model, on a cluster started here",
    )
    .option("--seed <number>", "seed of the run")
    .option("--steps <count>", "optimiser steps")
    .option("--out <folder>", "where run folders are made", "runs")
    .option("--resume <folder>", "go on with an interrupted run")
    .option("--processes", "every service a process of its own")
    .option("--json", "print the summary as one JSON object, nothing else")
    .addHelpText("after", help)
    .action(async (flags: TrainFlags) => {
      const startedAt = new Date(Date.now() - performance.now());
      const { config, folder } =
        flags.resume === undefined ? newRun(flags, process, startedAt) : resumedRun(flags, process);
      const stop = new AbortController();
      const onSignal = (): void => stop.abort();
      process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
      const stream = flags.json ? { write: () => true } : process.stdout;
      const display = createDisplay({
        stream,
        clock: systemClock(),
        title: `covote train, seed ${config.run.seed}`,
        totalSteps: config.training.steps,
        earlier: folder.records(),
        env: process.env,
        exit: process,
      });
      try {
        const result = await train({
          config,
          folder,
          processes: flags.processes === true,
          display,
          signal: stop.signal,
          startedAtMs: startedAt.getTime(),
        });
        display.close();
        if (flags.json)
          process.stdout.write(`${JSON.stringify({ ...result.summary, folder: folder.path })}\n`);
        else {
          const { summary, before, after, queries } = result;
          const closing = {
            summary,
            queries,
            records: folder.records(),
            before: before?.cards ?? [],
            after: after?.cards ?? [],
            path: folder.path,
          };
          const lines = renderClosing(
            closing,
            process.stdout.columns ?? 100,
            styleFor(process.stdout, process.env),
          );
          process.stdout.write(`${lines.join("\n")}\n`);
        }
        const { lost, duplicated } = result.summary.groups;
        if (lost > 0 || duplicated > 0) process.exitCode = 1;
      } finally {
        display.close();
        folder.close();
        process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
      }
    });
}

interface Run {
  config: CovoteConfig;
  folder: RunFolder;
}

function newRun(flags: TrainFlags, process: NodeJS.Process, startedAt: Date): Run {
  const chosen = { "run.seed": flags.seed, "training.steps": flags.steps };
  const config = compileFlags(flags, chosen, process.env);
  const folder = createRunFolder({
    root: flags.out,
    seed: config.run.seed,
    id: newId().slice(0, 6),
    config,
    startedAt,
  });
  return { config: compileFlags(flags, { ...chosen, "run.dir": folder.path }, process.env), folder };
}

function resumedRun(flags: TrainFlags, process: NodeJS.Process): Run {
  const dir = flags.resume ?? "";
  if (flags.seed !== undefined || flags.set !== undefined || flags.config !== undefined) {
    throw invalid("--resume", "takes the run's own configuration; only --steps may be given with it");
  }
  const file = join(dir, "config.json");
  if (!existsSync(file)) throw invalid("--resume", `${dir} is no run folder: it holds no config.json`);
  const state = join(dir, "state", "current", "state.json");
  const afterStep = existsSync(state)
    ? (JSON.parse(readFileSync(state, "utf8")) as { step: number }).step
    : 0;
  const folder = openRunFolder(dir, { afterStep });
  const overrides = { "training.steps": flags.steps, "run.dir": folder.path };
  return { config: compileFlags({ config: file, set: [] }, overrides, process.env), folder };
}
