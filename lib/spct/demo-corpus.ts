/**
 * The demo world's corpus: judgments by the annotator that its reward model was made from, slips included, and on
 * demand some with a hint before them.
 *
 * A hinted example is a panel with one best response that the prompt names, and a judgment by the same annotator that
 * comes to the same result: who is told the answer looks twice, slips seldom, and writes anew what disagrees. So the
 * model learns to take a hint as a reason to look twice. (Slips as usual and only agreement demanded, it learned in 120
 * steps to answer hinted prompts, and to disregard the hint.)
 */

import { createPanelStream, type Panel } from "../../worlds/postcards/corpora.js";
import { annotate, type Judgment, renderJudgment, type Slips } from "../../worlds/postcards/judgment.js";
import { createPreferenceStream } from "../../worlds/postcards/preferences.js";
import { renderQuery } from "../../worlds/postcards/query.js";
import { annotatorSlips, hintedSlips } from "../../worlds/postcards/slips.js";
import { createRandom, seedFrom } from "../core/random.js";
import { isCorrect } from "../grm/correctness.js";
import { postcards } from "../grm/postcards.js";
import { postcardsCritique, withoutPrinciples } from "../grm/postcards-critique.js";
import type { CorpusExample } from "./corpus.js";
import { hintedPrompts } from "./hints.js";

export interface DemoCorpusOptions {
  /** Share of examples with a hint, 0..1. */
  hints: number;
  /** False: judgments of the grammar `postcards-critique`. */
  principles: boolean;
}

/** Judgments that are written for one hint before another panel is drawn. */
const mostTries = 20;

/** Endless; of training queries alone. */
export function createDemoCorpus(
  seed: number,
  { hints, principles }: DemoCorpusOptions,
): () => CorpusExample {
  const random = createRandom(seedFrom("demo corpus", seed));
  const drawPanel = createPanelStream(seedFrom("demo corpus panels", seed));
  const drawPreference = createPreferenceStream(seedFrom("demo corpus preferences", seed));
  const grammar = principles ? postcards : postcardsCritique;
  const write = ({ query, responses }: Panel, slips: Slips): Judgment =>
    annotate(query, responses, slips, random);
  const answerOf = (judgment: Judgment): string => {
    const words = renderJudgment(judgment).split(" ");
    return (principles ? words : withoutPrinciples(words, "critique")).join(" ");
  };
  const input = ({ query, responses }: Panel) => ({
    query: [{ role: "user" as const, content: renderQuery(query) }],
    responses,
  });
  const hinted = (): CorpusExample => {
    for (;;) {
      const panel = drawPreference();
      const label = { t: "best" as const, index: panel.best };
      for (let tries = 0; tries < mostTries; tries++) {
        const judgment = write(panel, hintedSlips);
        if (!isCorrect(judgment.scores, label)) continue;
        return {
          messages: hintedPrompts(grammar, input(panel), label).sampling,
          answer: answerOf(judgment),
        };
      }
    }
  };
  return () => {
    if (random.next() < hints) return hinted();
    const panel = drawPanel();
    return { messages: grammar.prompt(input(panel)), answer: answerOf(write(panel, annotatorSlips)) };
  };
}
