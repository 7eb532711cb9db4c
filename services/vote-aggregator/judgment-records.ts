/**
 * The record behind a reward, and where it is kept: everything that `GetJudgment` answers, for a day.
 * Records that are too large for a key-value entry go to the object store; an empty entry says so, which makes
 * it one question, not two, to know that there is no record.
 */
import type { Bus } from "../../lib/bus/bus.js";
import { CovoteError } from "../../lib/core/errors.js";
import type { Cost } from "../../lib/wire/gen/covote/v1/common.js";
import type { Judgment, Reward, VoteRecord } from "../../lib/wire/gen/covote/v1/reward.js";
import { judgmentCodec } from "../../lib/wire/messages.js";
import { toWireNullReason } from "../../lib/wire/null-reason.js";
import type { CastVote, Outcome, VoteOutcome } from "./judgment.js";

/** A NATS message holds 1 MiB unless its server says otherwise; headers and the envelope need some of it. */
const maxEntryBytes = 900_000;
/** The entry of a record that is in the object store; no judgment encodes to nothing. */
const elsewhere = new Uint8Array(0);

export interface JudgmentRecords {
  put(judgment: Judgment): Promise<void>;
  get(judgmentId: string): Promise<Judgment | null>;
}

export async function openJudgmentRecords(bus: Bus): Promise<JudgmentRecords> {
  const entries = await bus.kv("judgments");
  const objects = await bus.objects("records");
  return {
    put: async (judgment) => {
      const bytes = judgmentCodec.encode(judgment);
      if (bytes.length <= maxEntryBytes && (await fits(entries.put(judgment.judgmentId, bytes)))) return;
      await objects.put(judgment.judgmentId, bytes);
      await entries.put(judgment.judgmentId, elsewhere);
    },
    get: async (judgmentId) => {
      const entry = await entries.get(judgmentId);
      if (entry === null) return null;
      if (entry.value.length > 0) return judgmentCodec.decode(entry.value);
      try {
        return judgmentCodec.decode(await objects.get(judgmentId));
      } catch (thrown) {
        const error = CovoteError.from(thrown);
        if (error.code === "not_found") return null;
        throw error;
      }
    },
  };
}

/** False when the server takes no message of that size. */
async function fits(put: Promise<unknown>): Promise<boolean> {
  try {
    await put;
    return true;
  } catch (thrown) {
    const error = CovoteError.from(thrown);
    if (error.code === "invalid_argument") return false;
    throw error;
  }
}

export function toWireReward(reward: Outcome["rewards"][number]): Reward {
  if (reward.value === null) {
    return {
      value: undefined,
      nullReason: toWireNullReason(reward.reason),
      sum: 0,
      votesKept: 0,
      votesUsable: 0,
      spread: 0,
      agreement: 0,
    };
  }
  return {
    value: reward.value,
    nullReason: toWireNullReason(undefined),
    sum: reward.sum,
    votesKept: reward.kept,
    votesUsable: reward.usable,
    spread: reward.spread,
    agreement: reward.agreement,
  };
}

/** A vote as it is shown; `meta` and `kept` are known only once the tally is done. */
export function toVoteRecord(
  vote: CastVote,
  order: readonly number[],
  counted: Pick<VoteOutcome, "meta" | "kept"> = { meta: null, kept: false },
): VoteRecord {
  return {
    voteId: vote.voteId,
    order: [...order],
    principles: vote.principles,
    critique: vote.critique,
    scores: [...(vote.scores ?? [])],
    nullReason: toWireNullReason(vote.nullReason ?? undefined),
    failure: vote.failure,
    metaScore: counted.meta ?? undefined,
    kept: counted.kept,
    judgeVersion: vote.judgeVersion,
    worker: vote.worker,
    cost: { votes: 1, ...vote.cost },
    // Of a judgment that was read, principles, critique and scores are all there is to tell.
    text: vote.nullReason === "unparsable" ? vote.text : "",
  };
}

export function totalCost(votes: readonly CastVote[]): Cost {
  const total: Cost = { votes: 0, promptTokens: 0, cachedTokens: 0, completionTokens: 0, engineMs: 0 };
  for (const { cost } of votes) {
    total.votes++;
    total.promptTokens += cost.promptTokens;
    total.cachedTokens += cost.cachedTokens;
    total.completionTokens += cost.completionTokens;
    total.engineMs += cost.engineMs;
  }
  return total;
}
