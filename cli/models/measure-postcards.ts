/**
 * Figures of the postcards models on held-out queries, against the oracle.
 */
import { seedFrom } from "../../lib/core/random.js";
import type { LlamaConfig } from "../../lib/llama/config.js";
import { openInference } from "../../lib/llama/inference.js";
import type { LlamaTokenizer } from "../../lib/llama/tokenizer.js";
import { tally } from "../../lib/tally/tally.js";
import { createPanelStream, type Panel } from "../../worlds/postcards/corpora.js";
import { utility } from "../../worlds/postcards/oracle.js";
import { type Query, renderQuery } from "../../worlds/postcards/query.js";
import { maxCardWords } from "../../worlds/postcards/vocabulary.js";
import type { PanelVote } from "./grm-votes.js";

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

/** Held-out panels with one best response, which comes first with the others' chance. */
export function heldOutPanels(count: number, size: number, seed: number): LabelledPanel[] {
  const draw = createPanelStream(seedFrom("measure", seed), "held-out", () => size);
  return drawLabelled(draw, count);
}

export interface LabelledPanel extends Panel {
  /** Index of the one response with the highest oracle utility. */
  best: number;
}

/** The next `count` panels of a stream that have two responses or more, and one that is better than the rest. */
export function drawLabelled(draw: () => Panel, count: number): LabelledPanel[] {
  const panels: LabelledPanel[] = [];
  while (panels.length < count) {
    const panel = draw();
    const best = bestOf(panel.responses.map((text) => utility(panel.query, text)));
    if (best !== null && panel.responses.length > 1) panels.push({ ...panel, best });
  }
  return panels;
}

/**
 * Share of panels whose best response got the highest reward. Where it shares the top with m − 1 others it
 * counts 1/m (a tie of a pair: one half); a response without a reward stands below all others.
 */
export function pickAccuracy(
  panels: readonly LabelledPanel[],
  votes: readonly (readonly PanelVote[])[],
  metaKeep?: { keep: number; scores: readonly (readonly number[])[] },
): number {
  const shares = panels.map((panel, p) => {
    const counted = (votes[p] ?? []).map((vote, v) => ({
      id: vote.id,
      order: vote.order,
      scores: vote.scores,
      meta: metaKeep?.scores[p]?.[v] ?? null,
    }));
    const { rewards } = tally(counted, {
      responses: panel.responses.length,
      metaKeep: metaKeep?.keep ?? null,
    });
    const values = rewards.map(({ value }) => value ?? 0);
    const top = Math.max(...values);
    return values[panel.best] === top ? 1 / values.filter((value) => value === top).length : 0;
  });
  return mean(shares);
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

function bestOf(utilities: readonly number[]): number | null {
  const top = Math.max(...utilities);
  const at = utilities.indexOf(top);
  return utilities.lastIndexOf(top) === at ? at : null;
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}
