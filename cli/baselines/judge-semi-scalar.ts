/**
 * Semi-scalar rewards, after CLoud: for each vote and each response a critique of that response alone is sampled, and a
 * scalar head reads query, response and critique. The mean over votes is the reward (arXiv 2504.02495, Eq. 12).
 */
import { seedFrom } from "../../lib/core/random.js";
import { openLlamaEngine } from "../../lib/engine/llama.js";
import type { AskedVote } from "../../lib/evaluation/asked-votes.js";
import type { JudgedInput } from "../../lib/grm/judgment.js";
import { critiqued, critiqueOf, inputOf } from "./conversations.js";
import { openEngines } from "./engines.js";
import { openScorers, scoresOf } from "./judge-scalar.js";
import type { Voter, VoterOptions } from "./voter.js";

export async function openSemiScalar({ folder, grammar, threads }: VoterOptions): Promise<Voter> {
  const scorers = await openScorers(folder.checkpoint, threads);
  const critics = await openEngines(threads, () =>
    openLlamaEngine({ checkpoint: folder.critic, slots: 64 }),
  ).catch(async (thrown: unknown) => {
    await scorers.close();
    throw thrown;
  });
  const maxTokens = 1 + grammar.maxTokens(1);
  let asked = 0;
  return {
    deterministic: false,
    least: 1,
    failed: Promise.race([critics.failed, scorers.failed]),
    close: async () => {
      await Promise.all([critics.close(), scorers.close()]);
    },
    vote: async (item, { votes, temperature, seed, signal }) => {
      // The votes on an item share prompts, and so engines.
      const [critic, scorer] = [critics.next(), scorers.next()];
      const inputs = item.responses.map((response) => inputOf(item, [response]));
      // Votes often write the same critique of a response: it is read once.
      const known = new Map<string, Promise<number>>();
      const scalarOf = (response: number, critique: string): Promise<number> => {
        const key = `${response} ${critique}`;
        const conversation = critiqued(grammar, inputs[response] as JudgedInput, critique);
        const scalar =
          known.get(key) ?? scoresOf(scorer, [conversation], signal).then(([first]) => first as number);
        known.set(key, scalar);
        return scalar;
      };
      const layers = Array.from({ length: votes }, async (_, vote): Promise<Omit<AskedVote, "id">> => {
        const scores = await Promise.all(
          inputs.map(async (input, response) => {
            const { text } = await critic.generate(
              {
                id: String(asked++),
                ...{ messages: grammar.prompt(input), maxTokens, temperature },
                seed: seedFrom("critique", seed, vote, response),
              },
              { signal },
            );
            return scalarOf(response, critiqueOf(grammar, text, 1));
          }),
        );
        return { order: scores.map((_, index) => index), scores, layer: `0:${vote}`, principles: "" };
      });
      return Promise.all(layers);
    },
  };
}
