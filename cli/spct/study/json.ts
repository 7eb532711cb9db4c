/** The findings for machines: `spct.json`. Shares and utilities 0..1, differences −1..1, intervals [low, high]. */
import { contenderGroups } from "./contenders.js";
import type { Estimate, Figure } from "./figures.js";
import type { Figures, Findings } from "./findings.js";
import { judges } from "./stages.js";

export function findingsJson(findings: Findings): object {
  const { date, machine, command, seeds, items, accuracy, bySeed, gaps, keep, contenders, policies } =
    findings;
  const subsets = Object.keys(items);
  const byJudge = (of: (figures: Figures) => object): object =>
    Object.fromEntries(judges.map((judge) => [judge, of(accuracy[judge])]));
  return {
    date,
    machine,
    command,
    seeds,
    items,
    accuracy: byJudge((figures) => valuesOf(figures, null)),
    intervals: byJudge((figures) => intervalsOf(figures, null)),
    by_seed: Object.fromEntries(
      judges.map((judge) => [
        judge,
        Object.fromEntries(
          Object.entries(bySeed[judge]).map(([name, values]) => [
            name,
            values.map((value) => (value === null ? null : round(value))),
          ]),
        ),
      ]),
    ),
    subsets: Object.fromEntries(
      subsets.map((subset) => [
        subset,
        {
          accuracy: byJudge((figures) => valuesOf(figures, subset)),
          intervals: byJudge((figures) => intervalsOf(figures, subset)),
        },
      ]),
    ),
    gaps: Object.fromEntries(gaps.map(({ name, figure }) => [name, figureOf(figure)])),
    meta_keep: Object.fromEntries(
      keep.map(({ k, rows }) => [
        `${k}`,
        Object.fromEntries(
          rows.map((row) => [`${row.keep}`, { accuracy: figureOf(row.accuracy), gain: figureOf(row.gain) }]),
        ),
      ]),
    ),
    ...Object.fromEntries(
      contenderGroups.map((group) => [
        group,
        Object.fromEntries(
          contenders
            .filter(({ contender }) => contender.group === group)
            .map(({ contender, accuracy: own, gain, tokens }) => [
              contender.id,
              {
                title: contender.title,
                completion_tokens_per_vote: tokens,
                accuracy: valuesOf(own, null),
                intervals: intervalsOf(own, null),
                difference: Object.fromEntries(
                  Object.entries(gain).map(([name, figure]) => [name, figureOf(figure)]),
                ),
              },
            ]),
        ),
      ]),
    ),
    policies: Object.fromEntries(
      policies.map(({ spending, seeds: of, after, gain, votes }) => [
        spending,
        { seeds: of, utility: after, gain, votes },
      ]),
    ),
    seconds: Object.fromEntries(
      findings.seconds.map(({ title, seconds }) => [title, Number(seconds.toFixed(1))]),
    ),
  };
}

function partOf(figure: Figure | null, subset: string | null): Estimate | null {
  if (figure === null) return null;
  return subset === null ? figure.overall : (figure.subsets[subset] ?? null);
}

function valuesOf(figures: Figures, subset: string | null): object {
  return Object.fromEntries(
    Object.entries(figures).map(([name, figure]) => {
      const part = partOf(figure, subset);
      return [name, part === null ? null : round(part.value)];
    }),
  );
}

function intervalsOf(figures: Figures, subset: string | null): object {
  return Object.fromEntries(
    Object.entries(figures).map(([name, figure]) => {
      const part = partOf(figure, subset);
      return [name, part === null ? null : [round(part.low), round(part.high)]];
    }),
  );
}

function figureOf(figure: Figure | null): object | null {
  if (figure === null) return null;
  const flat = ({ value, low, high }: Estimate) => ({
    value: round(value),
    low: round(low),
    high: round(high),
  });
  return {
    ...flat(figure.overall),
    subsets: Object.fromEntries(Object.entries(figure.subsets).map(([name, part]) => [name, flat(part)])),
  };
}

const round = (value: number): number => Number(value.toFixed(4));
