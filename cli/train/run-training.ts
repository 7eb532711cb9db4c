/** A training run as a command runs it: flags in, display and closing out. */
import { systemClock } from "../../lib/core/clock.js";
import type { CovoteConfig } from "../../lib/host/covote-config.js";
import { renderClosing } from "../run/closing.js";
import { createDisplay, styleFor } from "../run/display.js";
import { columnsOf, interruption, type Terminal } from "../terminal.js";
import { openRun, type RunFlags } from "./open-run.js";
import { type TrainResult, train } from "./train.js";

export interface TrainingCommand extends RunFlags {
  /** The command, for the display and for how to go on after an interruption. */
  title: string;
  /** Flags, with their values, that have to be given again when the run is resumed. */
  again?: readonly string[];
  json?: boolean;
  /** Called once the run is done, before anything is said about it. */
  finished?: (run: FinishedTraining) => Promise<void>;
}

export interface FinishedTraining {
  config: CovoteConfig;
  /** The run folder. */
  path: string;
  result: TrainResult;
}

export async function runTraining(terminal: Terminal, flags: TrainingCommand): Promise<void> {
  const startedAt = new Date(Date.now() - performance.now());
  const run = await openRun(flags, terminal.env, startedAt);
  const { config, folder } = run;
  const interrupted = interruption(terminal);
  const stream = flags.json ? { write: () => true } : terminal.stdout;
  const display = createDisplay({
    stream,
    clock: systemClock(),
    title: `${flags.title}, seed ${config.run.seed}`,
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
      resumeCommand: [flags.title, ...(flags.again ?? []), "--resume"].join(" "),
    });
    display.close();
    await flags.finished?.({ config, path: folder.path, result });
    if (flags.json) terminal.stdout.write(`${JSON.stringify({ ...result.summary, folder: folder.path })}\n`);
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
}
