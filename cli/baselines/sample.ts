/** The base's own judgments, sampled by engines in threads of this process: what pick and semi-scalar learn from. */
import { CovoteError } from "../../lib/core/errors.js";
import { seedFrom } from "../../lib/core/random.js";
import type { GenerativeEngine } from "../../lib/engine/engine.js";
import { openLlamaEngine } from "../../lib/engine/llama.js";
import type { ChatMessage } from "../../lib/grm/chat.js";
import { type Engines, inLanes, openEngines } from "./engines.js";
import type { TrainingContext } from "./training.js";

export interface Sampled {
  /** What is asked; throws `invalid_argument` for what cannot be. */
  messages: readonly ChatMessage[];
  maxTokens: number;
}

/** Questions in flight; more would only wait. */
const inFlight = 64;

/** `job.samples` texts for every question, in the order of the questions. */
export async function sampleTexts(
  { job, threads, signal, onProgress }: TrainingContext,
  count: number,
  question: (index: number) => Sampled,
): Promise<string[][]> {
  const engines: Engines<GenerativeEngine> = await openEngines(threads, () =>
    openLlamaEngine({ checkpoint: job.base, slots: 64 }),
  );
  const texts: string[][] = new Array(count);
  let done = 0;
  try {
    const sampling = inLanes(count, inFlight, signal, async (index) => {
      const { messages, maxTokens } = question(index);
      const engine = engines.next();
      const samples = Array.from({ length: job.samples }, (_, sample) =>
        engine.generate(
          {
            id: `${index}:${sample}`,
            ...{ messages, maxTokens, temperature: job.temperature },
            seed: seedFrom("baseline sample", job.seed, index, sample),
          },
          { signal },
        ),
      );
      texts[index] = (await Promise.all(samples)).map(({ text }) => text);
      onProgress({ t: "sampling", done: ++done, total: count });
    });
    await Promise.race([sampling, engines.failed.then((cause) => Promise.reject(cause))]);
    return texts;
  } catch (thrown) {
    if (signal.aborted) throw new CovoteError("cancelled", "stopped", { cause: thrown });
    throw thrown;
  } finally {
    await engines.close();
  }
}
