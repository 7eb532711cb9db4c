/** The scalar baseline's training: −log σ(r_best − r_other) over the pairs of an item (Bradley-Terry). */
import { headTokens, inputOf } from "./conversations.js";
import { checkItems, type LearningItem } from "./items.js";
import { othersOf } from "./train-pairwise.js";
import { type Trained, type TrainingContext, trainHead } from "./training.js";

export async function trainScalar(context: TrainingContext): Promise<Trained> {
  const { items, grammar, tokenizer, base, job } = context;
  const reading = { tokenizer, maxPositions: base.config.maxPositions };
  const sequences = (item: LearningItem): number[][] =>
    item.responses.map((response) => headTokens(grammar.prompt(inputOf(item, [response])), reading));
  checkItems(job.data, items, sequences);
  const trained = await trainHead(context, items, (trainer, batch, options) => {
    return trainer.stepPreference(preferenceBatch(batch, sequences), options);
  });
  const pairs = items.reduce((sum, item) => sum + item.responses.length - 1, 0);
  return { ...trained, counts: { items: items.length, pairs } };
}

/** The sequences of some items, and which of them are better than which. */
export function preferenceBatch(
  items: readonly LearningItem[],
  sequencesOf: (item: LearningItem) => number[][],
): { sequences: number[][]; pairs: { better: number; worse: number }[] } {
  const sequences: number[][] = [];
  const pairs = items.flatMap((item) => {
    const from = sequences.length;
    sequences.push(...sequencesOf(item));
    return othersOf(item).map((other) => ({ better: from + item.best, worse: from + other }));
  });
  return { sequences, pairs };
}
