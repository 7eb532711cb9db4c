/**
 * A trained baseline as a judge of items, on engines in threads of this process: what `covote eval --baseline` asks in
 * place of the reward service.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CovoteError } from "../../lib/core/errors.js";
import { seedFrom } from "../../lib/core/random.js";
import type { AskedVote, AskOptions } from "../../lib/evaluation/asked-votes.js";
import type { Answer, ItemJudge } from "../../lib/evaluation/item-judge.js";
import type { EvaluationItem } from "../../lib/evaluation/items.js";
import { grammars } from "../../lib/grm/grammar.js";
import type { BaselineFolder } from "./folder.js";
import { openPick } from "./judge-pick.js";
import { openPairwise, openScalar } from "./judge-scalar.js";
import { openSemiScalar } from "./judge-semi-scalar.js";
import type { BaselineKind } from "./kinds.js";
import type { Voter } from "./voter.js";

export interface OpenJudge extends ItemJudge {
  /** Resolves with the cause when an engine is gone for good. */
  failed: Promise<CovoteError>;
  close(): Promise<void>;
}

const voters = {
  pick: openPick,
  pairwise: openPairwise,
  scalar: openScalar,
  "semi-scalar": openSemiScalar,
} satisfies Record<BaselineKind, unknown>;

export async function openBaselineJudge(folder: BaselineFolder, threads: number): Promise<OpenJudge> {
  const voter = await openVoter(folder, threads);
  const name = baselineVersion(folder);
  return {
    itemsInFlight: 96,
    ask: (item, plan, digest, signal) => askVoter(voter, { item, plan, digest, name, signal }),
    failed: voter.failed,
    close: voter.close,
  };
}

/** Throws `invalid_argument` that names `--baseline` when a model in the folder is not what its kind needs. */
async function openVoter(folder: BaselineFolder, threads: number): Promise<Voter> {
  try {
    return await voters[folder.kind]({ folder, grammar: grammars[folder.grammar], threads });
  } catch (thrown) {
    const error = CovoteError.from(thrown);
    if (error.code !== "invalid_argument") throw error;
    const message = `--baseline: ${folder.path} is no ${folder.kind} baseline: ${error.message}`;
    throw new CovoteError("invalid_argument", message, { field: "--baseline", cause: thrown });
  }
}

/** `pairwise-1f2e3d4c`: of its weights, so that a baseline trained anew in the same folder is another judge. */
export function baselineVersion({ kind, grammar, checkpoint, critic }: BaselineFolder): string {
  const hash = createHash("sha256").update(grammars[grammar].version);
  for (const part of kind === "semi-scalar" ? [checkpoint, critic] : [checkpoint]) {
    try {
      hash.update(readFileSync(join(part, "model.safetensors")));
    } catch (cause) {
      throw new CovoteError(
        "invalid_argument",
        `--baseline: ${part} has no model.safetensors; train it anew`,
        {
          field: "--baseline",
          cause,
        },
      );
    }
  }
  return `${kind}-${hash.digest("hex").slice(0, 8)}`;
}

interface Asking {
  item: EvaluationItem;
  plan: AskOptions;
  digest: string;
  name: string;
  signal: AbortSignal;
}

async function askVoter(voter: Voter, { item, plan, digest, name, signal }: Asking): Promise<Answer> {
  const { deterministic } = voter;
  const refused = (reason: string): Answer => ({
    t: "asked",
    whole: true,
    asked: { item: item.id, asked: digest, judge: "", metaRm: "", votes: [], greedy: [], refused: reason },
  });
  if (item.responses.length < voter.least) {
    return refused("a single response has no other to be compared with");
  }
  if (item.target.t === "score") return refused("its label is a score that only a judge of 1 to 10 can give");
  const seed = seedFrom("eval", plan.seed, digest);
  const panelLimit = item.panelLimit ?? plan.panelLimit;
  const votesOf = async (votes: number, temperature: number): Promise<AskedVote[]> =>
    (await voter.vote(item, { votes, temperature, seed, panelLimit, signal })).map((vote, place) => ({
      ...vote,
      id: String(place).padStart(9, "0"),
    }));
  try {
    const votes = await votesOf(deterministic ? 1 : plan.votes, plan.temperature);
    const greedy = deterministic ? votes : plan.greedy ? await votesOf(1, 0) : [];
    return {
      t: "asked",
      whole: true,
      asked: {
        ...{ item: item.id, asked: digest, judge: name, metaRm: "", votes, greedy, refused: null },
        ...(deterministic ? { deterministic } : {}),
      },
    };
  } catch (thrown) {
    const error = CovoteError.from(thrown);
    if (error.code === "invalid_argument") return refused(error.message);
    if (error.code === "overloaded") return { t: "failed", reason: error.message };
    throw error;
  }
}
