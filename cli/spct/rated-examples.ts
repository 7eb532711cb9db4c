/**
 * Collected judgments as what a meta RM reads: the conversation that a served meta RM is asked about, as tokens.
 */
import type { Grammar } from "../../lib/grm/grammar.js";
import type { LlamaTokenizer } from "../../lib/llama/tokenizer.js";
import type { Trajectory } from "../../lib/spct/rejection.js";
import type { CollectedJudgment, JudgedGroup } from "./judged-groups.js";
import type { ShownPanel } from "./panels.js";

export interface RatedJudgment extends Trajectory {
  group: JudgedGroup;
  judgment: CollectedJudgment;
  tokenIds: number[];
  /** What its author gave the tokens before the scores, by their index in `tokenIds`; empty when not known. */
  logprobs: readonly { at: number; value: number }[];
  /** Where each score ends, in the order shown: indices into `tokenIds`; null when they are not found. */
  scoreEnds: readonly number[] | null;
}

export interface RatedJudgments {
  /** In the order of the groups. */
  rated: RatedJudgment[];
  /** Left out: longer than the model reads. */
  tooLong: number;
}

export function rateable(
  groups: readonly JudgedGroup[],
  { grammar, tokenizer, maxPositions }: RateableOptions,
): RatedJudgments {
  let tooLong = 0;
  const rated = groups.flatMap((group) =>
    group.judgments.flatMap((judgment): RatedJudgment[] => {
      const { tokenIds, firstRead } = metaTokens(group.panel, judgment.text, grammar, tokenizer);
      if (tokenIds.length > maxPositions) {
        tooLong++;
        return [];
      }
      const { verdict } = judgment;
      const scoreEnds = endsOfScores(judgment, tokenizer)?.map((token) => firstRead + token) ?? null;
      const tokens = Math.min(scoreEnds?.[0] ?? tokenIds.length, tokenIds.length - 1) - firstRead;
      const logprobs = (judgment.logprobs ?? [])
        .slice(0, Math.max(0, tokens))
        .map((value, k) => ({ at: firstRead + k, value }));
      return [{ group, judgment, tokenIds, logprobs, scoreEnds, verdict, hinted: false }];
    }),
  );
  return { rated, tooLong };
}

export interface RateableOptions {
  grammar: Grammar;
  /** The meta RM's own. */
  tokenizer: LlamaTokenizer;
  maxPositions: number;
}

function metaTokens(
  { query, responses, reference }: ShownPanel,
  judgmentText: string,
  grammar: Grammar,
  tokenizer: LlamaTokenizer,
): { tokenIds: number[]; firstRead: number } {
  const turns = grammar.metaConversation({
    ...{ query, responses, judgmentText },
    ...(reference === null ? {} : { reference }),
  });
  const tokenIds = tokenizer.chat(turns, { addGenerationPrompt: false });
  const prompt = tokenizer.chat(turns.slice(0, -1));
  let common = 0;
  while (common < prompt.length && prompt[common] === tokenIds[common]) common++;
  return { tokenIds, firstRead: Math.min(common, tokenIds.length - 1) };
}

/**
 * The scores are the last numbers of the text that say them. Token indices are found by what stands before: exact
 * where words are tokens, and to a token or so elsewhere.
 */
function endsOfScores({ text, scores }: CollectedJudgment, tokenizer: LlamaTokenizer): number[] | null {
  if (scores === null) return null;
  const numbers = [...text.matchAll(/-?\d+(?:\.\d+)?/g)];
  for (let from = numbers.length - scores.length; from >= 0; from--) {
    const found = numbers.slice(from, from + scores.length);
    if (!found.every(([number], i) => Number(number) === scores[i])) continue;
    return found.map(
      ({ index, 0: number }) => tokenizer.encode(text.slice(0, index + number.length)).length - 1,
    );
  }
  return null;
}
