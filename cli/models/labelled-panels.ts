/**
 * Panels whose best response is known, and what votes on them are worth.
 */
import { seedFrom } from "../../lib/core/random.js";
import { isCorrect } from "../../lib/grm/correctness.js";
import { tally } from "../../lib/tally/tally.js";
import { createPanelStream, type Panel } from "../../worlds/postcards/corpora.js";
import { utility } from "../../worlds/postcards/oracle.js";
import type { PanelVote } from "./grm-votes.js";

export interface LabelledPanel extends Panel {
  /** Index of the one response with the highest oracle utility. */
  best: number;
}

/** Held-out panels with one best response. */
export function heldOutPanels(count: number, size: number, seed: number): LabelledPanel[] {
  const draw = createPanelStream(seedFrom("measure", seed), "held-out", { size: () => size });
  return drawLabelled(draw, count);
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

/** Every vote with the label that the meta RM learns: the best response strictly above all others. */
export function labelVotes(
  panels: readonly LabelledPanel[],
  votes: readonly (readonly PanelVote[])[],
): { tokens: readonly number[]; right: boolean }[] {
  return panels.flatMap(({ best }, p) =>
    (votes[p] ?? []).map(({ order, scores, tokens }) => ({
      tokens,
      right: isCorrect(scores, { t: "best", index: order.indexOf(best) }),
    })),
  );
}

function bestOf(utilities: readonly number[]): number | null {
  const top = Math.max(...utilities);
  const at = utilities.indexOf(top);
  return utilities.lastIndexOf(top) === at ? at : null;
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}
