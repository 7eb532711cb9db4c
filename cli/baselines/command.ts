/** `covote spct baseline`: a baseline to compare a reward model with, trained from the same base on the same data. */
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { Command } from "commander";
import { systemClock } from "../../lib/core/clock.js";
import { invalid } from "../../lib/core/errors.js";
import { checkTemperature, judgingLimits } from "../../lib/grm/limits.js";
import { checkpointFolder } from "../../lib/runtime/checkpoints.js";
import { type ConfigFlags, compileFlags, numberFlag, withConfig } from "../options.js";
import { count, duration } from "../run/text.js";
import { isDemo } from "../spct/panels.js";
import { interruption, type Terminal } from "../terminal.js";
import { type BaselineJob, baselineKinds, kindOf, recipes } from "./kinds.js";
import { baselineProgress } from "./progress.js";
import { type BaselineSummary, trainBaseline } from "./train.js";

interface BaselineFlags extends ConfigFlags {
  base?: string;
  out?: string;
  items?: string;
  samples?: string;
  epochs?: string;
  batch?: string;
  learningRate?: string;
  extraLayers?: string;
  seed?: string;
  json?: boolean;
}

const help = `
KIND is
  pick         LLM as a judge: writes principles and critique, then names the best response; votes are counted
  pairwise     a scalar head on two responses: which is better; lists by round robin
  scalar       a scalar head on one response (Bradley-Terry)
  semi-scalar  a critique of one response, then a scalar head on both (CLoud); scalars of k critiques are averaged

Example:
  covote spct baseline scalar prefs.jsonl --base models/mine-base --out models/mine-scalar
  covote eval pairs.jsonl --baseline models/mine-scalar --against votes-of-the-grm.jsonl
`;

export function baselineCommand(terminal: Terminal): Command {
  return withConfig(new Command("baseline"))
    .description("Train a baseline to compare with: pick, pairwise, scalar or semi-scalar")
    .argument("<kind>", baselineKinds.join(", "))
    .argument("[data]", "preferences, JSONL; or postcards, the demo world's", "postcards")
    .option("--base <folder>", "language model to begin with (default: grm.checkpoint)")
    .option("--out <folder>", "where everything goes; a new folder")
    .option("--items <count>", "most items to learn from")
    .option("--samples <count>", "judgments of an item (pick) or critiques of a response (semi-scalar)")
    .option("--epochs <number>", "how often the data is gone through")
    .option("--batch <count>", "items per step; for pick, judgments")
    .option("--learning-rate <rate>", "highest learning rate")
    .option("--extra-layers <count>", "new layers on top of the base, under the scalar head")
    .option("--seed <number>", "seed of everything random")
    .option("--json", "print the summary as one JSON object, nothing else")
    .addHelpText("after", help)
    .action(async (kind: string, data: string, flags: BaselineFlags) => {
      const { job, threads } = jobOf(kind, data, flags, terminal.env);
      if (flags.out === undefined) throw invalid("--out", "is missing; name a new folder");
      const interrupted = interruption(terminal);
      const out = flags.json === true ? { write: () => true } : terminal.stdout;
      try {
        const summary = await trainBaseline({
          ...{ job, threads, out: flags.out, signal: interrupted.signal },
          onProgress: baselineProgress(out, systemClock()),
        });
        const text = flags.json === true ? JSON.stringify(summary) : render(summary, flags.out);
        terminal.stdout.write(`${text}\n`);
      } finally {
        interrupted.release();
      }
    });
}

function jobOf(
  kindText: string,
  data: string,
  flags: BaselineFlags,
  env: Terminal["env"],
): { job: BaselineJob; threads: number } {
  const kind = kindOf("<kind>", kindText);
  const recipe = recipes[kind];
  const whole = (
    flag: string,
    text: string | undefined,
    least: number,
    most: number,
    usual: number,
  ): number => numberFlag(flag, text, { whole: true, least, most }) ?? usual;
  const samples = whole("--samples", flags.samples, 1, 64, recipe.samples);
  if (flags.samples !== undefined && recipe.samples === 0)
    throw invalid("--samples", `${kind} samples nothing; leave it out`);
  if (flags.extraLayers !== undefined && kind === "pick")
    throw invalid("--extra-layers", "pick has no scalar head; leave it out");
  const learningRate = numberFlag("--learning-rate", flags.learningRate, { least: 0, most: 1 });
  if (learningRate === 0) throw invalid("--learning-rate", "must be above 0");
  const epochs = numberFlag("--epochs", flags.epochs, { least: 0, most: 10_000 });
  if (epochs === 0) throw invalid("--epochs", "must be above 0");
  const config = compileFlags(
    flags,
    {
      "grm.checkpoint": flags.base === undefined ? undefined : resolve(flags.base),
      "run.seed": numberFlag("--seed", flags.seed, { whole: true, least: 0, most: 0xffffffff }),
    },
    env,
    { "training.threads": availableParallelism() },
  );
  const { temperature, panelLimit } = config.judging;
  checkTemperature("judging.temperature", temperature, judgingLimits.temperature);
  if (temperature === 0 && recipe.samples > 0)
    throw invalid("judging.temperature", "is 0: all samples would be alike; give the votes' own");
  return {
    threads: config.training.threads,
    job: {
      kind,
      data: isDemo(data) ? data : resolve(data),
      base: resolve(checkpointFolder(config, "grm")),
      grammar: config.grm.grammar,
      items: whole("--items", flags.items, 1, 10_000_000, recipe.items),
      samples,
      temperature,
      panelLimit,
      epochs: epochs ?? recipe.epochs,
      batch: whole("--batch", flags.batch, 1, 4096, recipe.batch),
      learningRate: learningRate ?? recipe.learningRate,
      extraLayers: whole("--extra-layers", flags.extraLayers, 0, 16, recipe.extraLayers),
      seed: config.run.seed,
    },
  };
}

function render(
  { job, parameters, steps, loss, accuracy, counts, seconds }: BaselineSummary,
  out: string,
): string {
  const counted = Object.entries(counts)
    .filter(([, number]) => number > 0)
    .map(([name, number]) => `${count(number)} ${name.replace("_", " ")}`);
  const right = accuracy === null ? "" : `, ${(100 * accuracy).toFixed(1)} % of the pairs in the right order`;
  return [
    "",
    `  ${job.kind}  ${count(parameters)} parameters, ${count(steps)} steps, ${duration(seconds)}`,
    `  Learned from ${counted.join(", ")}`,
    `  At the end: loss ${loss.toFixed(4)}${right}`,
    `  Baseline  ${out}  (covote eval DATA --baseline ${out})`,
    "",
  ].join("\n");
}
