/**
 * What rejective fine-tuning kept of the judgments that were sampled, and why not the others: counts by name, as
 * the learner's metrics have them (`rft_…`).
 *
 * `sampled` is the sum of `kept`, `wrong`, `tied`, `unparsable` and `too_easy`; the same with `hinted_` before it is
 * of the judgments that were told the best response. `items` counts the panels, `items_too_easy` those that were all
 * right without a hint, `items_without_kept` those that taught nothing. `corpus` are the examples mixed in.
 */
import type { StepRecord } from "./records.js";
import { count, plural } from "./text.js";

export type RejectionCounts = Record<string, number>;

const prefix = "rft_";

/** Null for a step of any other method. */
export function rejectionOf(metrics: Readonly<Record<string, number>>): RejectionCounts | null {
  const counts = Object.entries(metrics).filter(([name]) => name.startsWith(prefix));
  if (counts.length === 0) return null;
  return Object.fromEntries(
    counts.map(([name, n]): [string, number] => [name.slice(prefix.length), n]).toSorted(byName),
  );
}

/** Null when no record has any. */
export function sumRejection(records: readonly StepRecord[]): RejectionCounts | null {
  const steps = records.flatMap(({ rejection }) => (rejection ? [rejection] : []));
  if (steps.length === 0) return null;
  const total: RejectionCounts = {};
  for (const [name, n] of steps.flatMap((counts) => Object.entries(counts)))
    total[name] = (total[name] ?? 0) + n;
  return total;
}

export function rejectionSentence(counts: RejectionCounts): string {
  const reasons: [name: string, words: string][] = [
    ["wrong", "wrong"],
    ["tied", "tied"],
    ["unparsable", "unparsable"],
    ["too_easy", "on panels that are too easy"],
  ];
  const told = (kind: string, of: string): string => {
    const n = (name: string): number => counts[`${kind}${name}`] ?? 0;
    const rejected = reasons
      .filter(([name]) => n(name) > 0)
      .map(([name, words]) => `${count(n(name))} ${words}`);
    const rest = rejected.length === 0 ? "" : `; ${rejected.join(", ")}`;
    return `Of ${plural(n("sampled"), "judgment")}${of} ${count(n("kept"))} to imitate${rest}.`;
  };
  const hinted = (counts.hinted_sampled ?? 0) > 0 ? ` ${told("hinted_", " with a hint")}` : "";
  const corpus = counts.corpus ?? 0;
  const mixed = corpus > 0 ? ` Beside them ${plural(corpus, "example")} of the corpus.` : "";
  return `${told("", "")}${hinted}${mixed}`;
}

function byName([a]: [string, number], [b]: [string, number]): number {
  return a < b ? -1 : 1;
}
