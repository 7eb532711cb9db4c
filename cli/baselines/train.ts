/**
 * Training one baseline, from data to its folder. The folder appears whole or not at all.
 *
 * Same data, base, settings and seed: the same weights, whatever the number of threads.
 */
import { appendFileSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { CovoteError, invalid } from "../../lib/core/errors.js";
import { grammars } from "../../lib/grm/grammar.js";
import { type Checkpoint, openCheckpoint } from "../../lib/llama/checkpoint.js";
import { createTokenizer, type LlamaTokenizer } from "../../lib/llama/tokenizer.js";
import { someOf, unknownWords } from "../../lib/runtime/checkpoints.js";
import { describing, newBaselineFolder } from "./folder.js";
import { type LearningItems, readLearningItems } from "./items.js";
import { type BaselineJob, type BaselineKind, recipes } from "./kinds.js";
import { trainPairwise } from "./train-pairwise.js";
import { trainPick } from "./train-pick.js";
import { trainScalar } from "./train-scalar.js";
import { trainSemiScalar } from "./train-semi-scalar.js";
import type { BaselineProgress, Trained, TrainingContext } from "./training.js";

export interface TrainBaselineOptions {
  /** What is left out is as `recipes` and the defaults of the configuration say. */
  job: Pick<BaselineJob, "kind" | "data" | "base"> & Partial<BaselineJob>;
  /** A new folder. */
  out: string;
  threads: number;
  signal?: AbortSignal;
  onProgress?: (progress: BaselineProgress) => void;
}

export interface BaselineSummary {
  job: BaselineJob;
  parameters: number;
  steps: number;
  /** Mean over the last twentieth of the steps. */
  loss: number;
  accuracy: number | null;
  /** What was learned from, and what was left out. */
  counts: Record<string, number>;
  seconds: number;
}

const trainers: Record<BaselineKind, (context: TrainingContext) => Promise<Trained>> = {
  pick: trainPick,
  pairwise: trainPairwise,
  scalar: trainScalar,
  "semi-scalar": trainSemiScalar,
};

/** Rejects with `invalid_argument` before anything is trained for data that cannot be used, `cancelled` at the signal. */
export async function trainBaseline(options: TrainBaselineOptions): Promise<BaselineSummary> {
  const startedMs = performance.now();
  const job = wholeJob(options.job);
  const out = newBaselineFolder(options.out);
  const { items, singles, unlabelled } = readLearningItems(job);
  const { base, tokenizer } = await openBase(job);
  const part = join(dirname(out), `.${basename(out)}.part`);
  try {
    prepare(part);
    const trained = await trainers[job.kind]({
      ...{ job, items, base, tokenizer, grammar: grammars[job.grammar], folder: part },
      threads: options.threads,
      signal: options.signal ?? new AbortController().signal,
      onProgress: (progress) => {
        if (progress.t === "training") {
          const { t: _, ...step } = progress;
          appendFileSync(join(part, "metrics.jsonl"), `${JSON.stringify(step)}\n`);
        }
        options.onProgress?.(progress);
      },
    });
    const summary = summaryOf(job, trained, { singles, unlabelled }, (performance.now() - startedMs) / 1000);
    const { kind, grammar, seed } = job;
    const described = { kind, grammar, base: job.base, seed };
    writeFileSync(join(part, "summary.json"), `${JSON.stringify(summary, null, 2)}\n`);
    writeFileSync(join(part, describing), `${JSON.stringify(described, null, 2)}\n`);
    rmSync(out, { recursive: true, force: true });
    renameSync(part, out);
    return summary;
  } finally {
    rmSync(part, { recursive: true, force: true });
  }
}

function wholeJob(given: TrainBaselineOptions["job"]): BaselineJob {
  return {
    ...{ grammar: "postcards", temperature: 1, panelLimit: 4, seed: 1 },
    ...recipes[given.kind],
    ...given,
  };
}

function summaryOf(
  job: BaselineJob,
  { parameters, steps, counts }: Trained,
  left: Pick<LearningItems, "singles" | "unlabelled">,
  seconds: number,
): BaselineSummary {
  const last = steps.slice(-Math.max(1, Math.floor(steps.length / 20)));
  const mean = (of: (step: (typeof last)[number]) => number): number =>
    last.reduce((sum, step) => sum + of(step), 0) / last.length;
  return {
    ...{ job, parameters, steps: steps.length, seconds },
    loss: mean(({ loss }) => loss),
    accuracy: last[0]?.accuracy === undefined ? null : mean(({ accuracy = 0 }) => accuracy),
    counts: { ...counts, ...left },
  };
}

/** Throws `invalid_argument` that names `--base`. */
async function openBase({ base: folder, grammar }: BaselineJob): Promise<{
  base: Checkpoint;
  tokenizer: LlamaTokenizer;
}> {
  try {
    const base = await openCheckpoint(folder);
    if (base.config.head !== "lm") {
      throw invalid(
        folder,
        "has a scalar head; a baseline begins with a language model, the reward model's own",
      );
    }
    const tokenizer = createTokenizer(base);
    tokenizer.chat([{ role: "user", content: "." }]);
    const missing = unknownWords(tokenizer, grammars[grammar].words);
    if (missing.length === 0) return { base, tokenizer };
    throw invalid(folder, `does not know the words ${someOf(missing)} of grm.grammar ${grammar}`);
  } catch (thrown) {
    const error = CovoteError.from(thrown);
    if (error.code === "internal") throw error;
    throw new CovoteError(error.code, `--base: ${error.message}`, { field: "--base", cause: thrown });
  }
}

function prepare(part: string): void {
  try {
    rmSync(part, { recursive: true, force: true });
    mkdirSync(part, { recursive: true });
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code ?? "unknown";
    throw new CovoteError("invalid_argument", `--out: cannot create ${dirname(part)} (${why})`, {
      field: "--out",
      cause,
    });
  }
}
