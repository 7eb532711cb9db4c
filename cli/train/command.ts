/** `covote train` as a command: flags in, display and closing out. */
import { Command } from "commander";
import { systemClock } from "../../lib/core/clock.js";
import { withConfig } from "../options.js";
import { renderClosing } from "../run/closing.js";
import { createDisplay, styleFor } from "../run/display.js";
import { openRun, type RunFlags } from "./open-run.js";
import { train } from "./train.js";

interface TrainFlags extends RunFlags {
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
      const run = await openRun(flags, process.env, startedAt);
      const { config, folder } = run;
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
        run.close();
        process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
      }
    });
}
