/** The embedded scalar engine: a small Llama with a scalar head, in a thread of its own. */
import { CovoteError, invalid } from "../core/errors.js";
import type { ChatMessage } from "../grm/chat.js";
import { openCheckpoint } from "../llama/checkpoint.js";
import { createTokenizer } from "../llama/tokenizer.js";
import type { ScalarEngine } from "./engine.js";
import { nameOf, openServed, statsOf } from "./llama.js";

/** Sequences in the thread at a time. */
const slots = 64;

export async function openLlamaScorer({ checkpoint }: { checkpoint: string }): Promise<ScalarEngine> {
  const model = await openCheckpoint(checkpoint);
  if (model.config.head !== "scalar") {
    throw invalid(checkpoint, "has no scalar head; a meta reward model needs LlamaForSequenceClassification");
  }
  const tokenizer = createTokenizer(model);
  const { version, inference } = await openServed(model, slots, nameOf(checkpoint));

  /** The conversation up to its last token; the score is read there. */
  const encode = (conversation: readonly ChatMessage[]): number[] | CovoteError => {
    try {
      return tokenizer.chat(conversation, { addGenerationPrompt: false });
    } catch (thrown) {
      return CovoteError.from(thrown);
    }
  };

  return {
    score: async (conversations, { signal }) => {
      const encoded = conversations.map(encode);
      const scores = await inference.score(
        encoded.filter((tokens): tokens is number[] => !(tokens instanceof CovoteError)),
        { signal },
      );
      let next = 0;
      return encoded.map((tokens) =>
        tokens instanceof CovoteError ? tokens : (scores[next++] ?? new CovoteError("internal", "no score")),
      );
    },
    ...version,
    stats: () => statsOf(inference),
    died: inference.died,
    close: () => inference.close(),
  };
}
