/** `covote spct meta-rm`: a meta RM for a reward model's votes, trained on judgments that the cluster collects. */
import { rmSync } from "node:fs";
import { basename, resolve } from "node:path";
import { Command } from "commander";
import { systemClock } from "../../lib/core/clock.js";
import { CovoteError, invalid } from "../../lib/core/errors.js";
import { checkTemperature, judgingLimits } from "../../lib/grm/limits.js";
import type { CovoteConfig } from "../../lib/host/covote-config.js";
import { checkpointFolder } from "../../lib/runtime/checkpoints.js";
import { type ConfigFlags, compileFlags, numberFlag, withConfig } from "../options.js";
import { preflight } from "../preflight.js";
import { styleFor } from "../run/display.js";
import { interruption, type Terminal } from "../terminal.js";
import { readGroups } from "./judged-groups.js";
import { isMade, type MadeMetaRm, makeMetaRm, openData } from "./make-meta-rm.js";
import { checkBase } from "./meta-rm-base.js";
import {
  checkNewFolder,
  createMetaRmFolder,
  digestOf,
  type MetaRmFolder,
  type MetaRmJob,
  openMetaRmFolder,
} from "./meta-rm-folder.js";
import { progressLines } from "./meta-rm-progress.js";
import { type MetaRmSummary, metaRmPage, renderMetaRm } from "./meta-rm-report.js";
import { isDemo } from "./panels.js";

interface MetaRmFlags extends ConfigFlags {
  grm?: string;
  base?: string;
  out?: string;
  resume?: string;
  heldout?: string;
  trajectories?: string;
  samples: string;
  votes: string;
  items: string;
  heldoutItems: string;
  extraLayers: string;
  steps: string;
  batch: string;
  learningRate: string;
  peers: string;
  readings: string;
  seed?: string;
  json?: boolean;
}

const help = `
Example:
  covote spct meta-rm prefs.jsonl --grm models/mine-rl --out models/mine-meta-rm
  covote spct meta-rm --resume models/mine-meta-rm

The folder holds checkpoint/ (give it as metaRm.checkpoint), report.html, summary.json, metrics.jsonl, and the
collected judgments: trajectories.jsonl and held-out.jsonl.
`;

export function metaRmCommand(terminal: Terminal): Command {
  return withConfig(new Command("meta-rm"))
    .description("Train a meta RM: it rates the votes of a reward model, so that only the best are summed")
    .argument("[data]", "preferences, JSONL; or postcards, the demo world's", "postcards")
    .option("--grm <folder>", "reward model whose votes are rated (default: grm.checkpoint)")
    .option(
      "--base <folder>",
      "checkpoint to begin with: a language model, or a meta RM to go on with (default: the reward model)",
    )
    .option("--out <folder>", "where everything goes; a new folder")
    .option("--resume <folder>", "go on with an interrupted one")
    .option("--heldout <data>", "preferences to measure on (default: a tenth of the data)")
    .option("--trajectories <file>", "also learn from judgments collected before, a trajectories.jsonl")
    .option("--samples <count>", "judgments of each item to learn from", "6")
    .option("--votes <count>", "votes on each held-out item (k)", "8")
    .option("--items <count>", "most items to learn from", "4500")
    .option("--heldout-items <count>", "most held-out items", "1000")
    .option("--extra-layers <count>", "new layers on top of a base without a scalar head", "3")
    .option("--steps <count>", "optimiser steps", "1000")
    .option("--batch <count>", "judgments per step", "64")
    .option("--learning-rate <rate>", "highest learning rate", "0.0015")
    .option(
      "--peers <weight>",
      "mix into the targets what the panel's other judgments say, per point of score; 0: right or wrong alone",
      "0.5",
    )
    .option("--readings <weight>", "weight of what is learned about single tokens and scores on the way", "1")
    .option("--seed <number>", "seed of everything random")
    .option("--json", "print the summary as one JSON object, nothing else")
    .addHelpText("after", help)
    .action(async (data: string, flags: MetaRmFlags) => {
      const startedMs = performance.now();
      const { folder, config } = await open(data, flags, terminal);
      const interrupted = interruption(terminal);
      const out = flags.json === true ? { write: () => true } : terminal.stdout;
      try {
        const made = await makeMetaRm({
          folder,
          config,
          env: terminal.env,
          clock: systemClock(),
          signal: interrupted.signal,
          onProgress: progressLines(out, systemClock()),
        });
        const summary = await finish(folder, made, (performance.now() - startedMs) / 1000);
        if (flags.json === true) terminal.stdout.write(`${JSON.stringify(summary)}\n`);
        else {
          const lines = renderMetaRm(summary, folder.path, styleFor(terminal.stdout, terminal.env));
          terminal.stdout.write(`${lines.join("\n")}\n`);
        }
      } catch (thrown) {
        throw resumable(thrown, folder);
      } finally {
        interrupted.release();
        folder.close();
      }
    });
}

async function open(
  data: string,
  flags: MetaRmFlags,
  { env }: Terminal,
): Promise<{ folder: MetaRmFolder; config: CovoteConfig }> {
  const compile = (job: Partial<MetaRmJob>): CovoteConfig =>
    compileFlags(
      flags,
      {
        "training.role": "grm",
        "training.groupSize": Math.max(2, job.samples ?? 2),
        "grm.checkpoint": job.grm,
        "run.seed": job.seed,
      },
      env,
    );
  if (flags.resume !== undefined) {
    if (flags.out !== undefined) throw invalid("--resume", "goes on in its own folder; leave --out out");
    const folder = openMetaRmFolder(flags.resume);
    if (isMade(folder)) throw invalid("--resume", `${flags.resume} is done; see its report.html`);
    const config = compile(folder.job);
    await check(folder.job, config, env);
    return { folder, config };
  }
  if (flags.out === undefined) throw invalid("--out", "is missing; name a new folder");
  const path = checkNewFolder(flags.out);
  const job = jobOf(data, flags, (over) => compile(over));
  const config = compile(job);
  await check(job, config, env);
  return { folder: createMetaRmFolder(path, job), config };
}

function jobOf(
  data: string,
  flags: MetaRmFlags,
  compile: (over: Partial<MetaRmJob>) => CovoteConfig,
): MetaRmJob {
  const whole = (flag: string, text: string, least: number, most: number): number =>
    numberFlag(flag, text, { whole: true, least, most }) as number;
  const number = (flag: string, text: string, least: number, most: number): number =>
    numberFlag(flag, text, { least, most }) as number;
  const seed = numberFlag("--seed", flags.seed, { whole: true, least: 0, most: 0xffffffff });
  const config = compile({
    ...(flags.grm !== undefined && { grm: resolve(flags.grm) }),
    ...(seed !== undefined && { seed }),
  });
  const { temperature, panelLimit } = config.judging;
  checkTemperature("judging.temperature", temperature, judgingLimits.temperature);
  if (temperature === 0)
    throw invalid("judging.temperature", "is 0: all votes would be alike; give the votes' own");
  const grm = resolve(checkpointFolder(config, "grm"));
  const extraLayers = whole("--extra-layers", flags.extraLayers, 0, 16);
  const fileDigest = (path: string | undefined): string | null =>
    path === undefined ? null : digestOf(path);
  const votes = whole("--votes", flags.votes, 2, judgingLimits.votes);
  const learningRate = number("--learning-rate", flags.learningRate, 0, 1);
  if (learningRate === 0) throw invalid("--learning-rate", "must be above 0");
  return {
    data: isDemo(data) ? data : resolve(data),
    heldOut:
      flags.heldout === undefined || isDemo(flags.heldout) ? (flags.heldout ?? null) : resolve(flags.heldout),
    trajectories: flags.trajectories === undefined ? null : resolve(flags.trajectories),
    digests: {
      data: fileDigest(data),
      heldOut: fileDigest(flags.heldout),
      trajectories: fileDigest(flags.trajectories),
    },
    grm,
    base: flags.base === undefined ? grm : resolve(flags.base),
    items: whole("--items", flags.items, 1, 10_000_000),
    heldOutItems: whole("--heldout-items", flags.heldoutItems, 1, 10_000_000),
    samples: whole("--samples", flags.samples, 1, 64),
    votes,
    temperature,
    panelLimit,
    extraLayers,
    steps: whole("--steps", flags.steps, 1, 10_000_000),
    batch: whole("--batch", flags.batch, 1, 4096),
    learningRate,
    peers: number("--peers", flags.peers, 0, 100),
    readings: number("--readings", flags.readings, 0, 100),
    seed: config.run.seed,
    grammar: config.grm.grammar,
  };
}

/** All that can be known to be wrong before anything is written. */
async function check(job: MetaRmJob, config: CovoteConfig, env: Terminal["env"]): Promise<void> {
  openData(job);
  if (job.trajectories !== null) readGroups("--trajectories", job.trajectories);
  await preflight(config, { roles: ["grm"], listen: "none", processes: 0, env });
  await checkBase(job.base, job.grammar);
}

async function finish(folder: MetaRmFolder, made: MadeMetaRm, seconds: number): Promise<MetaRmSummary> {
  const { figures, counts, parameters, steps } = made;
  const { job } = folder;
  const summary = { seed: job.seed, figures, counts, parameters, steps: steps.length, seconds, job };
  // Loaded when needed: the plotting library is large.
  const { drawMetaRm } = await import("./meta-rm-charts.js");
  const charts = drawMetaRm(figures.calibration, figures.keep, steps);
  folder.write("report.html", metaRmPage(summary, basename(folder.path), charts));
  folder.write("summary.json", `${JSON.stringify(summary, null, 2)}\n`);
  rmSync(folder.file("state"), { recursive: true, force: true });
  return summary;
}

function resumable(thrown: unknown, folder: MetaRmFolder): unknown {
  if (!(thrown instanceof CovoteError) || thrown.code !== "cancelled") return thrown;
  const message = `${thrown.message}; go on with covote spct meta-rm --resume ${folder.path}`;
  return new CovoteError("cancelled", message, { cause: thrown });
}
