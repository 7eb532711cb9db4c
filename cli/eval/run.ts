/** One evaluation from data files to figures: read, ask what is not kept yet, compute. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { Clock } from "../../lib/core/clock.js";
import { CovoteError, invalid } from "../../lib/core/errors.js";
import { type AskedItem, type AskOptions, askedDigest, supports } from "../../lib/evaluation/asked-votes.js";
import {
  limitItems,
  mergeBenchmarks,
  type ReadBenchmark,
  readBenchmark,
} from "../../lib/evaluation/benchmarks.js";
import { conditionsOf } from "../../lib/evaluation/conditions.js";
import {
  type Answers,
  type BenchmarkEvaluation,
  compareJudges,
  type Difference,
  type EvaluateOptions,
  evaluate,
} from "../../lib/evaluation/evaluate.js";
import type { ItemJudge } from "../../lib/evaluation/item-judge.js";
import type { EvaluationItem } from "../../lib/evaluation/items.js";
import { sumTokens, type TokenUse } from "../../lib/evaluation/token-use.js";
import { type Weakness, weaknessOf } from "../../lib/evaluation/weakness.js";
import { decodeUtf8 } from "../../lib/grm/limits.js";
import { askItems } from "./ask-items.js";
import type { EvalPlan } from "./flags.js";
import { openVotesFile, readOtherVotes } from "./votes-file.js";

export interface Evaluation {
  plan: EvalPlan;
  votesFile: string;
  judges: string[];
  metaRms: string[];
  /** Items asked by this run; the others were kept from before. */
  askedNow: number;
  /** Items that the deadline cut short: used, but asked again by the next run. */
  cutShort: number;
  /** Items whose votes no meta RM scored although it was asked to. */
  unfiltered: number;
  /** Of all votes that count here; null: of some it is not known. */
  tokens: TokenUse | null;
  benchmarks: BenchmarkEvaluation[];
  weakness: Weakness | null;
  against: Comparison | null;
}

/** With another judge's votes on the same items. */
export interface Comparison {
  votesFile: string;
  judges: string[];
  /** Of its votes on the items compared; null: of some it is not known. */
  tokens: TokenUse | null;
  /** Per benchmark; this evaluation minus the other, per condition. */
  benchmarks: { title: string; benchmark: string; items: number; differences: Difference[] }[];
}

export interface RunOptions {
  files: readonly string[];
  plan: EvalPlan;
  temperature: number;
  /** Votes file; null is one below runs/eval that is named after what is asked. */
  record: string | null;
  /** Votes file of another judge to compare with. */
  against: string | null;
  /** Who is asked, for the name of the votes file: other models, other file. */
  judge: string;
  signal: AbortSignal;
  clock: Clock;
  /** Called only when something has to be asked. */
  open(): Promise<{ judge: ItemJudge; failed: Promise<CovoteError>; close(): Promise<void> }>;
  progress(total: number, kept: number): { answered(votes: number): void; close(): void };
  note(text: string): void;
}

const resamples = 2000;

export async function runEvaluation(options: RunOptions): Promise<Evaluation> {
  const { plan } = options;
  const read = readAll(options.files, plan);
  const items = read.flatMap((benchmark) => benchmark.items);
  checkModels(items, plan);
  const asking = askPlanOf(plan, options.temperature);
  const digests = new Map(items.map((item) => [item.id, askedDigest(item, asking)]));
  const path = options.record ?? defaultPath(options.files, [...digests.values()], options.judge);
  const other = options.against === null ? null : readOtherVotes(options.against, digests);
  const file = openVotesFile(path, digests);
  const answers = new Map<string, AskedItem | { failure: string }>(file.kept);
  const missing = items.filter(({ id }) => !file.kept.has(id));
  const counts = { cutShort: 0, appended: 0 };
  try {
    if (missing.length > 0) {
      const service = await options.open();
      const progress = options.progress(missing.length, file.kept.size);
      let judge = [...file.kept.values()].find((asked) => asked.judge !== "")?.judge ?? "";
      try {
        const done = askItems(service.judge, missing, {
          plan: asking,
          concurrency: plan.concurrency,
          digestOf: ({ id }) => digests.get(id) as string,
          signal: options.signal,
          answered: (item, answer) => {
            progress.answered(answer.t === "asked" ? answer.asked.votes.length : 0);
            if (answer.t === "failed") {
              answers.set(item.id, { failure: answer.reason });
              return;
            }
            const { asked, whole } = answer;
            if (asked.judge !== "") {
              if (judge !== "" && judge !== asked.judge) throw otherJudge(path, judge, asked.judge);
              judge = asked.judge;
            }
            if (!whole) counts.cutShort++;
            else counts.appended++;
            answers.set(item.id, whole ? file.append(asked, item) : asked);
          },
        });
        await Promise.race([done, service.failed.then((cause) => Promise.reject(cause))]);
      } catch (thrown) {
        const kept = file.kept.size + counts.appended;
        if (kept > 0) {
          options.note(
            `${kept} of ${items.length} items are kept in ${path}; the same command goes on from there`,
          );
        }
        throw options.signal.aborted
          ? new CovoteError("cancelled", "interrupted", { cause: thrown })
          : thrown;
      } finally {
        progress.close();
        await service.close();
      }
    }
  } finally {
    file.close();
  }
  const rules = plan.keep;
  const conditions = conditionsOf(plan.votes, rules, plan.greedy);
  const computing = { conditions, seed: plan.seed, resamples };
  const judged = items.flatMap((item) => {
    const asked = answers.get(item.id);
    return asked === undefined || "failure" in asked || asked.refused !== null ? [] : [{ item, asked }];
  });
  const versions = distinct(judged.map(({ asked }) => asked.judge));
  return {
    plan,
    votesFile: path,
    judges: versions,
    metaRms: distinct(judged.map(({ asked }) => asked.metaRm)),
    askedNow: missing.length,
    cutShort: counts.cutShort,
    tokens: sumTokens(judged.map(({ asked }) => asked.tokens)),
    unfiltered: rules.length === 0 ? 0 : judged.filter(({ asked }) => asked.metaRm === "").length,
    benchmarks: read.map((benchmark) => evaluate(benchmark, answers, computing)),
    against:
      options.against === null || other === null
        ? null
        : compared(options.against, read, answers, other, computing),
    weakness:
      plan.weakness === null ? null : weaknessOf(judged, { ...plan.weakness, keep: rules[0] ?? null }),
  };
}

function compared(
  votesFile: string,
  read: readonly ReadBenchmark[],
  answers: Answers,
  other: ReadonlyMap<string, AskedItem>,
  computing: EvaluateOptions,
): Comparison {
  const theirs = [...other.values()];
  // Without its greedy votes, say, the other judge would be compared as one that judges by chance.
  const [first, ...more] = computing.conditions.filter((condition) =>
    theirs.every((asked) => supports(asked, condition)),
  );
  if (first === undefined)
    throw invalid("--against", `${votesFile}: its items have fewer votes than any that are compared`);
  return {
    votesFile,
    judges: distinct(theirs.map((asked) => asked.judge)),
    tokens: sumTokens(theirs.filter(({ refused }) => refused === null).map(({ tokens }) => tokens)),
    benchmarks: read.map((one) => ({
      title: one.benchmark.title,
      benchmark: one.benchmark.name,
      ...compareJudges(one, answers, other, { ...computing, conditions: [first, ...more] }),
    })),
  };
}

function distinct(versions: readonly string[]): string[] {
  return [...new Set(versions)].filter((version) => version !== "");
}

function readAll(files: readonly string[], plan: EvalPlan): ReadBenchmark[] {
  const read = readFiles(files, plan);
  if (plan.reference) return read;
  return read.map((one) => ({ ...one, items: one.items.map((item) => ({ ...item, reference: null })) }));
}

function readFiles(files: readonly string[], plan: EvalPlan): ReadBenchmark[] {
  const read = mergeBenchmarks(files.map((file) => readBenchmark({ file, text: textOf(file) }, plan.format)));
  if (plan.limit === null) return read;
  const { limit, seed } = plan;
  return read.map((benchmark) => ({ ...benchmark, items: limitItems(benchmark.items, limit, seed) }));
}

function textOf(file: string): string {
  if (/\.parquet$/i.test(file)) {
    throw new CovoteError(
      "invalid_argument",
      `${file}: is Parquet, which is not read; convert it to JSON Lines first`,
    );
  }
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (thrown) {
    const { code, message } = thrown as NodeJS.ErrnoException;
    const problem = { ENOENT: "no such file", EISDIR: "is a folder", EACCES: "may not be read" }[code ?? ""];
    throw new CovoteError("not_found", `${file}: ${problem ?? message}`, { cause: thrown });
  }
  return decodeUtf8(file, bytes);
}

function checkModels(items: readonly EvaluationItem[], { weakness }: EvalPlan): void {
  if (weakness === null) return;
  const known = new Set(items.flatMap(({ models }) => models ?? []));
  for (const model of [weakness.loser, weakness.winner]) {
    if (known.has(model)) continue;
    const some = [...known].slice(0, 6).join(", ");
    throw new CovoteError(
      "invalid_argument",
      `--weakness: no response is by ${JSON.stringify(model)}; ${some === "" ? "the data does not say who wrote them" : `there is ${some}`}`,
      { field: "--weakness" },
    );
  }
}

function askPlanOf(plan: EvalPlan, temperature: number): AskOptions {
  const { keep, greedy, seed, split, panelLimit } = plan;
  return {
    votes: Math.max(...plan.votes),
    meta: keep.length > 0,
    greedy,
    temperature,
    seed,
    panelLimit,
    split,
  };
}

function defaultPath(files: readonly string[], digests: readonly string[], judge: string): string {
  const hash = createHash("sha256")
    .update(JSON.stringify([judge, digests]))
    .digest("hex")
    .slice(0, 12);
  const name = basename(files[0] ?? "data").replace(/\.jsonl?$/, "");
  return join("runs", "eval", `${name}-${hash}.jsonl`);
}

function otherJudge(path: string, kept: string, now: string): CovoteError {
  return new CovoteError(
    "failed_precondition",
    `${path}: its votes are by ${kept}, and now ${now} judges; give another file with --record`,
  );
}
