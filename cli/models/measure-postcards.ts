/**
 * Figures of the postcards models on held-out queries, against the oracle.
 */
import { CovoteError } from "../../lib/core/errors.js";
import { seedFrom } from "../../lib/core/random.js";
import type { LlamaConfig } from "../../lib/llama/config.js";
import { openInference } from "../../lib/llama/inference.js";
import type { LlamaTokenizer } from "../../lib/llama/tokenizer.js";
import { utility } from "../../worlds/postcards/oracle.js";
import { type Query, renderQuery } from "../../worlds/postcards/query.js";
import { maxCardWords } from "../../worlds/postcards/vocabulary.js";
import { openJuror, type PanelVote } from "./grm-votes.js";
import { heldOutPanels, type LabelledPanel, labelVotes, mean, pickAccuracy } from "./labelled-panels.js";
import { grmConfig, metaRmConfig } from "./postcards-checkpoint.js";

/** Mean oracle utility of one card per query, sampled at temperature 1. */
export async function policyUtility(
  model: { config: LlamaConfig; weights: Float32Array },
  tokenizer: LlamaTokenizer,
  queries: readonly Query[],
  seed: number,
): Promise<number> {
  const engine = await openInference({ ...model, version: "policy" });
  try {
    const utilities = await Promise.all(
      queries.map(async (query, i) => {
        const { tokens } = await engine.generate({
          prompt: tokenizer.chat([{ role: "user", content: renderQuery(query) }]),
          maxTokens: maxCardWords + 1,
          temperature: 1,
          seed: seedFrom("policy utility", seed, i),
          stop: [tokenizer.eosTokenId],
        });
        return utility(query, tokenizer.decode([...tokens], { skipSpecial: true }));
      }),
    );
    return mean(utilities);
  } finally {
    await engine.close();
  }
}

export interface PickFigures {
  greedy: number;
  /** One vote at temperature 1, mean over eight. */
  one: number;
  /** Sum of eight votes. */
  eight: number;
}

export interface GrmFigures {
  pairs: PickFigures;
  panels: PickFigures;
  /** Share of votes at temperature 1. */
  unparsable: number;
}

/** How well a GRM picks the best card of held-out pairs and of held-out panels of four. */
export async function measureGrm(
  grm: Float32Array,
  tokenizer: LlamaTokenizer,
  options: { threads: number; pairs: number; panels: number; seed: number },
): Promise<GrmFigures> {
  const juror = await openJuror({ config: grmConfig, weights: grm }, tokenizer, options.threads);
  const { seed } = options;
  let unparsable = 0;
  let votes = 0;
  const measure = async (count: number, size: number): Promise<PickFigures> => {
    const panels = heldOutPanels(count, size, seed);
    const greedy = await juror.vote(panels, { votes: 1, temperature: 0, seed });
    const eight = await juror.vote(panels, { votes: 8, temperature: 1, seed });
    for (const vote of eight.flat()) {
      votes++;
      if (vote.scores === null) unparsable++;
    }
    return {
      greedy: pickAccuracy(panels, greedy),
      one: oneVote(panels, eight),
      eight: pickAccuracy(panels, eight),
    };
  };
  try {
    const pairs = await measure(options.pairs, 2);
    const panels = await measure(options.panels, 4);
    return { pairs, panels, unparsable: unparsable / votes };
  } finally {
    await juror.close();
  }
}

export interface MetaRmFigures {
  /** Share of the GRM's votes at temperature 1 that are right. */
  right: number;
  areaUnderCurve: number;
  /** Picks by all eight votes, by the four with the highest meta score, and by four of the eight at random. */
  all: number;
  kept: number;
  random: number;
}

/** What a meta RM is worth on the GRM's votes over held-out panels of four. */
export async function measureMetaRm(
  grm: Float32Array,
  metaRm: Float32Array,
  tokenizer: LlamaTokenizer,
  { threads, panels: count, seed }: { threads: number; panels: number; seed: number },
): Promise<MetaRmFigures> {
  const juror = await openJuror({ config: grmConfig, weights: grm }, tokenizer, threads);
  const scorer = await openInference({ config: metaRmConfig, weights: metaRm, version: "meta RM" });
  try {
    const panels = heldOutPanels(count, 4, seed);
    const votes = await juror.vote(panels, { votes: 8, temperature: 1, seed });
    const scores: number[][] = [];
    for (const cast of votes) {
      const answers = await scorer.score(cast.map((vote) => [...vote.tokens]));
      scores.push(answers.map((answer) => numberOf(answer)));
    }
    const right = labelVotes(panels, votes).map((vote) => vote.right);
    return {
      right: mean(right.map(Number)),
      areaUnderCurve: areaUnderCurve(scores.flat(), right),
      all: pickAccuracy(panels, votes),
      kept: pickAccuracy(panels, votes, { keep: 4, scores }),
      random: mean(
        [0, 1].map((half) =>
          pickAccuracy(
            panels,
            votes.map((cast) => cast.filter((_, v) => v % 2 === half)),
          ),
        ),
      ),
    };
  } finally {
    await Promise.all([juror.close(), scorer.close()]);
  }
}

function oneVote(panels: readonly LabelledPanel[], votes: readonly (readonly PanelVote[])[]): number {
  const count = Math.max(...votes.map((cast) => cast.length));
  return mean(
    Array.from({ length: count }, (_, v) =>
      pickAccuracy(
        panels,
        votes.map((cast) => cast.slice(v, v + 1)),
      ),
    ),
  );
}

/** Chance that a random right item scores above a random wrong one (area under the ROC curve). */
export function areaUnderCurve(scores: readonly number[], labels: readonly boolean[]): number {
  const ranked = scores.map((score, i) => ({ score, right: labels[i] ?? false }));
  ranked.sort((a, b) => a.score - b.score);
  let rankSum = 0;
  for (let from = 0; from < ranked.length; ) {
    let to = from;
    while (to < ranked.length && ranked[to]?.score === ranked[from]?.score) to++;
    const midRank = (from + 1 + to) / 2;
    for (const item of ranked.slice(from, to)) if (item.right) rankSum += midRank;
    from = to;
  }
  const right = labels.filter(Boolean).length;
  const wrong = labels.length - right;
  return right === 0 || wrong === 0 ? 0.5 : (rankSum - (right * (right + 1)) / 2) / (right * wrong);
}

function numberOf(answer: number | CovoteError): number {
  if (answer instanceof CovoteError) throw answer;
  return answer;
}
