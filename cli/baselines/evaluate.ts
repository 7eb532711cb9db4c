/** Evaluating a trained baseline: `covote eval` without its terminal, for whoever measures several in one process. */
import type { Clock } from "../../lib/core/clock.js";
import { type EvalFlags, planOf } from "../eval/flags.js";
import { type Evaluation, runEvaluation } from "../eval/run.js";
import { openBaselineFolder } from "./folder.js";
import { baselineVersion, openBaselineJudge } from "./judge.js";

export interface EvaluateBaselineOptions {
  /** Folder that `trainBaseline` made. */
  baseline: string;
  files: readonly string[];
  /** Numbers of votes; a baseline without dice gives the same figure for all. */
  votes: readonly number[];
  greedy: boolean;
  temperature: number;
  seed: number;
  /** Votes file; goes on from what it holds. */
  record: string;
  /** Votes file of another judge. */
  against?: string;
  threads: number;
  signal?: AbortSignal;
  clock: Clock;
}

export async function evaluateBaseline(options: EvaluateBaselineOptions): Promise<Evaluation> {
  const folder = openBaselineFolder("baseline", options.baseline);
  const flags: EvalFlags = {
    votes: options.votes.join(","),
    ...{ metaKeep: "none", greedy: options.greedy, seed: String(options.seed), format: "auto" },
    ...{ deadline: "120000", concurrency: "16" },
  };
  return runEvaluation({
    files: options.files,
    plan: planOf(flags),
    temperature: options.temperature,
    record: options.record,
    against: options.against ?? null,
    judge: baselineVersion(folder),
    signal: options.signal ?? new AbortController().signal,
    clock: options.clock,
    open: async () => {
      const judge = await openBaselineJudge(folder, options.threads);
      return { judge, failed: judge.failed, close: judge.close };
    },
    progress: () => ({ answered: () => undefined, close: () => undefined }),
    note: () => undefined,
  });
}
