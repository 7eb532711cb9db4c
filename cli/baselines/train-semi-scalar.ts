/**
 * The semi-scalar baseline's training, after CLoud: the base criticises every response, and a scalar head learns to
 * rate query, response and critique with the Bradley-Terry loss on the model's own critiques, another one each epoch.
 * The critic stays the base; it is kept in `critic/`.
 */
import { saveCheckpoint } from "../../lib/llama/checkpoint.js";
import { critiqued, critiqueOf, headTokens, inputOf } from "./conversations.js";
import { checkItems, type LearningItem } from "./items.js";
import { sampleTexts } from "./sample.js";
import { preferenceBatch } from "./train-scalar.js";
import { type Trained, type TrainingContext, trainHead } from "./training.js";

export async function trainSemiScalar(context: TrainingContext): Promise<Trained> {
  const { items, grammar, tokenizer, base, job, folder } = context;
  const { maxPositions } = base.config;
  const maxTokens = 1 + grammar.maxTokens(1);
  const inputs = items.flatMap((item) => item.responses.map((response) => inputOf(item, [response])));
  checkItems(job.data, items, (item) => {
    for (const response of item.responses) {
      const prompt = grammar.prompt(inputOf(item, [response]));
      headTokens(prompt, { tokenizer, maxPositions: maxPositions - maxTokens });
    }
  });
  const texts = await sampleTexts(context, inputs.length, (index) => {
    const input = inputs[index];
    return { messages: input === undefined ? [] : grammar.prompt(input), maxTokens };
  });
  const firstOf = new Map<LearningItem, number>();
  let next = 0;
  for (const item of items) {
    firstOf.set(item, next);
    next += item.responses.length;
  }
  const sequences = (item: LearningItem, epoch: number): number[][] =>
    item.responses.map((response, i) => {
      const written = texts[(firstOf.get(item) ?? 0) + i] ?? [];
      const critique = critiqueOf(grammar, written[epoch % written.length] ?? "", 1);
      const conversation = critiqued(grammar, inputOf(item, [response]), critique);
      return headTokens(conversation, { tokenizer, maxPositions });
    });
  const trained = await trainHead(context, items, (trainer, batch, options, epoch) =>
    trainer.stepPreference(
      preferenceBatch(batch, (item) => sequences(item, epoch)),
      options,
    ),
  );
  await saveCheckpoint(`${folder}/critic`, base, { dtype: "float32" });
  const pairs = items.reduce((sum, item) => sum + item.responses.length - 1, 0);
  return { ...trained, counts: { items: items.length, pairs, critiques: texts.flat().length } };
}
