/**
 * Votes of a GRM outside the cluster: the same prompt, the same balanced orders and the same parser, for
 * measuring a model and for labelling its votes.
 *
 * A vote depends on the weights, the panel, its seed and its temperature alone, not on what runs beside it.
 */
import { grammars } from "../../lib/grm/grammar.js";
import { planBallots } from "../../lib/grm/panels.js";
import type { LlamaConfig } from "../../lib/llama/config.js";
import { type Inference, openInference } from "../../lib/llama/inference.js";
import type { LlamaTokenizer } from "../../lib/llama/tokenizer.js";
import type { Panel } from "../../worlds/postcards/corpora.js";
import { renderQuery } from "../../worlds/postcards/query.js";

export interface PanelVote {
  id: string;
  /** Indices of the panel's responses, in the order in which they were shown. */
  order: readonly number[];
  /** In the order shown; null when the judgment could not be parsed. */
  scores: readonly number[] | null;
  /** Prompt and judgment as the meta RM reads them. */
  tokens: readonly number[];
}

export interface VoteOptions {
  votes: number;
  /** 0 is greedy. */
  temperature: number;
  seed: number;
}

export interface Juror {
  /** All votes on each panel, in the order of the panels. */
  vote(panels: readonly Panel[], options: VoteOptions): Promise<PanelVote[][]>;
  close(): Promise<void>;
}

/** Responses shown together, and votes that share an order: the cluster's defaults. */
const panelLimit = 4;
const votesPerBallot = 2;
/** Panels asked for at a time; bounds what waits in the engine's queue. */
const window = 128;

/** One engine, and so one core, per thread. */
export async function openJuror(
  model: { config: LlamaConfig; weights: Float32Array },
  tokenizer: LlamaTokenizer,
  threads: number,
): Promise<Juror> {
  const engines = await Promise.all(
    Array.from({ length: threads }, () => openInference({ ...model, version: "grm" })),
  );
  return {
    vote: async (panels, options) => {
      const all: PanelVote[][] = new Array(panels.length);
      let next = 0;
      const lane = async (engine: Inference): Promise<void> => {
        while (next < panels.length) {
          const index = next++;
          all[index] = await voteOn(engine, tokenizer, panels[index] as Panel, options, index);
        }
      };
      await Promise.all(engines.flatMap((engine) => Array.from({ length: window }, () => lane(engine))));
      return all;
    },
    close: async () => {
      await Promise.all(engines.map((engine) => engine.close()));
    },
  };
}

async function voteOn(
  engine: Inference,
  tokenizer: LlamaTokenizer,
  panel: Panel,
  { votes, temperature, seed }: VoteOptions,
  index: number,
): Promise<PanelVote[]> {
  const grammar = grammars.postcards;
  const plan = planBallots({
    judgmentId: `${index}`,
    responses: panel.responses.length,
    votes,
    panelLimit,
    votesPerBallot,
    seed: seed + index,
  });
  const cast = plan.flatMap(({ order, voteIds, voteSeeds }) => {
    const responses = order.map((i) => panel.responses[i] ?? "");
    const query = [{ role: "user" as const, content: renderQuery(panel.query) }];
    const prompt = tokenizer.chat(grammar.prompt({ query, responses }));
    return voteIds.map(async (id, v): Promise<PanelVote> => {
      const sample = await engine.generate({
        prompt,
        maxTokens: grammar.maxTokens(order.length),
        temperature,
        seed: voteSeeds[v] as number,
        stop: [tokenizer.eosTokenId],
      });
      const parsed = grammar.parse(tokenizer.decode([...sample.tokens], { skipSpecial: true }), order.length);
      return { id, order, scores: parsed.ok ? parsed.scores : null, tokens: [...prompt, ...sample.tokens] };
    });
  });
  return Promise.all(cast);
}
