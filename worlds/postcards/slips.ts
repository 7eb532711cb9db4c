/** How often the annotator slips whose judgments the demo world's reward model was made from. */
import type { Slips } from "./judgment.js";

export const annotatorSlips: Slips = { verdict: 0.17, weight: 0.08 };
