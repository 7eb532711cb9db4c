/** `covote models train`: makes the checkpoints that come with covote. */
import { availableParallelism } from "node:os";
import { Command, Option } from "commander";
import { invalid } from "../../lib/core/errors.js";
import { packagePath } from "../../lib/core/package-root.js";
import { numberFlag } from "../options.js";
import type { Terminal } from "../terminal.js";
import { grmRows, metaRmRows } from "./postcards-readme.js";
import {
  type PostcardsFigures,
  type TrainPostcardsProgress,
  trainPostcardsModels,
} from "./train-postcards.js";

interface TrainFlags {
  seed: string;
  out: string;
  threads: string;
  json?: boolean;
}

const help = `
Example:
  covote models train postcards --seed 1

Trains the policy, the GRM and the meta RM of the postcards world from nothing (some 25 minutes on two cores)
and writes a checkpoint folder for each. The same seed gives the same bytes.`;

export function trainModelsCommand({ stdout }: Terminal): Command {
  return new Command("train")
    .description("Train the models of a world from a seed")
    .argument("<world>", "postcards")
    .option("--seed <number>", "seed of corpora and weights", "1")
    .option("--out <folder>", "where the checkpoint folders are made", packagePath("models"))
    .addOption(
      new Option("--threads <count>", "worker threads; they change the time, not the result").default(
        String(availableParallelism()),
        "all cores",
      ),
    )
    .option("--json", "print the figures as one JSON object, nothing else")
    .addHelpText("after", help)
    .action(async (world: string, flags: TrainFlags) => {
      if (world !== "postcards") throw invalid("<world>", `must be postcards, got ${JSON.stringify(world)}`);
      const seed = numberFlag("--seed", flags.seed, { whole: true, least: 0, most: 2 ** 32 - 1 }) ?? 1;
      const startedMs = performance.now();
      const figures = await trainPostcardsModels({
        seed,
        outDir: flags.out,
        threads: numberFlag("--threads", flags.threads, { whole: true, least: 1, most: 64 }) ?? 1,
        command: `covote models train postcards --seed ${seed}`,
        date: new Date().toISOString().slice(0, 10),
        ...(!flags.json && { onProgress: progressLines(stdout) }),
      });
      const seconds = Math.round((performance.now() - startedMs) / 1000);
      stdout.write(
        flags.json
          ? `${JSON.stringify({ seed, seconds, ...figures })}\n`
          : table(figures, seconds, flags.out),
      );
    });
}

/** A line at the start of each phase, and one for every twentieth of a training. */
function progressLines(stream: { write(text: string): unknown }): (progress: TrainPostcardsProgress) => void {
  return ({ model, phase, step, steps, loss }) => {
    if (phase === "measuring") stream.write(`${model.padEnd(8)} measuring\n`);
    else if (step === 1 || Math.floor((step * 20) / steps) !== Math.floor(((step - 1) * 20) / steps)) {
      stream.write(`${model.padEnd(8)} step ${step} of ${steps}, loss ${loss.toFixed(4)}\n`);
    }
  };
}

function table(figures: PostcardsFigures, seconds: number, out: string): string {
  const rows: [string, string][] = [
    ["policy: parameters", `${figures.policy.parameters}`],
    ["policy: mean oracle utility, 200 held-out queries", figures.policy.utility.toFixed(3)],
    ["GRM: parameters", `${figures.grm.parameters}`],
    ...grmRows(figures.grm).map(([what, value]): [string, string] => [`GRM: ${what}`, value]),
    ["meta RM: parameters", `${figures.metaRm.parameters}`],
    ...metaRmRows(figures.metaRm).map(([what, value]): [string, string] => [`meta RM: ${what}`, value]),
    ["seconds", `${seconds}`],
  ];
  const width = Math.max(...rows.map(([what]) => what.length));
  return `\n${rows.map(([what, value]) => `${what.padEnd(width)}  ${value}`).join("\n")}\n\nwritten to ${out}\n`;
}
