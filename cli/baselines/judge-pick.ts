/**
 * LLM as a judge, asked: each vote names the best response, and that one scores 1, the others 0; the mean over votes is
 * the share of votes that a response won, and the highest is the majority's (arXiv 2504.02495, Eq. 13). Orders are those
 * that the reward model's votes go through. Of a list that is split into panels, each panel has its winner.
 */
import { CovoteError, invalid } from "../../lib/core/errors.js";
import { openLlamaEngine } from "../../lib/engine/llama.js";
import type { AskedVote } from "../../lib/evaluation/asked-votes.js";
import { planBallots } from "../../lib/grm/panels.js";
import { inputOf } from "./conversations.js";
import { openEngines } from "./engines.js";
import { pickForm } from "./pick-form.js";
import type { Voter, VoterOptions } from "./voter.js";

/** Votes that share an order: the cluster's default. */
const votesPerBallot = 2;

export async function openPick({ folder, grammar, threads }: VoterOptions): Promise<Voter> {
  const form = pickForm(folder.grammar);
  const engines = await openEngines(threads, () =>
    openLlamaEngine({ checkpoint: folder.checkpoint, slots: 64 }),
  );
  let asked = 0;
  return {
    deterministic: false,
    least: 2,
    failed: engines.failed,
    close: engines.close,
    vote: async (item, { votes, temperature, seed, panelLimit, signal }) => {
      const limit = Math.min(panelLimit ?? item.responses.length, grammar.maxPanel);
      if (limit < 2)
        throw invalid("panelLimit", "is 1: each response is shown alone, and a pick needs two of them");
      const ballots = planBallots({
        ...{ judgmentId: "item", responses: item.responses.length, votes, panelLimit: limit },
        ...{ votesPerBallot, seed },
      });
      // The votes of an item share prompts, and so an engine.
      const engine = engines.next();
      const cast = ballots.flatMap(({ order, voteIds, voteSeeds }) => {
        const n = order.length;
        const responses = order.map((i) => item.responses[i] ?? "");
        const messages = form.ask(inputOf(item, responses));
        return voteIds.map(async (voteId, place): Promise<Omit<AskedVote, "id">> => {
          const layer = layerOf(voteId);
          // A response that is shown alone has won nothing and lost nothing.
          if (n === 1) return { order, scores: null, layer, principles: "" };
          const { text } = await engine.generate(
            {
              id: String(asked++),
              ...{ messages, maxTokens: 1 + form.maxTokens(n), temperature },
              seed: voteSeeds[place] ?? 0,
            },
            { signal },
          );
          const picked = form.read(text, n);
          const scores = picked === null ? null : order.map((_, position) => (position === picked ? 1 : 0));
          const { principles } = grammar.parse(text, n);
          return { order, scores, layer, principles: item.models === null ? "" : principles };
        });
      });
      return Promise.all(cast);
    },
  };
}

/** `item:round:panel:vote` without its panel. */
function layerOf(voteId: string): string {
  const [, round, , vote] = voteId.split(":");
  if (round === undefined || vote === undefined)
    throw new CovoteError("internal", `${voteId} is no vote's id`);
  return `${round}:${vote}`;
}
