/** What the study found: all its figures, from the votes and summaries that its stages left. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Condition } from "../../../lib/evaluation/conditions.js";
import { columns, curves, keepSweepOf, metaAt, votesAt } from "./conditions.js";
import { type Contender, contenderSeed } from "./contenders.js";
import { creditsOf, itemsOf, type JudgeVotes, meanCredits, minus, readVotes, tokensOf } from "./credits.js";
import { estimate, type Figure, subsetNames } from "./figures.js";
import { type PolicyFigure, type PolicySummary, policyFigures, policyResult } from "./policies.js";
import { type Stage, secondsOf } from "./stage.js";
import { type Judge, judgeNames, judges, votesOf } from "./stages.js";

export type Figures = Record<string, Figure | null>;

export interface Gap {
  /** `rft - base, vote@1` */
  name: string;
  /** The same for people. */
  title: string;
  figure: Figure | null;
}

export interface KeepFigures {
  /** Votes of which some are kept. */
  k: number;
  rows: { keep: number; accuracy: Figure | null; gain: Figure | null }[];
}

export interface ContenderFigures {
  contender: Pick<Contender, "id" | "group" | "title">;
  accuracy: Figures;
  /** Above full SPCT under the same condition, paired by item. */
  gain: Figures;
  /** That a vote generated, on average: its own, and full SPCT's; null where nobody counted. */
  tokens: { own: number | null; full: number | null };
}

export interface Findings {
  /** YYYY-MM-DD. */
  date: string;
  machine: string;
  command: string;
  seeds: readonly number[];
  /** Held-out items by subset. */
  items: Record<string, number>;
  /** Means over seeds. */
  accuracy: Record<Judge, Figures>;
  /** Overall, by seed. */
  bySeed: Record<Judge, Record<string, (number | null)[]>>;
  /** Accuracy against the number of votes, for the plot. */
  curves: Record<Judge, Figures>;
  gaps: Gap[];
  keep: KeepFigures[];
  contenders: ContenderFigures[];
  policies: PolicyFigure[];
  seconds: { title: string; seconds: number }[];
}

export interface StudyResults {
  dir: string;
  seeds: readonly number[];
  contenders: readonly Contender[];
  /** That policies were trained with. */
  policySeeds: readonly number[];
  stages: readonly Stage[];
  about: Pick<Findings, "date" | "machine" | "command">;
}

/** Votes of which the meta RM keeps some, in the sweep. */
const sweptVotes = [8, 32];
const bootstrapSeed = 1;

export function findingsOf({ dir, seeds, contenders, policySeeds, stages, about }: StudyResults): Findings {
  const votes = new Map<string, JudgeVotes>();
  const open = (seed: number, file: string): JudgeVotes => {
    const known = votes.get(file) ?? readVotes(readFileSync(join(dir, file), "utf8"), seed);
    votes.set(file, known);
    return known;
  };
  const judged = (judge: Judge, seed: number): JudgeVotes => open(seed, votesOf(seed, judge));
  const first = judged("base", seeds[0] as number);
  const subsets = itemsOf(first).map(({ subset }) => subset);
  const figuresOf = <Name extends string>(by: Record<Name, Float64Array | null>) =>
    estimate(by, subsets, bootstrapSeed);
  const cache = new Map<string, Float64Array | null>();
  /** Mean over seeds, item by item. */
  const credits = (judge: Judge, condition: Condition): Float64Array | null => {
    const key = `${judge} ${condition.name}`;
    const known = cache.get(key);
    if (known !== undefined) return known;
    const mean = meanCredits(seeds.map((seed) => creditsOf(judged(judge, seed), condition)));
    cache.set(key, mean);
    return mean;
  };
  const byJudge = <T>(of: (judge: Judge) => T) =>
    Object.fromEntries(judges.map((judge) => [judge, of(judge)])) as Record<Judge, T>;
  const under = (conditions: readonly Condition[], of: (condition: Condition) => Float64Array | null) =>
    figuresOf(Object.fromEntries(conditions.map((condition) => [condition.name, of(condition)])));

  const gaps = gapList.map(({ name, title, of, against }) => ({
    name,
    title,
    credits: minus(credits(...of), credits(...against)),
  }));
  const gapFigures = figuresOf(Object.fromEntries(gaps.map((gap) => [gap.name, gap.credits])));
  return {
    ...about,
    seeds,
    items: Object.fromEntries(
      subsetNames(subsets).map((name) => [name, subsets.filter((subset) => subset === name).length]),
    ),
    accuracy: byJudge((judge) => under(columns, (condition) => credits(judge, condition))),
    bySeed: byJudge((judge) =>
      Object.fromEntries(
        columns.map((condition) => [
          condition.name,
          seeds.map((seed) => meanOf(creditsOf(judged(judge, seed), condition))),
        ]),
      ),
    ),
    curves: byJudge((judge) => under(curves, (condition) => credits(judge, condition))),
    gaps: gaps.map(({ name, title }) => ({ name, title, figure: gapFigures[name] ?? null })),
    keep: sweptVotes.map((k) => keepFigures(k, (condition) => credits("rl", condition), figuresOf)),
    contenders: contenders.map(({ id, group, title, votes: file }) => {
      const own = open(contenderSeed, file);
      const full = judged("rl", contenderSeed);
      const compared = columns.filter(({ metaKeep }) => metaKeep === null);
      return {
        contender: { id, group, title },
        tokens: { own: tokensOf(own), full: tokensOf(full) },
        accuracy: under(compared, (condition) => creditsOf(own, condition)),
        gain: under(compared, (condition) => minus(creditsOf(own, condition), creditsOf(full, condition))),
      };
    }),
    policies:
      policySeeds.length === 0
        ? []
        : policyFigures(
            policySeeds,
            (seed, spending) =>
              JSON.parse(readFileSync(join(dir, policyResult(seed, spending)), "utf8")) as PolicySummary,
          ),
    seconds: stages.flatMap((stage) => {
      const seconds = secondsOf(stage, dir);
      return seconds === null ? [] : [{ title: stage.title, seconds }];
    }),
  };
}

function keepFigures(
  k: number,
  credits: (condition: Condition) => Float64Array | null,
  figuresOf: (by: Record<string, Float64Array | null>) => Record<string, Figure | null>,
): KeepFigures {
  const plain = credits(votesAt(k));
  const rows = keepSweepOf(k).map((condition) => {
    const { metaKeep } = condition;
    const kept = credits(condition);
    return { keep: metaKeep ?? k, kept, gain: metaKeep === null ? null : minus(kept, plain) };
  });
  const figures = figuresOf(
    Object.fromEntries(
      rows.flatMap(({ keep, kept, gain }) => [[`${keep}`, kept] as const, [`${keep} gain`, gain] as const]),
    ),
  );
  return {
    k,
    rows: rows.map(({ keep }) => ({
      keep,
      accuracy: figures[`${keep}`] ?? null,
      gain: figures[`${keep} gain`] ?? null,
    })),
  };
}

type Side = [judge: Judge, condition: Condition];

const gapList: readonly { name: string; title: string; of: Side; against: Side }[] = [
  between("rft", "base"),
  between("rl", "rft"),
  ...judges.flatMap((judge) => [
    within(judge, votesAt(8), votesAt(1)),
    within(judge, votesAt(32), votesAt(8)),
    within(judge, metaAt(8), votesAt(8)),
    within(judge, metaAt(32), votesAt(32)),
  ]),
];

function between(judge: Judge, against: Judge): (typeof gapList)[number] {
  const one = votesAt(1);
  return {
    name: `${judge} - ${against}, ${one.name}`,
    title: `${judgeNames[judge]} over ${judgeNames[against]}, one vote`,
    of: [judge, one],
    against: [against, one],
  };
}

function within(judge: Judge, of: Condition, against: Condition): (typeof gapList)[number] {
  return {
    name: `${judge}: ${of.name} - ${against.name}`,
    title: `${judgeNames[judge]}: ${of.name} over ${against.name}`,
    of: [judge, of],
    against: [judge, against],
  };
}

function meanOf(credits: Float64Array | null): number | null {
  return credits === null ? null : credits.reduce((sum, credit) => sum + credit, 0) / credits.length;
}
