/** `covote train` as a command: flags in, display and closing out. */
import { Command } from "commander";
import { systemClock } from "../../lib/core/clock.js";
import { withConfig } from "../options.js";
import { renderClosing } from "../run/closing.js";
import { createDisplay, styleFor } from "../run/display.js";
import { columnsOf, interruption, type Terminal } from "../terminal.js";
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

export function trainCommand(terminal: Terminal): Command {
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
      const run = await openRun(flags, terminal.env, startedAt);
      const { config, folder } = run;
      const interrupted = interruption(terminal);
      const stream = flags.json ? { write: () => true } : terminal.stdout;
      const display = createDisplay({
        stream,
        clock: systemClock(),
        title: `covote train, seed ${config.run.seed}`,
        totalSteps: config.training.steps,
        earlier: folder.records(),
        env: terminal.env,
        exit: process,
      });
      try {
        const result = await train({
          config,
          folder,
          processes: flags.processes === true,
          display,
          signal: interrupted.signal,
          env: terminal.env,
          startedAtMs: startedAt.getTime(),
        });
        display.close();
        if (flags.json)
          terminal.stdout.write(`${JSON.stringify({ ...result.summary, folder: folder.path })}\n`);
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
          const style = styleFor(terminal.stdout, terminal.env);
          const lines = renderClosing(closing, columnsOf(terminal), style);
          terminal.stdout.write(`${lines.join("\n")}\n`);
        }
        const { lost, duplicated } = result.summary.groups;
        if (lost > 0 || duplicated > 0) terminal.exitCode = 1;
      } finally {
        display.close();
        run.close();
        interrupted.release();
      }
    });
}
