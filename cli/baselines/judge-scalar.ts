/**
 * The two baselines with a scalar head and no dice: any number of votes would be the same one.
 *
 * - Scalar: a response's reward is the head on it alone.
 * - Pairwise: how likely a response is better than another is σ of half the difference of both orders' logits; a
 *   response's reward is its mean over all others (a round robin in which a close win counts less than a clear one).
 *   Two responses tie only where these means are equal; a pair, only where both orders cancel out exactly.
 */

import type { ScalarEngine } from "../../lib/engine/engine.js";
import { openLlamaScorer } from "../../lib/engine/llama-scorer.js";
import type { AskedVote } from "../../lib/evaluation/asked-votes.js";
import type { ChatMessage } from "../../lib/grm/chat.js";
import { inputOf } from "./conversations.js";
import { type Engines, openEngines } from "./engines.js";
import type { Voter, VoterOptions } from "./voter.js";

export async function openScalar({ folder, grammar, threads }: VoterOptions): Promise<Voter> {
  const engines = await openScorers(folder.checkpoint, threads);
  return {
    ...{ deterministic: true, least: 1, failed: engines.failed, close: engines.close },
    vote: async (item, { signal }) => {
      const prompts = item.responses.map((response) => grammar.prompt(inputOf(item, [response])));
      return [oneVote(await scoresOf(engines.next(), prompts, signal))];
    },
  };
}

export async function openPairwise({ folder, grammar, threads }: VoterOptions): Promise<Voter> {
  const engines = await openScorers(folder.checkpoint, threads);
  return {
    ...{ deterministic: true, least: 2, failed: engines.failed, close: engines.close },
    vote: async (item, { signal }) => {
      const { responses } = item;
      const duels = responses.flatMap((_, first) =>
        responses.flatMap((__, second) => (first === second ? [] : [{ first, second }])),
      );
      const prompts = duels.map(({ first, second }) =>
        grammar.prompt(inputOf(item, [responses[first] ?? "", responses[second] ?? ""])),
      );
      const logits = await scoresOf(engines.next(), prompts, signal);
      return [
        oneVote(
          roundRobin(
            responses.length,
            duels.map((duel, at) => ({ ...duel, logit: logits[at] ?? 0 })),
          ),
        ),
      ];
    },
  };
}

/**
 * Each response's mean chance to be better than another one. `duels` holds every ordered pair once; `logit` says how
 * far the first is better. Pure.
 */
export function roundRobin(
  responses: number,
  duels: readonly { first: number; second: number; logit: number }[],
): number[] {
  const sums = new Array<number>(responses).fill(0);
  const logitOf = new Map(duels.map(({ first, second, logit }) => [first * responses + second, logit]));
  for (const { first, second, logit } of duels) {
    const reversed = logitOf.get(second * responses + first) ?? 0;
    const chance = 1 / (1 + Math.exp((reversed - logit) / 2));
    sums[first] = (sums[first] as number) + chance / (responses - 1);
  }
  return sums;
}

export function openScorers(checkpoint: string, threads: number): Promise<Engines<ScalarEngine>> {
  return openEngines(threads, () => openLlamaScorer({ checkpoint }));
}

/** Throws the first error among them. */
export async function scoresOf(
  engine: ScalarEngine,
  conversations: readonly (readonly ChatMessage[])[],
  signal: AbortSignal,
): Promise<number[]> {
  const scores = await engine.score(conversations, { signal });
  return scores.map((score) => {
    if (typeof score === "number") return score;
    throw score;
  });
}

function oneVote(scores: number[]): Omit<AskedVote, "id"> {
  return { order: scores.map((_, index) => index), scores, layer: "0:0", principles: "" };
}
