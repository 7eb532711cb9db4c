/**
 * The baselines that a generative reward model is compared with, and how each is trained:
 *
 * - `pick`, LLM as a judge: principles and critique as the reward model writes them, then the best response in place of
 *   scores. Votes are counted (arXiv 2504.02495, Eq. 13).
 * - `pairwise`: a scalar head on two responses in one prompt, the logit that the first is better. Both orders are
 *   averaged; lists are decided by round robin.
 * - `scalar`, Bradley-Terry: a scalar head on one response.
 * - `semi-scalar`, after CLoud: a critique of one response, then a scalar head on all three; the scalars of several
 *   critiques are averaged (Eq. 12).
 */
import { invalid } from "../../lib/core/errors.js";
import type { grammars } from "../../lib/grm/grammar.js";

export const baselineKinds = ["pick", "pairwise", "scalar", "semi-scalar"] as const;
export type BaselineKind = (typeof baselineKinds)[number];
export type GrammarName = keyof typeof grammars;

export interface BaselineJob {
  kind: BaselineKind;
  /** A JSONL file, or the demo world's name. */
  data: string;
  /** Folder of the language model to begin with. */
  base: string;
  grammar: GrammarName;
  /** Most items to learn from. */
  items: number;
  /** Judgments of each item (pick) or critiques of each response (semi-scalar) to learn from. */
  samples: number;
  /** Of those samples. */
  temperature: number;
  /** Most responses shown together (pick). */
  panelLimit: number;
  /** How often the data is gone through. */
  epochs: number;
  /** Items per step; judgments for pick. */
  batch: number;
  learningRate: number;
  /** New layers on top of the base, under a scalar head. */
  extraLayers: number;
  /** 32-bit unsigned. */
  seed: number;
}

export type Recipe = Pick<
  BaselineJob,
  "items" | "samples" | "epochs" | "batch" | "learningRate" | "extraLayers"
>;

/** As many items as `covote spct rft` takes with its defaults. */
const items = 4800;

export const recipes: Record<BaselineKind, Recipe> = {
  pick: { items, samples: 8, epochs: 2, batch: 64, learningRate: 1e-3, extraLayers: 0 },
  pairwise: { items, samples: 0, epochs: 3, batch: 16, learningRate: 1e-3, extraLayers: 2 },
  scalar: { items, samples: 0, epochs: 6, batch: 16, learningRate: 1e-3, extraLayers: 2 },
  "semi-scalar": { items, samples: 3, epochs: 3, batch: 16, learningRate: 1e-3, extraLayers: 1 },
};

export function kindOf(field: string, text: string): BaselineKind {
  const found = baselineKinds.find((kind) => kind === text);
  if (found !== undefined) return found;
  throw invalid(field, `must be one of ${baselineKinds.join(", ")}, got ${JSON.stringify(text)}`);
}
