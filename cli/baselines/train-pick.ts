/**
 * The training of the judge that picks, LLM as a judge: the base judges each item several times; of its judgments those
 * are imitated whose scores put the best response alone on top, with the pick in place of the scores. What is rejected
 * is what rejective fine-tuning rejects (lib/spct/rejection.ts).
 */
import { invalid } from "../../lib/core/errors.js";
import { createRandom, seedFrom } from "../../lib/core/random.js";
import { drawOrder } from "../../lib/spct/panel-label.js";
import { selectTrajectories } from "../../lib/spct/rejection.js";
import { judgmentVerdict } from "../../lib/spct/rule-reward.js";
import { openLlamaTrainer } from "../../lib/trainer/llama.js";
import type { TrainedSequence } from "../../lib/trainer/trainer.js";
import { critiqueOf, headTokens, inputOf } from "./conversations.js";
import { checkItems, type LearningItem } from "./items.js";
import { pickForm } from "./pick-form.js";
import { sampleTexts } from "./sample.js";
import { type Trained, type TrainingContext, trainSteps } from "./training.js";

/**
 * How much a token of the pick counts in the loss, against one of the analysis: the base can write the analysis already,
 * and the pick is one token or two of some fifty.
 */
const pickWeight = 10;

export async function trainPick(context: TrainingContext): Promise<Trained> {
  const { items, grammar, tokenizer, base, job, threads, folder } = context;
  const form = pickForm(job.grammar);
  const { maxPositions } = base.config;
  const limit = Math.min(job.panelLimit, grammar.maxPanel);
  if (limit < 2) throw invalid("judging.panelLimit", "is 1: nothing can be picked; give at least 2");
  const panels = items.map((item, index) => shown(item, limit, seedFrom(job.seed, "order", index)));
  checkItems(job.data, items, (item) => {
    const longest = shown(item, limit, 0);
    const asked = grammar.prompt(inputOf(item, longest.responses));
    const room = maxPositions - 1 - grammar.maxTokens(longest.responses.length);
    headTokens(asked, { tokenizer, maxPositions: room });
  });
  const texts = await sampleTexts(context, panels.length, (index) => {
    const { item, responses } = panels[index] as Panel;
    const messages = grammar.prompt(inputOf(item, responses));
    return { messages, maxTokens: 1 + grammar.maxTokens(responses.length) };
  });
  const counts: Record<string, number> = { items: items.length, sampled: 0, kept: 0 };
  const examples = panels.flatMap(({ item, responses, best }, index): TrainedSequence[] => {
    const judgments = (texts[index] ?? []).map((text) => {
      const parsed = grammar.parse(text, responses.length);
      const verdict = judgmentVerdict(parsed.ok ? parsed.scores : null, { t: "best", index: best });
      return { text, hinted: false, verdict };
    });
    const { kept, rejected } = selectTrajectories(judgments);
    counts.sampled = (counts.sampled ?? 0) + judgments.length;
    counts.kept = (counts.kept ?? 0) + kept.length;
    for (const { reason } of rejected) counts[reason] = (counts[reason] ?? 0) + 1;
    const prompt = form.ask(inputOf(item, responses));
    return kept.flatMap(({ text }) => {
      const content = form.rewrite(text, responses.length, best);
      const tokenIds = tokenizer.chat([...prompt, { role: "assistant", content }], {
        addGenerationPrompt: false,
      });
      if (tokenIds.length > maxPositions) return [];
      const firstTarget = tokenizer.chat(prompt).length;
      const analysis = tokenizer.encode(critiqueOf(grammar, text, responses.length)).length;
      const weights = tokenIds.slice(firstTarget).map((_, i) => (i < analysis ? 1 : pickWeight));
      return [{ tokenIds, firstTarget, weights }];
    });
  });
  if (examples.length === 0) {
    throw invalid("[data]", `no usable judgment of ${items.length} items: ${countsOf(counts)}`);
  }
  const trainer = await openLlamaTrainer({ checkpoint: job.base, threads });
  try {
    const steps = await trainSteps(context, examples, (batch, options) =>
      trainer.stepSupervised(batch, options),
    );
    await trainer.export(`${folder}/checkpoint`);
    return { parameters: trainer.parameters, steps, counts };
  } finally {
    await trainer.close();
  }
}

interface Panel {
  item: LearningItem;
  /** In the order shown. */
  responses: readonly string[];
  /** Position of the best one. */
  best: number;
}

function shown(item: LearningItem, limit: number, seed: number): Panel {
  const label = { t: "best", index: item.best } as const;
  const order = drawOrder({ responses: item.responses, label }, limit, createRandom(seed));
  return { item, responses: order.map((i) => item.responses[i] ?? ""), best: order.indexOf(item.best) };
}

function countsOf(counts: Record<string, number>): string {
  return Object.entries(counts)
    .map(([name, count]) => `${count} ${name.replace("_", " ")}`)
    .join(", ");
}
