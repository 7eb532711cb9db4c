/**
 * Asks a judge for the votes on every item, a bounded number of items at a time; and the reward service as a judge.
 *
 * - Each item is asked once for the most votes that any condition needs, and once more at temperature 0 for greedy.
 * - An item that the judge refuses (too long for its context, for example) is an answer; one that failed for a passing
 *   reason is a failure that the next run asks again. Neither stops the others; a service that is gone does.
 */
import { setMaxListeners } from "node:events";
import { CovoteError } from "../../lib/core/errors.js";
import type { NullReason } from "../../lib/core/null-reason.js";
import { seedFrom } from "../../lib/core/random.js";
import type { AskedItem, AskedVote, AskOptions } from "../../lib/evaluation/asked-votes.js";
import type { Answer, ItemJudge } from "../../lib/evaluation/item-judge.js";
import type { EvaluationItem } from "../../lib/evaluation/items.js";
import { noTokens, type TokenUse } from "../../lib/evaluation/token-use.js";
import { judgingLimits } from "../../lib/grm/limits.js";
import { PrinciplesSource } from "../../lib/wire/gen/covote/v1/common.js";
import { JudgingOptions, type Judgment, type VoteRecord } from "../../lib/wire/gen/covote/v1/reward.js";
import { fromWireNullReason } from "../../lib/wire/null-reason.js";
import type { RewardClient, Scored } from "../score/ask.js";

export interface AskItemsOptions {
  plan: AskOptions;
  /** Items in flight. */
  concurrency: number;
  digestOf(item: EvaluationItem): string;
  signal: AbortSignal;
  answered(item: EvaluationItem, answer: Answer): void;
}

/** Rejects when the judge is gone or the signal is aborted. */
export async function askItems(
  judge: ItemJudge,
  items: readonly EvaluationItem[],
  { plan, concurrency, digestOf, signal, answered }: AskItemsOptions,
): Promise<void> {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  // Every call in flight listens to it; Node warns of a leak at eleven.
  setMaxListeners(0, either);
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length) {
      const item = items[next++] as EvaluationItem;
      const answer = await judge.ask(item, plan, digestOf(item), either);
      answered(item, answer);
    }
  };
  const width = Math.max(concurrency, judge.itemsInFlight ?? 1);
  try {
    await Promise.all(Array.from({ length: Math.min(width, items.length) }, lane));
  } finally {
    stop.abort(new CovoteError("cancelled", "another item failed"));
  }
}

/** The reward service; `deadlineMs` is the time for one item. */
export function serviceJudge(client: RewardClient, deadlineMs: number): ItemJudge {
  return { ask: (item, plan, digest, signal) => askService(client, deadlineMs, item, plan, digest, signal) };
}

async function askService(
  client: RewardClient,
  deadlineMs: number,
  item: EvaluationItem,
  plan: AskOptions,
  digest: string,
  signal: AbortSignal,
): Promise<Answer> {
  const { votes, meta, temperature } = plan;
  // Its own seed for each item: with one for all, every item would be judged by the same throws of the dice.
  const seed = seedFrom("eval", plan.seed, digest);
  const common = { seed, deadlineMs, panelLimit: panelLimitOf(item, plan), split: plan.split ?? 0 };
  const { id, query, responses, reference } = item;
  const task = { id, query, responses, ...(reference === null ? {} : { reference }) };
  const refused = (reason: string): Answer => ({
    t: "asked",
    whole: true,
    asked: { item: item.id, asked: digest, judge: "", metaRm: "", votes: [], greedy: [], refused: reason },
  });
  try {
    const sampled = await client.score(
      task,
      JudgingOptions.fromPartial({
        ...common,
        votes,
        metaKeep: meta ? Math.max(1, votes >> 1) : 0,
        temperature,
      }),
      signal,
    );
    const verdict = verdictOf(sampled);
    if (verdict !== null)
      return "refused" in verdict ? refused(verdict.refused) : { t: "failed", reason: verdict.failed };
    const greedy = plan.greedy
      ? await client.score(
          task,
          JudgingOptions.fromPartial({ ...common, votes: 1, metaKeep: 0, temperature: 0 }),
          signal,
        )
      : null;
    const greedyVerdict = greedy === null ? null : verdictOf(greedy);
    if (greedyVerdict !== null) {
      if ("refused" in greedyVerdict) return refused(greedyVerdict.refused);
      return { t: "failed", reason: greedyVerdict.failed };
    }
    const judgment = sampled.judgment as Judgment;
    const asked: AskedItem = {
      item: item.id,
      asked: digest,
      judge: sampled.outcome.judgeVersion,
      metaRm: judgment.metaVersion,
      votes: askedVotes(judgment, item.models !== null),
      greedy: greedy === null ? [] : askedVotes(greedy.judgment as Judgment, false),
      refused: null,
      tokens: tokensOf(judgment),
    };
    return { t: "asked", asked, whole: !sampled.outcome.partial && greedy?.outcome.partial !== true };
  } catch (thrown) {
    const error = CovoteError.from(thrown);
    if (error.code === "invalid_argument") return refused(error.message);
    if (error.code === "deadline_exceeded" || error.code === "overloaded")
      return { t: "failed", reason: error.message };
    throw error;
  }
}

function tokensOf({ votes }: Judgment): TokenUse {
  const use = { ...noTokens, votes: votes.length };
  for (const { cost, principlesSource } of votes) {
    use.prompt += cost?.promptTokens ?? 0;
    use.cached += cost?.cachedTokens ?? 0;
    use.completion += cost?.completionTokens ?? 0;
    if (principlesSource === PrinciplesSource.REUSED) use.reused++;
    if (principlesSource === PrinciplesSource.DRAWN) use.drawn++;
    if (principlesSource === PrinciplesSource.FALLBACK) use.fallback++;
  }
  return use;
}

/** All responses in one panel where the judge can show so many. */
function panelLimitOf({ panelLimit, responses }: EvaluationItem, plan: AskOptions): number {
  return panelLimit ?? plan.panelLimit ?? Math.min(responses.length, judgingLimits.panelLimit);
}

const passing: readonly NullReason[] = ["deadline", "engine_unavailable", "overloaded", "cancelled"];

/** Why the votes cannot be used, or null when they can. */
function verdictOf({ outcome, judgment }: Scored): { refused: string } | { failed: string } | null {
  const reasons = outcome.rewards.map((reward) =>
    reward.value === undefined ? (fromWireNullReason(reward.nullReason) ?? "engine_unavailable") : null,
  );
  const votes = judgment?.votes ?? [];
  const at = reasons.indexOf("refused");
  if (at >= 0) {
    const failure = votes.find((vote) => vote.failure !== "" && vote.order.includes(at))?.failure;
    return { refused: `response ${at + 1} was refused${failure === undefined ? "" : `: ${failure}`}` };
  }
  const failed = reasons.find((reason) => reason !== null && passing.includes(reason));
  if (failed !== undefined && failed !== null && reasons.every((reason) => reason !== null))
    return { failed };
  if (judgment === null) return { failed: "its votes could not be fetched" };
  return null;
}

interface Place {
  round: number;
  panel: number;
  vote: number;
  /** Halves of a panel that was too long. */
  half: string;
}

/** The votes in the order in which they were planned, whatever the order in which they came. */
function askedVotes({ votes }: Judgment, principles: boolean): AskedVote[] {
  const placed = votes.map((vote) => ({ vote, place: placeOf(vote) }));
  placed.sort(
    ({ place: a }, { place: b }) =>
      a.round - b.round || a.vote - b.vote || a.panel - b.panel || (a.half < b.half ? -1 : 1),
  );
  return placed.map(({ vote, place }, index) => ({
    id: String(index).padStart(9, "0"),
    order: vote.order,
    scores: vote.scores.length === 0 ? null : vote.scores,
    meta: vote.metaScore ?? null,
    layer: `${place.round}:${place.vote}`,
    principles: principles ? vote.principles : "",
  }));
}

/** `judgment:round:panel:vote`, with `a` and `b` for the halves of a split panel. */
function placeOf({ voteId }: VoteRecord): Place {
  const [, round, panel, vote, half] = /:(\d+):(\d+):(\d+)([ab]*)$/.exec(voteId) ?? [];
  if (round === undefined) throw new CovoteError("internal", `${voteId} is not the id of a vote`);
  return { round: Number(round), panel: Number(panel), vote: Number(vote), half: half ?? "" };
}
