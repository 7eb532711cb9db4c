/**
 * Texts that a simulated reward model writes, around a quality that only the caller knows: a `respond` for
 * `createSimulatedEngine`. Both surface grammars, so that the real parsers read them.
 *
 * A vote's score of a response is 1 + 9 · quality + noise, rounded into 1..10; the noise follows from the
 * request's seed and the response's text, so one vote judges a text alike wherever the panel shows it.
 */
import { seedFrom, uniformAt } from "../core/random.js";
import type { GenerateRequest } from "./engine.js";

export interface SimulatedJudge {
  /** The responses of a request's panel, in order. */
  panelOf: (request: GenerateRequest) => readonly string[];
  /** How good a response is, 0..1. */
  quality: (response: string) => number;
  /** Standard deviation of one vote's score. Default 0. */
  noise?: number;
}

export function simulatedScores(request: GenerateRequest, judge: SimulatedJudge): number[] {
  const { quality, noise = 0 } = judge;
  return judge.panelOf(request).map((text) => {
    const slip = noise === 0 ? 0 : noise * bell(seedFrom(request.seed, text));
    return Math.min(10, Math.max(1, Math.round(1 + 9 * quality(text) + slip)));
  });
}

/** A judgment of the postcards grammar: one principle, a verdict and a score for each response. */
export function postcardsJudgment(judge: SimulatedJudge): (request: GenerateRequest) => string {
  return (request) => {
    const scores = simulatedScores(request, judge);
    const verdicts = scores.map((score) => (score > 5 ? "yes" : "no"));
    return `principles topic 3 critique topic ${verdicts.join(" ")} scores ${scores.join(" ")}`;
  };
}

/** A judgment in three labelled parts with boxed scores, as DeepSeek-GRM writes them (arXiv 2504.02495). */
export function boxedJudgment(judge: SimulatedJudge): (request: GenerateRequest) => string {
  return (request) => {
    const scores = simulatedScores(request, judge);
    const analysis = scores.map((score, i) => `- Response ${i + 1} meets the criterion at ${score} of 10.`);
    return [
      "Specific Criteria:",
      "1. Fit to the question (Weight: 100%): the response does what was asked.",
      "",
      "Analysis:",
      ...analysis,
      "",
      `Scores: \\boxed{${scores.join(", ")}}`,
    ].join("\n");
  };
}

/** Close to standard normal: the sum of twelve uniform numbers, less six. */
function bell(seed: number): number {
  let sum = -6;
  for (let i = 0; i < 12; i++) sum += uniformAt(seed, i);
  return sum;
}
