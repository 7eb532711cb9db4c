/** How often the annotator slips whose judgments the demo world's reward model was made from. */
import type { Slips } from "./judgment.js";

export const annotatorSlips: Slips = { verdict: 0.17, weight: 0.08 };

/** Of the same annotator who was told the best response. */
export const hintedSlips: Slips = { verdict: 0.02, weight: 0.02 };
