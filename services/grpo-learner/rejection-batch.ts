/**
 * From groups of judgments to those worth imitating (lib/spct/rejection.ts): the right ones of panels that are not
 * too easy, and those that were sampled with a hint.
 *
 * - A hinted group follows the unhinted one on the same panel. It is learned from that one's prompt: the hint is
 *   gone from what is trained on. Without that group there is no such prompt, and the hinted one is dropped.
 * - Statistics are metrics: what was sampled, kept and rejected, and why.
 */
import type { DropReason } from "../../lib/grpo/ledger.js";
import { type RejectionStatistics, selectFromItems, type Trajectory } from "../../lib/spct/rejection.js";
import type { JudgmentVerdict } from "../../lib/spct/rule-reward.js";
import type { TrainedSequence } from "../../lib/trainer/trainer.js";
import { type Experience, Verdict } from "../../lib/wire/gen/covote/v1/policy.js";
import { indexOfGroup } from "./group-id.js";
import { type GroupMetrics, groupMetrics } from "./group-metrics.js";

export interface RejectionBatch {
  sequences: TrainedSequence[];
  /** One per group. */
  dropped: (DropReason | null)[];
  metrics: GroupMetrics;
}

interface Sampled extends Trajectory {
  group: number;
  prompt: readonly number[];
  response: readonly number[];
}

const verdicts: ReadonlyMap<Verdict, JudgmentVerdict> = new Map([
  [Verdict.RIGHT, "right"],
  [Verdict.TIED, "tied"],
  [Verdict.WRONG, "wrong"],
  [Verdict.UNPARSABLE, "unparsable"],
]);

export interface RejectionBatchOptions {
  /** False imitates every judgment that could be parsed, for the comparison without rejection. Default true. */
  rejection?: boolean;
  /** What is learned of a judgment's tokens. Default: all. */
  learned?: (responseIds: readonly number[]) => readonly number[];
}

export function rejectionBatch(
  groups: readonly Experience[],
  { rejection = true, learned = (ids) => ids }: RejectionBatchOptions = {},
): RejectionBatch {
  const items: Sampled[][] = [];
  groups.forEach((experience, group) => {
    const hinted = experience.rollout?.prompt?.hinted === true;
    const unhintedPrompt = hinted ? promptOf(groups[group - 1], experience) : undefined;
    const sampled = trajectoriesOf(experience, group, unhintedPrompt);
    if (!hinted) items.push(sampled);
    else if (unhintedPrompt !== undefined) items.at(-1)?.push(...sampled);
  });
  const { kept, statistics } = selectFromItems(
    items,
    rejection ? {} : { keepWrong: true, tooEasy: "nothing" },
  );
  const used = new Set(kept.map(({ group }) => group));
  const dropped = groups.map(({ rewards }, group): DropReason | null => {
    if (used.has(group)) return null;
    return rewards.every(({ value }) => value === undefined) ? "null" : "rejected";
  });
  return {
    sequences: kept.map(({ prompt, response }) => sequenceOf(prompt, learned(response))),
    dropped,
    metrics: { ...groupMetrics(groups, dropped, []), ...figures(statistics) },
  };
}

function trajectoriesOf(
  { rollout, rewards }: Experience,
  group: number,
  prompt: readonly number[] | undefined,
): Sampled[] {
  const hinted = rollout?.prompt?.hinted === true;
  return (rollout?.responses ?? []).flatMap(({ tokens }, i): Sampled[] => {
    const verdict = verdicts.get(rewards[i]?.verdict ?? Verdict.UNSPECIFIED);
    if (tokens === undefined || verdict === undefined) return [];
    return [{ group, hinted, verdict, prompt: prompt ?? tokens.promptIds, response: tokens.responseIds }];
  });
}

function sequenceOf(prompt: readonly number[], response: readonly number[]): TrainedSequence {
  return { tokenIds: [...prompt, ...response], firstTarget: prompt.length };
}

/** The prompt of the group before the hinted one, unless that is of another panel: its own may not have come. */
function promptOf(before: Experience | undefined, hinted: Experience): readonly number[] | undefined {
  if (before?.rollout?.prompt?.hinted !== false || indexOf(before) + 1 !== indexOf(hinted)) return undefined;
  return before.rollout.responses[0]?.tokens?.promptIds;
}

function indexOf({ rollout }: Experience): number {
  return indexOfGroup(rollout?.prompt?.groupId ?? "");
}

function figures({ items, unhinted, hinted }: RejectionStatistics): Record<string, number> {
  const named = (prefix: string, counts: Record<string, number>) =>
    Object.entries(counts).map(([name, count]) => [`${prefix}_${name}`, count] as const);
  return Object.fromEntries([
    ...named("rft", unhinted),
    ...named("rft_hinted", hinted),
    ["rft_items", items.seen],
    ["rft_items_too_easy", items.tooEasy],
    ["rft_items_without_kept", items.withoutKept],
  ]);
}
