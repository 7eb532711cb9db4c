/**
 * The pairwise baseline's training: the best response of an item against each other one, in both orders, with binary
 * cross-entropy on whether the first is the better one.
 */

import { headTokens, inputOf } from "./conversations.js";
import { checkItems, type LearningItem } from "./items.js";
import { type Trained, type TrainingContext, trainHead } from "./training.js";

interface Comparison {
  tokenIds: number[];
  /** 1 when the first response is the better one, else 0. */
  target: number;
}

export async function trainPairwise(context: TrainingContext): Promise<Trained> {
  const { items, grammar, tokenizer, base, job } = context;
  const reading = { tokenizer, maxPositions: base.config.maxPositions };
  const tokens = (item: LearningItem, first: number, second: number): number[] => {
    const shown = [first, second].map((i) => item.responses[i] ?? "");
    return headTokens(grammar.prompt(inputOf(item, shown)), reading);
  };
  const comparisons = (item: LearningItem): Comparison[] =>
    othersOf(item).flatMap((other) => [
      { tokenIds: tokens(item, item.best, other), target: 1 },
      { tokenIds: tokens(item, other, item.best), target: 0 },
    ]);
  checkItems(job.data, items, comparisons);
  const trained = await trainHead(context, items, (trainer, batch, options) =>
    trainer.stepBinary(
      batch.flatMap(comparisons).map(({ tokenIds, target }) => {
        return { tokenIds, target, readings: [] };
      }),
      options,
    ),
  );
  const pairs = items.reduce((sum, item) => sum + item.responses.length - 1, 0);
  return { ...trained, counts: { items: items.length, pairs } };
}

/** Indices of the responses that the best one is better than. */
export function othersOf({ responses, best }: LearningItem): number[] {
  return responses.flatMap((_, index) => (index === best ? [] : [index]));
}
