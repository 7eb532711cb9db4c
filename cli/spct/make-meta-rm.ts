/**
 * Making a meta RM, from judgments to the report: collect → label → train → measure.
 *
 * Everything that was done is in the folder; called again on the same folder it goes on from there.
 */
import { existsSync } from "node:fs";
import type { Clock } from "../../lib/core/clock.js";
import { CovoteError, invalid } from "../../lib/core/errors.js";
import type { GenerativeEngine } from "../../lib/engine/engine.js";
import { bestScale } from "../../lib/evaluation/calibration.js";
import { grammars } from "../../lib/grm/grammar.js";
import type { CovoteConfig } from "../../lib/host/covote-config.js";
import { openCheckpoint } from "../../lib/llama/checkpoint.js";
import { createTokenizer } from "../../lib/llama/tokenizer.js";
import { type MetaExample, type MetaLabels, metaLabels } from "../../lib/spct/meta-labels.js";
import { peerGaps, peerTargets } from "../../lib/spct/peer-targets.js";
import { openLlamaScalarTrainer } from "../../lib/trainer/llama-scalar.js";
import type { RatedSequence, Reading, ScalarTrainer } from "../../lib/trainer/scalar.js";
import { collectPanels } from "./collect-panels.js";
import { type JudgedGroup, readGroups } from "./judged-groups.js";
import { type JudgingServices, openJudgingServices } from "./judging-services.js";
import { type MetaRmFigures, measureMetaRm } from "./measure-meta-rm.js";
import type { MetaRmFolder, MetaRmJob } from "./meta-rm-folder.js";
import { demoItems, fileItems, type ItemSource, isDemo, splitItems } from "./panels.js";
import { type RatedJudgment, rateable } from "./rated-examples.js";
import { type MetaRmRecipe, type MetaRmStep, trainMetaRm } from "./train-meta-rm.js";

export type MetaRmProgress =
  | { t: "collecting"; what: "training" | "held-out"; done: number; total: number }
  | ({ t: "training" } & MetaRmStep)
  | { t: "measuring" };

export interface MakeMetaRmOptions {
  folder: MetaRmFolder;
  /** With `grm.checkpoint` and `run.seed` set to the job's. */
  config: CovoteConfig;
  env: Readonly<Record<string, string | undefined>>;
  clock: Clock;
  signal: AbortSignal;
  onProgress(progress: MetaRmProgress): void;
  /** Default: the GRM's checkpoint. */
  openEngine?: () => Promise<GenerativeEngine>;
}

export interface MadeMetaRm {
  figures: MetaRmFigures;
  steps: readonly MetaRmStep[];
  counts: MetaLabels<unknown>["counts"] & { panels: number; refused: number; tooLong: number };
  parameters: number;
}

/** The data of a job, checked; throws `invalid_argument` that names flag, file and line. */
export function openData(job: Pick<MetaRmJob, "data" | "heldOut" | "items" | "heldOutItems" | "seed">): {
  train: ItemSource;
  heldOut: ItemSource;
} {
  const { seed } = job;
  const demo = (split: "train" | "held-out", count: number): ItemSource => demoItems({ count, split, seed });
  const file = (flag: string, path: string, most: number): ItemSource => {
    const { source } = fileItems(flag, path);
    return { ...source, count: Math.min(most, source.count) };
  };
  if (job.heldOut !== null) {
    const heldOut = isDemo(job.heldOut)
      ? demo("held-out", job.heldOutItems)
      : file("--heldout", job.heldOut, job.heldOutItems);
    return {
      train: isDemo(job.data) ? demo("train", job.items) : file("[data]", job.data, job.items),
      heldOut,
    };
  }
  if (isDemo(job.data))
    return { train: demo("train", job.items), heldOut: demo("held-out", job.heldOutItems) };
  const { train, heldOut } = splitItems(fileItems("[data]", job.data).source, seed);
  return {
    train: { ...train, count: Math.min(job.items, train.count) },
    heldOut: { ...heldOut, count: Math.min(job.heldOutItems, heldOut.count) },
  };
}

export async function makeMetaRm(options: MakeMetaRmOptions): Promise<MadeMetaRm> {
  const { folder, onProgress, signal } = options;
  const { job } = folder;
  const base = await openCheckpoint(job.base);
  const grammar = grammars[job.grammar as keyof typeof grammars];
  const { maxPositions } = base.config;
  const reading = { grammar, tokenizer: createTokenizer(base), maxPositions };
  const extra = job.trajectories === null ? [] : readGroups("--trajectories", job.trajectories);
  const read = (groups: readonly JudgedGroup[]) => rateable([...extra, ...groups], reading);
  // Judgments that teach nothing are found before more of them are collected.
  const { train, heldOut } = await collectBoth(
    options,
    (groups) => void labelled(read(groups).rated, groups),
  );
  const training = read(train);
  const measured = rateable(heldOut, reading);
  const { examples, counts } = labelled(training.rated, train);
  if (measured.rated.length === 0) throw nothingToMeasure(heldOut);

  const trainer = openLlamaScalarTrainer({
    checkpoint: base,
    extraLayers: job.extraLayers,
    seed: job.seed,
    threads: options.config.training.threads,
  });
  try {
    const steps = await trainMetaRm({
      trainer,
      examples: sequences(examples, job),
      recipe: recipeOf(job),
      seed: job.seed,
      folder: folder.path,
      saveEvery: 50,
      signal,
      onStep: (step) => onProgress({ t: "training", ...step }),
    });
    onProgress({ t: "measuring" });
    await calibrate(trainer, examples);
    const logits = await scoreAll(trainer, measured.rated);
    const figures = measureMetaRm(heldOut, measured.rated, logits, job);
    await trainer.export(folder.file("checkpoint"), { seed: String(job.seed) });
    const refused = [...train, ...heldOut].filter(({ refusal }) => refusal !== "").length;
    const { parameters } = trainer;
    const tooLong = training.tooLong + measured.tooLong;
    return { figures, steps, counts: { ...counts, panels: train.length, refused, tooLong }, parameters };
  } finally {
    await trainer.close();
  }
}

function recipeOf({ steps, batch, learningRate }: MetaRmJob): MetaRmRecipe {
  return { steps, batch, learningRate, warmupSteps: 20 };
}

/** How sure a label is, as a logit, where peers have a say. */
const labelLogit = 0.7;

/** How much more the scores count than the tokens before them, of what is read on the way. */
const scoresWeight = 2;

/**
 * Labels, mixed with what the panel's other judgments say; and on the way to them how likely the author found each
 * token, and at each score how far above it the others are. What was said at a single token tells slips from
 * sound analysis, and the scores are where they add up.
 */
function sequences(
  examples: readonly MetaExample<RatedJudgment>[],
  { peers, readings }: MetaRmJob,
): RatedSequence[] {
  const panels = new Map<JudgedGroup, number>();
  for (const { judgment } of examples) panels.set(judgment.group, panels.get(judgment.group) ?? panels.size);
  const judged = examples.map(({ judgment, target }) => ({
    right: target === 1,
    scores: judgment.judgment.scores,
    panel: panels.get(judgment.group) ?? 0,
  }));
  const targets = peerTargets(judged, { right: peers > 0 ? labelLogit : Infinity, peers });
  const gaps = peerGaps(judged);
  return examples.map(({ judgment: { tokenIds, logprobs, scoreEnds } }, i) => {
    const likelihood = logprobs.map((each) => ({ ...each, weight: readings / logprobs.length }));
    const ends = peers > 0 ? (scoreEnds ?? []) : [];
    const scores = (gaps[i] ?? []).flatMap((gap, r): Reading[] => {
      const at = ends[r];
      if (at === undefined || at >= tokenIds.length - 1) return [];
      return [{ at, value: peers * gap, weight: (scoresWeight * readings) / ends.length }];
    });
    const all = readings > 0 ? [...likelihood, ...scores] : [];
    return { tokenIds, target: targets[i] as number, readings: all };
  });
}

/** `check` looks at the training judgments before the others are collected. */
async function collectBoth(
  options: MakeMetaRmOptions,
  check: (train: readonly JudgedGroup[]) => void,
): Promise<{ train: JudgedGroup[]; heldOut: JudgedGroup[] }> {
  const { folder, config, env, clock, signal, onProgress, openEngine } = options;
  const { job } = folder;
  const data = openData(job);
  const grammar = grammars[job.grammar as keyof typeof grammars];
  const { temperature, panelLimit, seed, grm } = job;
  // The stop token is one of them.
  const maxTokens = 1 + Math.min(grammar.maxTokens(grammar.maxPanel), config.grm.maxTokens ?? Infinity);
  const common = { temperature, maxTokens, panelLimit, seed };
  // The votes of a panel come in several orders, two of each, as in the cluster.
  const perOrder = job.votes % 2 === 0 ? 2 : 1;
  let services: Promise<JudgingServices> | undefined;
  const collected = (name: "training" | "held-out", path: string, source: ItemSource) =>
    collectPanels({
      ...{ grammar, grm, clock, signal, path },
      plan: {
        ...common,
        ...{ name, source },
        orders: name === "training" ? 1 : job.votes / perOrder,
        groupSize: name === "training" ? job.samples : perOrder,
      },
      services: () => {
        services ??= openJudgingServices({ config, env, clock, ...(openEngine && { openEngine }) });
        return services;
      },
      onGroup: (done, total) => onProgress({ t: "collecting", what: name, done, total }),
    });
  try {
    const train = await collected("training", folder.file("trajectories.jsonl"), data.train);
    check(train);
    const heldOut = await collected("held-out", folder.file("held-out.jsonl"), data.heldOut);
    return { train, heldOut };
  } finally {
    await services?.then((opened) => opened.stop());
  }
}

function labelled(
  rated: readonly RatedJudgment[],
  groups: readonly JudgedGroup[],
): MetaLabels<RatedJudgment> {
  const refused = groups.find(({ refusal }) => refusal !== "");
  try {
    return metaLabels(rated, { balance: "none", seed: 0 });
  } catch (thrown) {
    const { message } = CovoteError.from(thrown);
    const why =
      rated.length === 0 && refused !== undefined ? `none could be made: ${refused.refusal}` : message;
    throw invalid("[data]", `no usable judgment of ${groups.length} panels: ${why}`);
  }
}

function nothingToMeasure(groups: readonly JudgedGroup[]): CovoteError {
  const reason = groups.find(({ refusal }) => refusal !== "")?.refusal ?? "all are too long for the meta RM";
  return invalid("--heldout", `none of ${groups.length} panels has a judgment to measure on: ${reason}`);
}

/** Judgments that the scale is fitted to; more would not move it. */
const calibratingJudgments = 4000;

/** So that the logit is one of being right, whatever the targets were. The order of votes stays. */
async function calibrate(
  trainer: ScalarTrainer,
  examples: readonly MetaExample<RatedJudgment>[],
): Promise<void> {
  const some = examples.slice(0, calibratingJudgments);
  const logits = await scoreAll(
    trainer,
    some.map(({ judgment }) => judgment),
  );
  const votes = some.map(({ target }, i) => ({ logit: logits[i] as number, right: target === 1 }));
  await trainer.scaleHead(bestScale(votes));
}

async function scoreAll(trainer: ScalarTrainer, rated: readonly RatedJudgment[]): Promise<number[]> {
  const logits: number[] = [];
  for (let from = 0; from < rated.length; from += 256) {
    logits.push(...(await trainer.score(rated.slice(from, from + 256).map(({ tokenIds }) => tokenIds))));
  }
  return logits;
}

/** Whether the folder's job is done. */
export function isMade(folder: Pick<MetaRmFolder, "file">): boolean {
  return existsSync(folder.file("summary.json"));
}
