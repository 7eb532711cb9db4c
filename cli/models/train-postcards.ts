/**
 * Makes the three checkpoints of the postcards world from nothing but a seed, and measures them.
 *
 * The same seed gives the same bytes in every `model.safetensors`, however many threads work on it. Each
 * checkpoint appears whole, with a README.md that says how it was made and what it can do.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createRandom, seedFrom } from "../../lib/core/random.js";
import { saveCheckpoint } from "../../lib/llama/checkpoint.js";
import type { LlamaConfig } from "../../lib/llama/config.js";
import { layoutOf } from "../../lib/llama/layout.js";
import type { LlamaTokenizer } from "../../lib/llama/tokenizer.js";
import { heldOutQueries } from "../../worlds/postcards/query.js";
import {
  type GrmFigures,
  type MetaRmFigures,
  measureGrm,
  measureMetaRm,
  policyUtility,
} from "./measure-postcards.js";
import {
  grmConfig,
  metaRmConfig,
  policyConfig,
  postcardsCheckpoint,
  postcardsTokenizer,
} from "./postcards-checkpoint.js";
import { grmReadme, metaRmReadme, policyReadme } from "./postcards-readme.js";
import { trainGrm } from "./train-postcards-grm.js";
import { trainMetaRm } from "./train-postcards-meta-rm.js";
import { trainPolicy } from "./train-postcards-policy.js";

export const postcardsModels = ["policy", "grm", "meta-rm"] as const;
export type PostcardsModel = (typeof postcardsModels)[number];

export interface TrainPostcardsOptions {
  seed: number;
  /** Gets the folders `postcards-policy`, `postcards-grm` and `postcards-meta-rm`; former ones are replaced. */
  outDir: string;
  /** Worker threads; changes the time, not the result. */
  threads: number;
  /** Goes into the README files: the command that was given and the day, YYYY-MM-DD. */
  command: string;
  date: string;
  onProgress?: (progress: TrainPostcardsProgress) => void;
}

export interface TrainPostcardsProgress {
  model: PostcardsModel;
  phase: "training" | "measuring";
  step: number;
  steps: number;
  /** Smoothed; NaN while there is none. */
  loss: number;
}

export interface PostcardsFigures {
  policy: { parameters: number; utility: number };
  grm: GrmFigures & { parameters: number };
  metaRm: MetaRmFigures & { parameters: number };
}

export async function trainPostcardsModels(options: TrainPostcardsOptions): Promise<PostcardsFigures> {
  const { seed, threads } = options;
  const tokenizer = postcardsTokenizer();
  const reportOn =
    (model: PostcardsModel) =>
    ({ step, steps, loss }: { step: number; steps: number; loss: number }): void =>
      options.onProgress?.({ model, phase: "training", step, steps, loss });
  const measuring = (model: PostcardsModel): void =>
    options.onProgress?.({ model, phase: "measuring", step: 0, steps: 1, loss: Number.NaN });

  const policy = await trainPolicy(seed, tokenizer, threads, reportOn("policy"));
  measuring("policy");
  const policyFigures = {
    parameters: layoutOf(policyConfig).size,
    utility: await policyBaseline(policy, tokenizer),
  };
  await save("policy", policyConfig, policy, policyReadme(policyFigures, options), options.outDir);

  const grm = await trainGrm(seed, tokenizer, threads, reportOn("grm"));
  measuring("grm");
  const grmFigures = {
    parameters: layoutOf(grmConfig).size,
    ...(await measureGrm(grm, tokenizer, { threads, pairs: 1000, panels: 1000, seed: measuringSeed })),
  };
  await save("grm", grmConfig, grm, grmReadme(grmFigures, options), options.outDir);

  const metaRm = await trainMetaRm(seed, grm, tokenizer, threads, reportOn("meta-rm"));
  measuring("meta-rm");
  const metaRmFigures = {
    parameters: layoutOf(metaRmConfig).size,
    ...(await measureMetaRm(grm, metaRm, tokenizer, { threads, panels: 1000, seed: measuringSeed })),
  };
  await save("meta-rm", metaRmConfig, metaRm, metaRmReadme(metaRmFigures, options), options.outDir);
  return { policy: policyFigures, grm: grmFigures, metaRm: metaRmFigures };
}

/** Figures of different training seeds are compared on the same panels. */
const measuringSeed = 1;

function policyBaseline(weights: Float32Array, tokenizer: LlamaTokenizer): Promise<number> {
  const queries = heldOutQueries(200, createRandom(seedFrom("held-out")));
  return policyUtility({ config: policyConfig, weights }, tokenizer, queries, measuringSeed);
}

async function save(
  model: PostcardsModel,
  config: LlamaConfig,
  weights: Float32Array,
  readme: string,
  outDir: string,
): Promise<void> {
  const dir = join(outDir, `postcards-${model}`);
  await saveCheckpoint(dir, postcardsCheckpoint(config, weights), { dtype: "float32" });
  await writeFile(join(dir, "README.md"), readme);
}
