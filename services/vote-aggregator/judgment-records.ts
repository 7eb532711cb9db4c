/**
 * The record behind a reward, and where it is kept: everything that `GetJudgment` answers, for a day.
 *
 * - One record per id: the first one stands, whoever judged the same request at the same time.
 * - Records that are too large for a key-value entry go to the object store, and the entry names the object;
 *   which makes it one question, not two, to know that there is no record.
 */
import type { Bus } from "../../lib/bus/bus.js";
import { CovoteError } from "../../lib/core/errors.js";
import { newId } from "../../lib/core/ids.js";
import { type Cost, PrinciplesSource } from "../../lib/wire/gen/covote/v1/common.js";
import type { Judgment, Reward, VoteRecord } from "../../lib/wire/gen/covote/v1/reward.js";
import { judgmentCodec } from "../../lib/wire/messages.js";
import { toWireNullReason } from "../../lib/wire/null-reason.js";
import type { CastVote, Outcome, VoteOutcome } from "./judgment.js";
import type { StepLayout } from "./step-layout.js";

/** A NATS message holds 1 MiB unless its server says otherwise; headers and the envelope need some of it. */
const maxEntryBytes = 900_000;
/** Looks for the record that was there first: a replica of the store may know of it a little later. */
const maxLooks = 3;

export interface JudgmentRecords {
  /**
   * Keeps the judgment unless there is a record of its id, and resolves with the record that stands. Rejects with
   * `unavailable` when there is one that cannot be read.
   */
  keep(judgment: Judgment): Promise<Judgment>;
  get(judgmentId: string): Promise<Judgment | null>;
}

export async function openJudgmentRecords(bus: Bus): Promise<JudgmentRecords> {
  const entries = await bus.kv("judgments");
  const objects = await bus.objects("records");

  /** False when there is an entry already. */
  const create = async (judgmentId: string, bytes: Uint8Array): Promise<boolean> => {
    if (bytes.length <= maxEntryBytes) {
      const entry = await made(entries.create(judgmentId, bytes));
      if (entry !== "too large") return entry === "made";
    }
    // A name of its own: who comes second must not write over the first one's object.
    const name = `${judgmentId}.${newId()}`;
    await objects.put(name, bytes);
    if ((await made(entries.create(judgmentId, objectEntry(name)))) === "made") return true;
    // One that stays is nobody's, and expires.
    await objects.delete(name).catch(ignore);
    return false;
  };

  const get = async (judgmentId: string): Promise<Judgment | null> => {
    const entry = await entries.get(judgmentId);
    if (entry === null) return null;
    const name = objectNameOf(entry.value);
    if (name === null) return judgmentCodec.decode(entry.value);
    try {
      return judgmentCodec.decode(await objects.get(name));
    } catch (thrown) {
      const error = CovoteError.from(thrown);
      if (error.code === "not_found") return null;
      throw error;
    }
  };

  return {
    keep: async (judgment) => {
      const { judgmentId } = judgment;
      if (await create(judgmentId, judgmentCodec.encode(judgment))) return judgment;
      for (let look = 0; look < maxLooks; look++) {
        const first = await get(judgmentId);
        if (first !== null) return first;
      }
      throw new CovoteError("unavailable", `the first record of judgment ${judgmentId} cannot be read`);
    },
    get,
  };
}

/** The entry of a record that is in the object store: a zero, which begins no encoded message, and the name. */
function objectEntry(name: string): Uint8Array {
  return Buffer.concat([Buffer.of(0), Buffer.from(name)]);
}

/** Null: the entry is the record itself. */
function objectNameOf(entry: Uint8Array): string | null {
  return entry[0] === 0 ? Buffer.from(entry.subarray(1)).toString() : null;
}

function ignore(): void {}

/** What became of an entry that was to be made: `there`, when the key lives already; `too large` for the server. */
async function made(create: Promise<unknown>): Promise<"made" | "there" | "too large"> {
  try {
    await create;
    return "made";
  } catch (thrown) {
    const error = CovoteError.from(thrown);
    if (error.code === "already_exists") return "there";
    if (error.code === "invalid_argument") return "too large";
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

/** Of a vote where no response is given as steps. */
const noSteps: number[] = [];

/** A vote as it is shown; `meta` and `kept` are known only once the tally is done. */
export function toVoteRecord(
  vote: CastVote,
  order: readonly number[],
  counted: Pick<VoteOutcome, "meta" | "kept"> = { meta: null, kept: false },
  layout: StepLayout | null = null,
): VoteRecord {
  const { units } = layout ?? {};
  return {
    voteId: vote.voteId,
    order: units === undefined ? [...order] : order.map((unit) => units[unit]?.response ?? 0),
    steps: units === undefined ? noSteps : order.map((unit) => units[unit]?.step ?? 0),
    principles: vote.principles,
    critique: vote.critique,
    scores: [...(vote.scores ?? [])],
    nullReason: toWireNullReason(vote.nullReason ?? undefined),
    failure: vote.failure,
    metaScore: counted.meta ?? undefined,
    kept: counted.kept,
    judgeVersion: vote.judgeVersion,
    worker: vote.worker,
    principlesSource: vote.principlesSource ?? PrinciplesSource.UNSPECIFIED,
    principlesKey: vote.principlesKey ?? "",
    cost: { votes: 1, ...vote.cost },
    // Of a judgment that was read, principles, critique and scores are all there is to tell.
    text: vote.nullReason === "unparsable" ? vote.text : "",
  };
}

export function totalCost(votes: readonly Pick<VoteOutcome, "cast">[]): Cost {
  const total: Cost = { votes: 0, promptTokens: 0, cachedTokens: 0, completionTokens: 0, engineMs: 0 };
  for (const { cast } of votes) {
    const { cost } = cast;
    total.votes++;
    total.promptTokens += cost.promptTokens;
    total.cachedTokens += cost.cachedTokens;
    total.completionTokens += cost.completionTokens;
    total.engineMs += cost.engineMs;
  }
  return total;
}
