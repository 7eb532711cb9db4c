/**
 * The corpus that a run mixes into its batches, as token sequences.
 *
 * A step's examples follow from the seed and the step alone, so that a run that goes on learns from the same.
 */
import { readFileSync } from "node:fs";
import { CovoteError, invalid } from "../../lib/core/errors.js";
import { createRandom, seedFrom } from "../../lib/core/random.js";
import { decodeUtf8 } from "../../lib/grm/limits.js";
import { hintedCorpus, shippedCheckpoint } from "../../lib/host/shipped.js";
import type { LlamaTokenizer } from "../../lib/llama/tokenizer.js";
import { type CorpusExample, parseCorpus } from "../../lib/spct/corpus.js";
import { createDemoCorpus } from "../../lib/spct/demo-corpus.js";
import type { TrainedSequence } from "../../lib/trainer/trainer.js";
import type { Corpus } from "./method.js";

export interface CorpusOptions {
  /** A JSONL file, or the name of one of the demo world's. */
  name: string;
  /** What errors name: a setting or a flag. */
  field: string;
  seed: number;
  tokenizer: LlamaTokenizer;
  /** Longest sequence that the model has room for, in tokens. */
  maxPositions: number;
  /** Of the demo world's judgments. */
  principles: boolean;
}

/** Share of hinted examples in the corpora of the demo world, by their names. */
const demoCorpora: Readonly<Record<string, number>> = { [shippedCheckpoint]: 0, [hintedCorpus]: 0.5 };

/** Whether it is one of the demo world's. */
export const isDemoCorpus = (name: string): boolean => Object.hasOwn(demoCorpora, name);

/** Throws `invalid_argument` that names the file, the line and the fix. */
export function openCorpus(options: CorpusOptions): Corpus {
  const { name, seed } = options;
  const hints = isDemoCorpus(name) ? demoCorpora[name] : undefined;
  if (hints === undefined) return fileCorpus(readExamples(options), seed);
  return {
    draw: (step, count) => {
      const next = createDemoCorpus(seedFrom(seed, "corpus", step), {
        hints,
        principles: options.principles,
      });
      return Array.from({ length: count }, () => sequenceOf(next(), options));
    },
  };
}

/** Each step shuffles the whole, and takes what it needs from the front: none twice while there are others. */
function fileCorpus(sequences: readonly TrainedSequence[], seed: number): Corpus {
  return {
    draw: (step, count) => {
      const order = createRandom(seedFrom(seed, "corpus", step)).shuffle(sequences);
      return Array.from({ length: count }, (_, i) => order[i % order.length] as TrainedSequence);
    },
  };
}

function readExamples(options: CorpusOptions): TrainedSequence[] {
  const { name, field } = options;
  let bytes: Buffer;
  try {
    bytes = readFileSync(name);
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new CovoteError("invalid_argument", `${field}: cannot read ${name} (${why})`, { field, cause });
  }
  try {
    const sequences: TrainedSequence[] = [];
    parseCorpus(decodeUtf8(name, bytes), (example) => sequences.push(sequenceOf(example, options)));
    return sequences;
  } catch (cause) {
    const { message } = CovoteError.from(cause);
    throw new CovoteError("invalid_argument", `${field}: ${name}: ${message}`, { field, cause });
  }
}

/** As the chat template writes the whole conversation; what follows the opened reply is learned. */
function sequenceOf(
  { messages, answer }: CorpusExample,
  { tokenizer, maxPositions }: Pick<CorpusOptions, "tokenizer" | "maxPositions">,
): TrainedSequence {
  const prompt = tokenizer.chat(messages);
  const whole = [...messages, { role: "assistant", content: answer }];
  const tokenIds = tokenizer.chat(whole, { addGenerationPrompt: false });
  const firstTarget = prompt.length;
  if (tokenIds.length <= firstTarget || prompt.some((token, at) => token !== tokenIds[at])) {
    throw invalid("answer", "does not begin where the chat template opens a reply");
  }
  if (tokenizer.unknownTokenId !== null && tokenIds.includes(tokenizer.unknownTokenId, firstTarget)) {
    throw invalid("answer", "has words that the model does not know");
  }
  if (tokenIds.length > maxPositions) {
    throw invalid("answer", `with its query is ${tokenIds.length} tokens, the model has ${maxPositions}`);
  }
  return { tokenIds, firstTarget };
}
